"""Tests of plans: the keys, costs and sizes of their trials, and how a study's plan may change."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nefstudy.config import ClassifierConfig, SignalsConfig, TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.insight.declared import declarations
from nefstudy.insight.pace import planned_fits
from nefstudy.ledger import StudyRow
from nefstudy.study.estimate.cost import plan_cost
from nefstudy.study.plan.continuation import continued
from nefstudy.study.plan.recorded import described_cell
from nefstudy.study.plan.scales import SCALES, chosen_cells, grid_cells, scale_named, search_cells
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.samplers import Grid, Tpe
from nefstudy.study.samplers.listed import ListedStream
from nefstudy.study.samplers.stream import Cell, History
from nefstudy.study.space import GRID, GRID_FIXED, OPTIMIZATION, Categorical, Real, Whole
from nefstudy.tasks.task import Point

from ...classification import all_trials, classification
from ...present import present


def plan_of(*cells: CellPlan, seed: int = 0) -> StudyPlan:
    return StudyPlan(study="a", cells=cells, seed=seed)


def grid_cell(**changes) -> CellPlan:
    return replace(grid_cells(SCALES["smoke"], ("mnist5k/siren",), replicates=1)[0], **changes)


def test_defaults_written_out_do_not_change_a_key():
    """A point that spells out a default is the same trial as a point that omits it."""
    cell = grid_cell()
    short: Point = {"init": "shared", "lr": 1e-3, "steps": 10, "hidden": 32}
    long: Point = {**short, "layers": 3, "omega_0": 9, "weight_decay": 0}
    plan = plan_of(cell)
    assert plan.sampled(cell).codec.configure(short).key == plan.sampled(cell).codec.configure(long).key


@pytest.mark.parametrize(
    ("name", "value"), [("hidden", 16), ("steps", 11), ("lr", 2e-3), ("init", "random"), ("views", 3)]
)
def test_every_parameter_changes_the_key(name, value):
    """Two points that differ in one parameter are two trials."""
    cell = grid_cell()
    point: Point = {"init": "shared", "lr": 1e-3, "steps": 10, "hidden": 32}
    plan = plan_of(cell)
    assert (
        plan.sampled(cell).codec.configure(point).key != plan.sampled(cell).codec.configure({**point, name: value}).key
    )


def test_a_point_may_choose_among_the_cells_classifiers():
    """A point can name only classifiers of its cell, and all of them use the same neural dataset."""
    cell = grid_cell(classifiers={"flat": ClassifierConfig(name="mlp", epochs=3)})
    point: Point = {"init": "shared", "lr": 1e-3, "steps": 10, "hidden": 32}
    own, other = (
        classification(plan_of(cell).sampled(cell).codec.configure(point)),
        classification(plan_of(cell).sampled(cell).codec.configure(point | {"classifier": "flat"})),
    )
    assert (own.classifier.name, other.classifier.name) == (cell.classifier.name, "mlp")
    assert own.dataset.digest == other.dataset.digest
    assert plan_of(cell).describe()["cells"][0]["classifiers"]["flat"]["epochs"] == 3
    with pytest.raises(BadConfig, match=r"'flta' .*: flat"):
        plan_of(cell).sampled(cell).codec.configure(point | {"classifier": "flta"})


def test_views_multiply_what_a_fit_costs():
    """Fitting each signal three times takes three times as many steps, in a grid and in a search."""
    one, search = grid_cell(), search_cells(SCALES["smoke"], ("mnist5k/siren",))[0]
    cells = (one, search, *(replace(cell, fixed={**cell.fixed, "views": 3}) for cell in (one, search)))
    cost = [plan_cost(plan_of(cell))[0].field_steps for cell in cells]
    assert cost[2:] == [3 * cost[0], pytest.approx(3 * cost[1], abs=3)]


def test_rungs_of_a_ladder_share_one_neural_dataset():
    """Step counts do not change the digest of the neural dataset."""
    trials = all_trials(plan_of(grid_cell()), grid_cell())
    assert len({trial.key for trial in trials}) == len(trials)
    hidden = grid_cell().space["hidden"]
    assert isinstance(hidden, Categorical)
    starts_by_hidden = 2 * len(hidden.values)
    assert len({trial.dataset.digest for trial in trials}) == starts_by_hidden


def test_replicates_are_distinct_trials():
    """Each replicate has a different seed and therefore a different key and neural dataset."""
    cell = grid_cell(replicates=3)
    trials = all_trials(plan_of(cell), cell)
    assert len({trial.key for trial in trials}) == cell.planned == 3 * grid_cell().planned
    assert len({trial.dataset.seed for trial in trials}) == 3


def test_the_paper_scale_is_thirty_thousand_trials():
    """At the paper's scale, each of the twelve cells has 2,440 search trials and 60 grid trials."""
    search, grid = search_cells(SCALES["paper"]), grid_cells(SCALES["paper"])
    assert len(search) == len(grid) == 12
    assert sum(cell.planned for cell in search) == 29_280
    assert sum(cell.planned for cell in grid) == 720
    assert [cell.space for cell in grid[:3]] == [GRID["siren"], GRID["rffnet"], GRID["mfn"]]
    assert grid[0].fixed == GRID_FIXED["siren"]


