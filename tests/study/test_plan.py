"""Laws of plans: equal experiments have equal keys, and the paper's study has the paper's size."""

from dataclasses import replace

import pytest

from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import StudyRow
from nefstudy.study.continuing import continued
from nefstudy.study.cost import plan_cost
from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials, trial_config
from nefstudy.study.samplers import Tpe
from nefstudy.study.scales import SCALES, chosen_cells, grid_cells, scale_named, search_cells
from nefstudy.study.space import GRID, GRID_FIXED, OPTIMISATION, Choice, Real, Whole


def plan_of(*cells: CellPlan, seed: int = 0) -> StudyPlan:
    return StudyPlan(study="a", cells=cells, seed=seed)


def grid_cell(**changes) -> CellPlan:
    return replace(grid_cells(SCALES["smoke"], ("mnist5k/siren",))[0], **changes)


def test_defaults_written_out_do_not_change_a_key():
    """A point that spells out a default is the same trial as one that leaves it out."""
    cell = grid_cell()
    short = {"init": "shared", "lr": 1e-3, "steps": 10, "hidden": 32}
    long = {**short, "layers": 3, "omega_0": 9, "weight_decay": 0}
    plan = plan_of(cell)
    assert trial_config(plan, cell, short).key == trial_config(plan, cell, long).key


@pytest.mark.parametrize(
    ("name", "value"), [("hidden", 16), ("steps", 11), ("lr", 2e-3), ("init", "random"), ("views", 3)]
)
def test_every_parameter_changes_the_key(name, value):
    """Two points that differ in one parameter are two trials."""
    cell = grid_cell()
    point = {"init": "shared", "lr": 1e-3, "steps": 10, "hidden": 32}
    plan = plan_of(cell)
    assert trial_config(plan, cell, point).key != trial_config(plan, cell, {**point, name: value}).key


def test_a_point_may_choose_among_the_cells_classifiers():
    """The named classifier reads one neural dataset as the cell's own would; a name not listed is refused."""
    cell = grid_cell(classifiers={"flat": ClassifierConfig(name="mlp", epochs=3)})
    point = {"init": "shared", "lr": 1e-3, "steps": 10, "hidden": 32}
    own, other = (
        trial_config(plan_of(cell), cell, point),
        trial_config(plan_of(cell), cell, point | {"classifier": "flat"}),
    )
    assert (own.classifier.name, other.classifier.name) == (cell.classifier.name, "mlp")
    assert own.dataset.digest == other.dataset.digest
    assert plan_of(cell).describe()["cells"][0]["classifiers"]["flat"]["epochs"] == 3
    with pytest.raises(BadConfig, match="no classifier 'flta' in this cell; allowed: flat"):
        trial_config(plan_of(cell), cell, point | {"classifier": "flta"})


def test_views_multiply_what_a_fit_costs():
    """Three fits of each signal are three times the steps, in a grid and in a search."""
    one, search = grid_cell(), search_cells(SCALES["smoke"], ("mnist5k/siren",))[0]
    cells = (one, search, *(replace(cell, fixed={**cell.fixed, "views": 3}) for cell in (one, search)))
    cost = [plan_cost(plan_of(cell))[0].field_steps for cell in cells]
    assert cost[2:] == [3 * cost[0], pytest.approx(3 * cost[1], abs=3)]


def test_rungs_of_a_ladder_share_one_neural_dataset():
    """Step counts do not enter the digest of the neural dataset."""
    trials = list(listed_trials(plan_of(grid_cell()), grid_cell()))
    assert len({trial.key for trial in trials}) == len(trials)
    starts_by_hidden = 2 * len(GRID["siren"]["hidden"].values[:2])
    assert len({trial.dataset.digest for trial in trials}) == starts_by_hidden


def test_replicates_are_distinct_trials():
    """Each replicate has a seed, hence a key and a neural dataset, of its own."""
    cell = grid_cell(replicates=3)
    trials = list(listed_trials(plan_of(cell), cell))
    assert len({trial.key for trial in trials}) == cell.planned == 3 * grid_cell().planned
    assert len({trial.dataset.seed for trial in trials}) == 3


