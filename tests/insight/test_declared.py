"""Tests that `nefstudy.insight` reads the declarations that a driver writes with the plan."""

import math

import pytest

from nefstudy.insight.declared import declarations, in_sentence
from nefstudy.insight.pace import planned_fits
from nefstudy.ledger import CellRecord
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.space import Categorical

from .synthetic_study import cell_plan


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    """Return a plan with a search and a grid on the bundled digits."""
    cells = ("digits8/siren",)
    return StudyPlan(study="s", cells=(*search_cells(SCALES["smoke"], cells), *grid_cells(SCALES["smoke"], cells)))


def test_a_plans_declarations_are_read_back(plan: StudyPlan) -> None:
    """The objective, metrics, free parameters and sections read from a plan's record equal those of the plan."""
    declared = declarations(plan.describe())
    assert list(declared.cells) == [(cell.phase, cell.cell) for cell in plan.cells]
    for cell in plan.cells:
        own, objective = declared.of(cell.phase, cell.cell), plan.objective(cell)
        assert (own.objective, own.direction, own.planned) == (objective.metric, objective.direction, cell.planned)
        for metric in plan.metrics(cell):
            read = own.metric(metric.name)
            assert read.label.lower() == metric.label.lower()
            assert (read.unit, read.direction) == (metric.unit, metric.direction)
            assert (read.split, read.domain, read.chance) == (metric.split, metric.domain, metric.chance)
        assert own.metric("val_accuracy").chance == 1 / 10
        assert own.metric("all_psnr").chance is None
        assert list(own.space) == list(cell.space)
        assert (own.task, own.signals) == (cell.task, cell.signals.name)
        assert own.count == plan.traits(cell).count
        steps = cell.space["steps"]
        assert isinstance(steps, Categorical)
        assert own.steps == steps.values
        assert own.sections == plan.task(cell).sections
        assert own.quality[0] == "all_psnr"
    search, grid = (declared.of(phase, None) for phase in ("phase1", "phase2"))
    assert grid.count == 1797
    assert grid.reported is not None
    assert grid.reported.name == "test_accuracy"
    assert grid.reported.chance == 1 / 10
    assert (search.reported, search.shown.name) == (None, "val_accuracy")
    assert search.over_all is not None
    assert search.over_all.name == "val_accuracy_all"


@pytest.mark.parametrize(
    ("label", "read"),
    [
        ("Test accuracy", "test accuracy"),
        ("PSNR, test", "PSNR, test"),
        ("IoU", "IoU"),
        ("Off-grid", "off-grid"),
        ("", ""),
    ],
)
def test_labels_within_sentences(label: str, read: str) -> None:
    """Within a sentence, a label starts in lower case unless it begins with an acronym."""
    assert in_sentence(label) == read


def test_a_grid_is_known_by_its_sampler(plan: StudyPlan) -> None:
    """The number of a grid's neural datasets follows from the grid's space.

    For a search, the number is unknown.
    """
    declared = declarations(plan.describe())
    search, grid = (declared.of(phase, "digits8/siren") for phase in ("phase1", "phase2"))
    assert (search.is_grid, grid.is_grid) == (False, True)
    assert planned_fits(search) is None
    rungs = len(grid.space["steps"]["values"])
    assert planned_fits(grid) == grid.planned // rungs


def test_ledger_records_take_precedence(plan: StudyPlan) -> None:
    """A cell's record in the ledger takes precedence over the plan.

    If the plan lacks the cell, the record is used alone.
    """
    records = {
        ("phase1", "digits8/siren"): CellRecord(7, "classification", "val_loss", "minimize"),
        ("other", "mine"): CellRecord(3, "mine", "error", "minimize"),
    }
    declared = declarations(plan.describe(), records)
    first, other = declared.of("phase1", "digits8/siren"), declared.of("other", "mine")
    assert (first.objective, first.sign, first.planned) == ("val_loss", -1, 7)
    assert (other.objective, other.sign, other.planned, other.is_grid) == ("error", -1, 3, False)
    assert (declared.of("none", "none").objective, declared.of(None, None).cell) == ("val_accuracy", "digits8/siren")


def test_phases_and_cells_keep_the_order_of_the_plan(plan: StudyPlan) -> None:
    """Phases and cells keep the order of the plan, and those missing from the plan come last."""
    reversed_plan = {"cells": plan.describe()["cells"][::-1]}
    order = declarations(reversed_plan).order
    assert sorted(["phase1", "another", "phase2"], key=lambda phase: order(phase, "")) == [
        "phase2",
        "phase1",
        "another",
    ]
    assert sorted(["z", "digits8/siren"], key=lambda cell: order("phase1", cell)) == ["digits8/siren", "z"]


@pytest.mark.parametrize("domain", [[0, math.inf], [-math.inf, 1], [math.nan, 1], [1, 1], [2, 1], [None, 1]])
def test_a_domain_that_no_axis_can_have_is_none(domain: list[float | None]) -> None:
    """If a declared domain is infinite, empty or incomplete, the axis has no fixed domain."""
    metric = {"name": "distance", "label": "distance", "direction": "minimize", "domain": domain}
    objective = {"metric": "distance", "direction": "minimize"}
    own = declarations({"cells": [cell_plan(metrics=[metric], objective=objective)]}).of(None, None)
    assert own.objective_metric.axis().domain is None