@pytest.mark.parametrize("scale", SCALES)
def test_a_search_fits_no_test_signals_and_a_grid_does(scale):
    """At every scale, only the signals of searches lack test signals."""
    assert all(cell.signals.without_test for cell in search_cells(SCALES[scale]))
    assert not any(cell.signals.without_test for cell in grid_cells(SCALES[scale]))


def test_a_search_plans_and_records_no_metric_of_the_test_split():
    """A search's traits, metrics and description have no test split; they are read back from the description."""
    search, grid = (
        search_cells(SCALES["smoke"], ("digits8/siren",))[0],
        grid_cells(SCALES["smoke"], ("digits8/siren",))[0],
    )
    plan = plan_of(search, grid).pinned()
    assert [cell.traits is not None and cell.traits.test for cell in plan.cells] == [False, True]
    assert [any(m.split == "test" for m in plan.metrics(cell)) for cell in plan.cells] == [False, True]
    described = plan.describe()["cells"]
    assert [cell["test"] for cell in described] == [False, True]
    for cell, recorded in zip(plan.cells, map(described_cell, described), strict=True):
        assert recorded.traits == cell.traits
        assert recorded.signals == cell.signals
    old = {name: value for name, value in described[1].items() if name != "test"}
    assert described_cell(old).traits == plan.cells[1].traits, "earlier versions recorded no such key"


def test_small_scales_repeat_the_grid():
    """Without a number of replicates, a grid has the scale's: three seeds at smoke and cpu, one at paper."""
    by_scale = {name: {cell.replicates for cell in grid_cells(scale)} for name, scale in SCALES.items()}
    assert by_scale == {"smoke": {3}, "cpu": {3}, "paper": {1}}
    assert {cell.replicates for cell in grid_cells(SCALES["smoke"], replicates=2)} == {2}
    assert {cell.replicates for cell in search_cells(SCALES["smoke"])} == {1}


def test_the_smoke_study_looks_for_a_decline_at_many_steps():
    """The smoke grid's ladders reach 1,000 steps: 72 trials, of which each four share one of 18 fits."""
    cells = grid_cells(SCALES["smoke"])
    assert sum(cell.planned for cell in cells) == 72
    assert [cell.space["steps"] for cell in cells] == [Categorical((10, 25, 75, 1000))] * 3
    assert sum(cost.fits for cost in plan_cost(plan_of(*cells))) == 18


def test_unknown_names_are_refused_with_what_is_allowed():
    """An unknown scale, cell or parameter is rejected with an error that names it."""
    with pytest.raises(BadConfig, match=r"'big': .*smoke, cpu, paper"):
        scale_named("big")
    with pytest.raises(BadConfig, match="'mnist5k/sirenn'"):
        chosen_cells(SCALES["smoke"], ("mnist5k/sirenn",))
    cell = grid_cell(fixed={**GRID_FIXED["siren"], "omega": 3})
    with pytest.raises(BadConfig, match="omega"):
        next(iter(present(listed_trials(plan_of(cell), cell))))
    with pytest.raises(BadConfig, match="lr"):
        plan_of(cell).sampled(cell).codec.configure({"init": "shared", "steps": 1, "lr": -1.0})
    with pytest.raises(BadConfig, match="steps"):
        plan_of(cell).sampled(cell).codec.configure({"init": "shared"})


