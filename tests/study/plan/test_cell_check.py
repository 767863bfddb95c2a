"""Tests of invalid cells: a one-line error names the invalid value and states what is allowed."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.signals.kinds import IMAGE
from nefstudy.study.plan.plan_check import check_plan
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Grid, Points, Random, Tpe, Winners
from nefstudy.study.space import INIT, Categorical, Real, Whole
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.classification import CLASSIFICATION
from nefstudy.tasks.fitting import FITTING
from nefstudy.tasks.task import Metric, Objective, SignalTraits, Task

STEPS = Categorical((1, 2))


def cell_of(**changes: Any) -> CellPlan:
    """Return a small grid with some of its values replaced."""
    given: dict[str, Any] = {"space": {"init": INIT, "steps": STEPS}, "fixed": {"hidden": 4}, "task": "fitting"}
    signals = SignalsConfig(name="digits8")
    values: dict[str, Any] = {"phase": "grid", "signals": signals, "field": "siren", "traits": SignalTraits(IMAGE)}
    values |= given | changes
    return CellPlan(**values)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sampler": "Grid"}, "sampler = 'Grid': .*Grid"),
        ({"sampler": Tpe}, "sampler = <class .*Tpe'>: .*sampler"),
        ({"sampler": None}, "sampler = None"),
        ({"objective": "val_psnr"}, r"objective = 'val_psnr': .*Objective\(\"METRIC\"\) or None"),
        ({"phase": None}, "phase = None: .*string"),
        ({"label": 3}, "label = 3: .*string"),
        ({"label": "all"}, "label 'all'"),
        ({"phase": "all"}, "phase 'all'"),
        ({"task": FITTING}, "task = Task.*: .*string"),
        ({"signals": "digits8"}, "signals = 'digits8': .*SignalsConfig"),
        ({"space": None}, "space = None: .*dimensions"),
        ({"space": {"init": "shared", "steps": STEPS}}, "space = .*: .*dimensions"),
        ({"fixed": {"hidden": [4]}}, "fixed = .*: .*numbers and strings"),
        ({"fixed": {"hidden": np.int64(4)}}, "fixed = .*: .*numbers and strings"),
        ({"replicates": "2"}, "replicates = '2': .*whole number"),
        ({"replicates": 1.5}, "replicates = 1.5: .*whole number"),
        ({"inits": {"half": "scaled"}}, "inits = .*InitConfig"),
        ({"classifiers": {"small": "gnn"}}, "classifiers = .*ClassifierConfig"),
        ({"sampler": Tpe("5"), "space": {"lr": Real(1, 2)}}, r"Tpe\('5'\)"),  # type: ignore[arg-type]
        ({"sampler": Tpe(5.5), "space": {"lr": Real(1, 2)}}, r"Tpe\(5.5\)"),  # type: ignore[arg-type]
        ({"sampler": Random(5.5), "space": {"lr": Real(1, 2)}}, r"Random\(5.5\)"),  # type: ignore[arg-type]
        ({"sampler": Points(5), "space": {}}, "Points.*list"),  # type: ignore[arg-type]
        ({"sampler": Points((1, 2)), "space": {}}, "Points.*list"),  # type: ignore[arg-type]
        ({"sampler": Points([{"steps": np.int64(1)}]), "space": {}}, "Points.*list"),  # type: ignore[dict-item]
        ({"sampler": Winners("early", k="3")}, r"Winners\(k='3'"),  # type: ignore[arg-type]
        ({"sampler": Winners("early", by="init")}, r"Winners\(k=1, by='init'\)"),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_another_type_is_named(changes, named):
    """If a value of a cell has the wrong type, the error states what is allowed."""
    with pytest.raises(BadConfig, match=named) as refused:
        cell_of(**changes)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Whole(1, 8, multiple=0), r"\[1, 8\].*multiples of 0"),
        (lambda: Whole(1.5, 4.5, multiple=1.5), r"\[1.5, 4.5\]"),  # type: ignore[arg-type]
        (lambda: Real("1", "2"), r"\['1', '2'\]"),  # type: ignore[arg-type]
        (lambda: Real(1, float("inf")), r"\[1, inf\]"),
        (lambda: Categorical(([1], [2])), r"choices \(\[1\], \[2\]\)"),  # type: ignore[arg-type]
        (lambda: Categorical("shared"), "'shared'"),  # type: ignore[arg-type]
        (lambda: Categorical((np.int64(1),)), "1"),  # type: ignore[arg-type]
        (lambda: Categorical((None,)), "None"),  # type: ignore[arg-type]
    ],
)
def test_a_dimension_of_other_values_is_refused(make, named):
    """A dimension with invalid values is rejected when it is created."""
    with pytest.raises(BadConfig, match=named):
        make()


@pytest.mark.parametrize(
    ("metric", "direction", "named"),
    [
        ("diverged", "maximize", r"Objective\('diverged', 'minimize'\)"),
        ("val_psnr", "minimize", r"Objective\('val_psnr', 'maximize'\)"),
    ],
)
def test_an_objective_follows_the_direction_of_its_metric(metric, direction, named):
    """An objective that contradicts its metric's direction is rejected, since a search would seek the worst values."""
    cell = cell_of(objective=Objective(metric, direction))
    with pytest.raises(BadConfig, match=named):
        StudyPlan(study="s", cells=(cell,)).objective(cell)


