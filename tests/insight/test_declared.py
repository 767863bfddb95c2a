"""What a driver writes with the plan is what insight reads of it."""

import pytest

from nefstudy.insight.declared import declarations, in_sentence
from nefstudy.insight.pace import planned_fits
from nefstudy.ledger import CellRecord
from nefstudy.study.plan import StudyPlan
from nefstudy.study.scales import SCALES, grid_cells, search_cells


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    """A searched and a listed cell on bundled digits."""
    cells = ("digits8/siren",)
    return StudyPlan(study="s", cells=(*search_cells(SCALES["smoke"], cells), *grid_cells(SCALES["smoke"], cells)))


def test_a_plans_declarations_are_read_back(plan: StudyPlan) -> None:
    """Objective, metrics with label, unit, split and domain, free parameters and sections are the plan's own."""
    declared = declarations(plan.describe())
    assert list(declared.cells) == [(cell.phase, cell.cell) for cell in plan.cells]
    for cell in plan.cells:
        own, objective = declared.of(cell.phase, cell.cell), plan.objective(cell)
        assert (own.objective, own.direction, own.planned) == (objective.metric, objective.direction, cell.planned)
        for metric in plan.metrics(cell):
            read = own.metric(metric.name)
            assert read.label.lower() == metric.label.lower()
            assert (read.unit, read.direction) == (metric.unit, metric.direction)
            assert (read.split, read.domain) == (metric.split, metric.domain)
        assert list(own.space) == list(cell.space)
        assert own.sections == plan.task(cell).sections
        assert own.reported is not None
        assert own.reported.name == "test_accuracy"
        assert own.quality[0] == "all_psnr"


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
def test_labels_are_read_within_sentences(label: str, read: str) -> None:
    """A capital that only begins a label is lowered, acronyms stay."""
    assert in_sentence(label) == read


def test_a_grid_is_known_by_its_sampler(plan: StudyPlan) -> None:
    """The grid's neural datasets are counted from its space; a search has no such number."""
    declared = declarations(plan.describe())
    search, grid = (declared.of(phase, "digits8/siren") for phase in ("phase1", "phase2"))
    assert (search.is_grid, grid.is_grid) == (False, True)
    assert planned_fits(search) is None
    rungs = len(grid.space["steps"]["values"])
    assert planned_fits(grid) == grid.planned // rungs


def test_the_ledgers_cells_decide_what_a_score_is(plan: StudyPlan) -> None:
    """A cell's record counts over the plan's text, and a cell that no plan describes is known by its record."""
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
    """Phases sort by their first appearance, whatever their names; what the plan does not have comes last."""
    turned = {"cells": plan.describe()["cells"][::-1]}
    order = declarations(turned).order
    assert sorted(["phase1", "another", "phase2"], key=lambda phase: order(phase, "")) == [
        "phase2",
        "phase1",
        "another",
    ]
    assert sorted(["z", "digits8/siren"], key=lambda cell: order("phase1", cell)) == ["digits8/siren", "z"]