def test_a_huge_grid_is_refused_before_it_is_built():
    """A grid of 10^9 points is rejected before it is built, with an error that states the number."""
    space = {name: Categorical(tuple(range(1, 1001))) for name in ("hidden", "steps", "layers")}
    with pytest.raises(BadConfig, match="1,000,000,000 trials"):
        grid_cell(space=space)


def test_a_study_without_or_with_repeated_cells_is_refused():
    """A plan without cells, or with a repeated cell in a phase, is rejected."""
    with pytest.raises(BadConfig):
        plan_of()
    with pytest.raises(BadConfig):
        plan_of(grid_cell(), grid_cell())


def row_of(plan: StudyPlan) -> StudyRow:
    return StudyRow(study=plan.study, state="stopped", plan=continued(None, plan), created_at=0.0, updated_at=0.0)


def test_budgets_and_cells_may_grow():
    """A study may be continued with more trials and new cells."""
    first = plan_of(*search_cells(SCALES["smoke"], ("mnist5k/siren",)))
    more = plan_of(*search_cells(SCALES["smoke"], ("mnist5k/mfn", "mnist5k/siren"), trials=9))
    assert {cell["cell"] for cell in continued(row_of(first), more)["cells"]} == {
        "mnist5k/siren",
        "mnist5k/mfn",
    }
    assert len(continued(row_of(more), first)["cells"]) == 2


def test_a_changed_meaning_is_refused_with_the_difference():
    """A study cannot be continued with a different seed or fixed value, and the error names the difference."""
    plan = plan_of(grid_cell())
    with pytest.raises(BadConfig, match=r"seed .*0, .*1"):
        continued(row_of(plan), plan_of(grid_cell(), seed=1))
    with pytest.raises(BadConfig, match="lr"):
        continued(row_of(plan), plan_of(grid_cell(fixed={**GRID_FIXED["siren"], "lr": 5e-3})))


def test_fits_that_share_a_shape_are_counted():
    """A plan counts how many of its fits share a shape.

    A grid counts points per step count and shape. A search divides its budget by the number of shapes.
    """
    space = {
        "init": Categorical(("shared", "random")),
        "hidden": Categorical((8, 16)),
        "steps": Categorical((5, 10, 20)),
    }
    grid = CellPlan("phase2", SignalsConfig(name="digits8"), "siren", space, replicates=3)
    assert grid.fits_per_shape == 6
    search = CellPlan("phase1", SignalsConfig(name="digits8"), "siren", {**OPTIMIZATION}, sampler=Tpe(50))
    assert search.fits_per_shape == 50
    wide = replace(
        search, space={"layers": Whole(3, 6), "omega_0": Real(1, 100), "batch_points": Categorical((16, 32))}
    )
    assert wide.fits_per_shape == 6
    assert replace(wide, sampler=Tpe(5)).fits_per_shape == 1
    plan = StudyPlan(study="s", cells=(grid, search))
    assert plan.fits_per_shape("phase1", "digits8/siren") == 50
    assert plan.fits_per_shape("phase1", "elsewhere/mfn") == 1


@dataclass(frozen=True)
class Reversed:
    """A custom sampler that lists the whole space in reverse order."""

    is_prunable = False
    covers_space = True
    after = None
    planned = Grid.planned

    def describe(self) -> dict[str, Any]:
        return {"name": "Reversed"}

    def listed(self, cell: Cell) -> Iterator[TrialConfig]:
        yield from reversed(list(Grid().listed(cell)))

    def open(self, cell: Cell, history: History) -> ListedStream:
        return ListedStream(cell, self.listed(cell), history)


def test_a_custom_sampler_that_covers_the_space_counts_as_a_grid():
    """A custom sampler that covers its space is treated like a grid, so each of its ladders is fitted once."""
    grid = grid_cell()
    plan = plan_of(grid, replace(grid, sampler=Reversed(), label="reversed"))
    one, other = plan.cells
    assert other.fits_per_shape == one.fits_per_shape > 1
    assert {t.key for t in all_trials(plan, other)} == {t.key for t in all_trials(plan, one)}
    declared = declarations(plan.describe())
    fits = [planned_fits(declared.of(cell.phase, cell.cell)) for cell in plan.cells]
    steps = one.space["steps"]
    assert isinstance(steps, Categorical)
    assert fits[0] == fits[1] == one.planned // len(steps.values)