@pytest.mark.parametrize("change", [{"direction": "min"}, {"split": "validation"}])
def test_a_metric_has_a_known_direction_and_split(change):
    """A metric whose direction or split is unknown is rejected."""
    (word,) = change.values()
    with pytest.raises(BadConfig, match=f"'loss': .*'{word}'"):
        Metric("loss", "Loss", **change)


def test_a_task_has_the_name_that_its_configurations_carry():
    """A plan must list a task under the same name that the task's configurations contain.

    A worker finds the task's code by that name.
    """
    cell = cell_of(task="mine")
    for mine in (FITTING, replace(FITTING, name="mine")):
        with pytest.raises(BadConfig, match=r"task 'mine'.*'fitting'"):
            StudyPlan(study="s", cells=(cell,), tasks=TASKS | {"mine": mine})
    StudyPlan(study="s", cells=(cell_of(),), tasks=TASKS | {"fitting": replace(FITTING, run=CLASSIFICATION.run)})


def test_any_object_with_the_members_of_a_sampler_is_one():
    """Any object that has a sampler's members is accepted; no base class is required."""
    names = ("planned", "describe", "listed", "open", "is_prunable", "covers_space", "after")
    members = {name: getattr(Grid(), name) for name in names} | {"describe": lambda: {"name": "SimpleNamespace"}}
    assert cell_of(sampler=SimpleNamespace(**members)).planned == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"label": None}, "label None: allowed is a text"),
        ({"unit": 3}, "unit 3: allowed is a text"),
        ({"chance": np.float32(0.1)}, r"chance np.float32\(0.1\): allowed is a finite number"),
        ({"chance": float("nan")}, "chance nan: allowed is a finite number"),
        ({"domain": (0, float("inf"))}, r"domain \(0, inf\): allowed is two finite numbers"),
        ({"domain": (1, 0)}, r"domain \(1, 0\): allowed is two finite numbers"),
        ({"name": 3}, "metric 3 cannot be used"),
    ],
)
def test_a_metric_consists_of_texts_and_finite_numbers(change, named):
    """A metric is rejected if one of its text fields is not a string or one of its numeric fields is not finite."""
    with pytest.raises(BadConfig, match=named):
        Metric(**{"name": "loss", "label": "Loss"} | change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"metrics": (Metric("loss", "Loss"),)}, "metrics = .*: allowed is a function"),
        ({"objective": Objective("loss")}, "objective = .*: allowed is a function"),
        ({"needs": None}, "needs = None: allowed is a function"),
        ({"sections": None}, "sections = None: allowed is a tuple of names"),
        ({"config": dict}, "config = .*: allowed is a subclass of TrialConfig"),
        ({"metrics": lambda _signals: ["loss"]}, "the metrics of task fitting contain 'loss'"),
        ({"metrics": lambda _signals: None}, "the metrics of task fitting contain None"),
        ({"objective": lambda _signals: "loss"}, "the objective of task fitting is 'loss'"),
        (
            {"codec": lambda _setup: SimpleNamespace(configure=lambda point, **_: point)},
            "codec of task fitting returns",
        ),
    ],
)
def test_a_task_consists_of_functions_that_return_its_values(change, named):
    """A task is rejected if one of its fields, or the return value of one of its functions, has the wrong type."""

    def check(task: Task) -> None:
        plan = StudyPlan(study="s", cells=(cell_of(),), tasks=TASKS | {"fitting": task})
        plan.objective(plan.cells[0])
        check_plan(plan)

    with pytest.raises(BadConfig, match=named) as refused:
        check(replace(FITTING, **change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cells": cell_of()}, "cells = CellPlan.*: allowed is a tuple of CellPlans"),
        ({"seed": "3"}, "seed = '3': allowed is a whole number"),
        ({"tasks": {"fitting": type(FITTING)}}, "task 'fitting' is <class .*; give a Task"),
    ],
)
def test_a_plan_consists_of_cells_a_seed_and_tasks(change, named):
    """A plan is rejected if one of its values has the wrong type."""
    with pytest.raises(BadConfig, match=named):
        StudyPlan(**{"study": "s", "cells": (cell_of(),)} | change)
