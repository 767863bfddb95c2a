"""Tests that plans are checked before they run: an invalid or ambiguous plan is rejected and not recorded."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from rich.console import Console
from torch import Tensor

from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.inits.catalog import INITS
from nefstudy.inits.drawn import SharedInit
from nefstudy.ledger import Ledger, StudyRow
from nefstudy.signals.kinds import IMAGE
from nefstudy.study.driver.session import run_study
from nefstudy.study.locations import Locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.continuation import continued
from nefstudy.study.plan.plan_check import check_plan
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Grid, Points, Random, Tpe, Winners
from nefstudy.study.space import Categorical, Real, Whole
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.classification import CLASSIFICATION
from nefstudy.tasks.task import Metric, Objective, SignalTraits, Task

RATES = Categorical((1e-3, 2e-3))


@dataclass(frozen=True)
class Scaled:
    """An init that has a parameter."""

    gain: float = 1.0
    shared: ClassVar[bool] = True

    def rows(self, field: NeuralField, *, seed: int, ids: Sequence[int], view: int) -> Tensor:
        """Return the shared initialization scaled by `gain`."""
        return self.gain * SharedInit().rows(field, seed=seed, ids=ids, view=view)


def cell_of(phase: str = "grid", **changes: Any) -> CellPlan:
    """Return a grid of two points with some of its values replaced."""
    given: dict[str, Any] = {"space": {"lr": RATES}, "fixed": {"hidden": 4, "steps": 2, "init": "shared"}} | changes
    signals = SignalsConfig(name="digits8", subset=200)
    return CellPlan(phase=phase, signals=signals, field="siren", traits=SignalTraits(IMAGE), **given)


def plan_of(*cells: CellPlan, **changes: Any) -> StudyPlan:
    """Return a plan that supports an additional init named `scaled`."""
    return StudyPlan(study="s", cells=cells, inits=INITS | {"scaled": Scaled}, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"space": {"init": Categorical(("shared", "hsared")), "lr": RATES}},
        {"space": {"init": Categorical(("shared", "hsared")), "lr": Real(1e-3, 1e-2)}, "sampler": Tpe(5)},
        {"space": {}, "sampler": Points([{"lr": 1e-3}, {"lr": 1e-3, "init": "hsared"}])},
    ],
)
def test_a_plan_with_a_wrong_point_is_recorded_nowhere(tmp_path, changes):
    """A plan with an invalid point is not recorded, so that the corrected plan can run under the same name."""
    locations = Locations(root=str(tmp_path), ledger=f"sqlite:///{tmp_path}/ledger.db", mlflow="")
    with pytest.raises(BadConfig, match="init 'hsared'"):
        run_study(plan_of(cell_of(**changes)), StudyOptions(), locations=locations, console=Console(file=io.StringIO()))
    with Ledger.open(locations.ledger) as ledger:
        assert ledger.studies.all() == []


@pytest.mark.parametrize("end", [{"hidden": Whole(8, 10**9)}, {"lr": Real(-1.0, 1e-2)}, {"lr": Real(1e-3, 1e12)}])
def test_a_search_is_checked_to_the_ends_of_its_space(end):
    """The bounds of a search space are checked before the search suggests any of its values."""
    with pytest.raises(BadConfig, match=next(iter(end))):
        check_plan(plan_of(cell_of(space=end, sampler=Tpe(5))))


@pytest.mark.parametrize("sampler", [Grid(), Tpe(2), Random(2)])
def test_a_phase_holds_a_trial_once(sampler):
    """Two cells of a phase that have a trial in common are rejected, because one of them would lack its result."""
    cells = (cell_of(label="a"), cell_of(label="b", sampler=sampler, objective=Objective("all_psnr")))
    with pytest.raises(BadConfig, match=r"'a' and 'b' .*'grid'"):
        check_plan(plan_of(*cells))
    apart = replace(cells[1], fixed={**cells[1].fixed, "hidden": 8})
    check_plan(plan_of(cells[0], apart))
    check_plan(plan_of(cells[0], replace(cells[1], phase="later")))
    check_plan(plan_of(*(replace(cell, space={"lr": Real(1e-3, 1e-2)}, sampler=Tpe(9)) for cell in cells)))


def task_with(*metrics: Metric, **changes: Any) -> dict[str, Task]:
    """Return the built-in tasks, with additional metrics for classification."""
    task = replace(CLASSIFICATION, metrics=lambda signals: (*CLASSIFICATION.metrics(signals), *metrics), **changes)
    return TASKS | {"classification": task}


@pytest.mark.parametrize("name", ["steps", "lr", "seed", "score", "error", "metrics", "phase"])
def test_a_metric_that_is_compared_has_a_name_of_its_own(name):
    """A metric that has a direction cannot share the name of a column or a parameter.

    Figures would read the column or the parameter instead.
    """
    with pytest.raises(BadConfig, match=f"metric '{name}'"):
        check_plan(plan_of(cell_of(), tasks=task_with(Metric(name, "Steps to 20 dB", direction="minimize"))))
    check_plan(plan_of(cell_of(), tasks=task_with(Metric("steps_to_20_db", "Steps to 20 dB", direction="minimize"))))
    check_plan(plan_of(cell_of(), tasks=task_with(Metric(name, "A count"))))


def test_a_metric_that_is_compared_does_not_begin_like_a_qualified_name():
    """A metric cannot be named `metrics.loss`, which means the metric `loss` in filters and figures."""
    with pytest.raises(BadConfig, match=r"metric 'metrics.loss' .* as 'found_metrics_loss'"):
        check_plan(plan_of(cell_of(), tasks=task_with(Metric("metrics.loss", "Loss", direction="minimize"))))


def test_a_metric_is_declared_once():
    """A metric that is declared twice is rejected."""
    with pytest.raises(BadConfig, match="'val_loss' twice"):
        check_plan(plan_of(cell_of(), tasks=task_with(Metric("val_loss", "Loss", direction="minimize"))))


def test_the_sections_of_a_task_are_figures_and_tables():
    """A task's sections must be existing figures or tables, so that a misspelled section is rejected."""
    check_plan(plan_of(cell_of(), tasks=task_with(sections=("ladders", "reconstructions", "stopped"))))
    with pytest.raises(BadConfig, match=r"\['laders'\] .*: ladders, "):
        check_plan(plan_of(cell_of(), tasks=task_with(sections=("laders", "best"))))