def test_the_paper_scale_is_thirty_thousand_trials():
    """Twelve cells: 2,440 searched and 60 grid trials each."""
    search, grid = search_cells(SCALES["paper"]), grid_cells(SCALES["paper"])
    assert len(search) == len(grid) == 12
    assert sum(cell.planned for cell in search) == 29_280
    assert sum(cell.planned for cell in grid) == 720
    assert [cell.space for cell in grid[:3]] == [GRID["siren"], GRID["rffnet"], GRID["mfn"]]
    assert grid[0].fixed == GRID_FIXED["siren"]


def test_unknown_names_are_refused_with_what_is_allowed():
    """Scale, cell, parameter and classifier: each error names the value and the choices."""
    with pytest.raises(BadConfig, match="unknown scale 'big': allowed are smoke, cpu, paper"):
        scale_named("big")
    with pytest.raises(BadConfig, match="unknown cell 'mnist5k/sirenn'"):
        chosen_cells(SCALES["smoke"], ("mnist5k/sirenn",))
    cell = grid_cell(fixed={**GRID_FIXED["siren"], "omega": 3})
    with pytest.raises(BadConfig, match="omega"):
        next(iter(listed_trials(plan_of(cell), cell)))
    with pytest.raises(BadConfig, match="lr"):
        trial_config(plan_of(cell), cell, {"init": "shared", "steps": 1, "lr": -1.0})
    with pytest.raises(BadConfig, match="lacks"):
        trial_config(plan_of(cell), cell, {"init": "shared"})


def test_a_huge_grid_is_refused_before_it_is_built():
    """10^9 points: refused at once, naming the number."""
    space = {name: Choice(tuple(range(1, 1001))) for name in ("hidden", "steps", "layers")}
    with pytest.raises(BadConfig, match="1,000,000,000 trials"):
        grid_cell(space=space)


def test_a_study_without_or_with_repeated_cells_is_refused():
    """A plan names each cell of a phase once."""
    with pytest.raises(BadConfig):
        plan_of()
    with pytest.raises(BadConfig):
        plan_of(grid_cell(), grid_cell())


def row_of(plan: StudyPlan) -> StudyRow:
    return StudyRow(study=plan.study, state="stopped", plan=continued(None, plan), created_at=0.0, updated_at=0.0)


def test_budgets_and_cells_may_grow():
    """More trials, more replicates and new cells continue a study; earlier cells stay in its record."""
    first = plan_of(*search_cells(SCALES["smoke"], ("mnist5k/siren",)))
    more = plan_of(*search_cells(SCALES["smoke"], ("mnist5k/mfn", "mnist5k/siren"), trials=9))
    assert {cell["cell"] for cell in continued(row_of(first), more)["cells"]} == {
        "mnist5k/siren",
        "mnist5k/mfn",
    }
    assert len(continued(row_of(more), first)["cells"]) == 2


def test_a_changed_meaning_is_refused_with_the_difference():
    """Another seed, space or classifier by the same name: refused, naming old and new."""
    plan = plan_of(grid_cell())
    with pytest.raises(BadConfig, match="seed was 0, now 1"):
        continued(row_of(plan), plan_of(grid_cell(), seed=1))
    with pytest.raises(BadConfig, match="lr"):
        continued(row_of(plan), plan_of(grid_cell(fixed={**GRID_FIXED["siren"], "lr": 5e-3})))


def test_fits_that_share_a_shape_are_counted():
    """A grid: its points by steps and shapes; a search: its budget by the shapes it may take, at least one."""
    space = {"init": Choice(("shared", "random")), "hidden": Choice((8, 16)), "steps": Choice((5, 10, 20))}
    grid = CellPlan("phase2", SignalsConfig(name="digits8"), "siren", space, replicates=3)
    assert grid.fits_a_shape == 6
    search = CellPlan("phase1", SignalsConfig(name="digits8"), "siren", {**OPTIMISATION}, sampler=Tpe(50))
    assert search.fits_a_shape == 50
    wide = replace(search, space={"layers": Whole(3, 6), "omega_0": Real(1, 100), "batch_points": Choice((16, 32))})
    assert wide.fits_a_shape == 6
    assert replace(wide, sampler=Tpe(5)).fits_a_shape == 1
    plan = StudyPlan(study="s", cells=(grid, search))
    assert plan.fits_a_shape("phase1", "digits8/siren") == 50
    assert plan.fits_a_shape("phase1", "elsewhere/mfn") == 1