def test_a_curve_that_prunes_is_a_metric_with_a_direction():
    """A curve used for pruning must be a metric with a direction."""
    for tasks in (task_with(curve="val_los"), task_with(Metric("norm", "Norm"), curve="norm")):
        with pytest.raises(BadConfig, match="curve"):
            check_plan(plan_of(cell_of(), tasks=tasks))


HALF, DOUBLE = (InitConfig(name="scaled", params={"gain": gain}) for gain in (0.5, 2.0))


@pytest.mark.parametrize("inits", [{}, {"half": HALF}, {"half": DOUBLE, "double": DOUBLE}])
def test_words_mean_the_same_in_the_phase_that_takes_winners_over(inits):
    """A phase that takes over winners must define each named init as the earlier phase does."""
    early = cell_of("early", space={"init": Categorical(("half", "double"))}, fixed={"hidden": 4, "steps": 2},
                    inits={"half": HALF, "double": DOUBLE})  # fmt: skip
    late = replace(early, phase="late", sampler=Winners("early"), fixed={"hidden": 8, "steps": 2})
    with pytest.raises(BadConfig, match=r"init '(half|double)' .*'early'"):
        check_plan(plan_of(early, replace(late, inits=inits)))
    check_plan(plan_of(early, late))
    fixed = {**late.fixed, "init": "shared"}
    check_plan(plan_of(early, replace(late, inits=inits, space={"lr": RATES}, fixed=fixed)))


def test_classifier_words_mean_the_same_too():
    """A phase that takes over winners must define each named classifier as the earlier phase does."""
    words = {name: ClassifierConfig(name="mlp", epochs=n) for name, n in (("short", 1), ("long", 9))}
    early = cell_of("early", space={"classifier": Categorical(("short", "long"))}, classifiers=words,
                    fixed={"hidden": 4, "steps": 2, "init": "shared"})  # fmt: skip
    late = replace(early, phase="late", sampler=Winners("early"), fixed={"hidden": 8, "steps": 2, "init": "shared"})
    with pytest.raises(BadConfig, match=r"classifier 'long' .*'early'"):
        check_plan(plan_of(early, replace(late, classifiers={**words, "long": words["short"]})))


def test_a_word_that_is_left_out_changes_the_plan():
    """If a cell redefines the init `shared`, the study cannot be continued without that definition."""
    before = plan_of(cell_of(inits={"shared": HALF}))
    row = StudyRow(study="s", state="finished", plan=before.describe(), created_at=0.0, updated_at=0.0)
    assert continued(row, before)
    with pytest.raises(BadConfig, match="grid digits8/siren inits"):
        continued(row, plan_of(cell_of()))
