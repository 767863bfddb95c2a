"""Tests of the hand-over from a search to a grid: it ranks the parameters and proposes good values for them."""

import json
from dataclasses import replace

import pytest

from nefstudy.errors import BadConfig
from nefstudy.study.exchange.handover import fixed_value, grid_values, handover, read_handover, write_handover
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.space import GRID, GRID_FIXED, Categorical, Real, Whole
from nefstudy.tasks.task import Objective


@pytest.fixture
def searched(ledger, open_run, result):
    """Record a search of 60 trials whose accuracy depends only on the learning rate and the init."""
    plan = StudyPlan(study="s", cells=search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=60))
    run = open_run(ledger, plan)
    for count in range(60):
        suggestion = run.next(f"t{count}")
        dataset = suggestion.trial.dataset
        value = 0.3 + 0.3 * (dataset.init.name == "shared") + 0.3 * (1e-3 < dataset.optimizer.lr < 1e-2)
        run.completed(f"t{count}", result(value))
    return plan


def test_what_decides_is_ranked_first(searched, ledger):
    """The parameter that determines the accuracy ranks high, and only good values of it are proposed."""
    cell = handover(ledger, searched)["cells"]["mnist5k/siren"]
    assert cell["importance"]["lr"] > 3 * cell["importance"]["weight_decay"]
    assert "lr" in list(cell["importance"])[:2]
    assert all(1e-3 < value < 1e-2 for value in cell["grid"]["lr"])
    assert set(cell["grid"]) | set(cell["fixed"]) == set(searched.cells[0].space)
    assert cell["trials"] == 60
    steps = GRID["siren"]["steps"]
    assert isinstance(steps, Categorical)
    assert cell["paper"]["grid"]["steps"] == list(steps.values)


def test_a_minimized_objective_proposes_what_makes_it_small(ledger, open_run, result):
    """If a loss is minimized, the proposed values are those for which the loss is small."""
    cells = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=60)
    plan = StudyPlan(study="s", cells=tuple(replace(c, objective=Objective("val_loss", "minimize")) for c in cells))
    run = open_run(ledger, plan)
    for count in range(60):
        optimizer = run.next(f"t{count}").trial.dataset.optimizer
        loss = 0.9 - 0.6 * (1e-3 < optimizer.lr < 1e-2)
        run.completed(f"t{count}", replace(result(0.5), metrics={"val_loss": loss, "val_accuracy": 0.5}))
    cell = handover(ledger, plan)["cells"]["mnist5k/siren"]
    assert cell["best"] == pytest.approx(0.3)
    assert cell["objective"] == {"metric": "val_loss", "direction": "minimize"}
    assert "lr" in list(cell["importance"])[:2]
    assert all(1e-3 < value < 1e-2 for value in cell["grid"]["lr"])
    assert ledger.trials.best("s")[0].score == pytest.approx(0.3)
    scores = [row.score for row in ledger.trials.page("s", limit=None).rows]
    assert sum(scores[30:]) < sum(scores[:30]), "the search goes where the loss is small"


def test_phase_two_runs_from_the_file(searched, ledger, tmp_path):
    """A grid that is read from a hand-over file has as many points as the file proposes."""
    found = handover(ledger, searched)
    write_handover(found, tmp_path / "h" / "s.json")
    assert json.loads((tmp_path / "h" / "s.json").read_text()) == found
    read = read_handover(tmp_path / "h" / "s.json")
    (cell,) = grid_cells(SCALES["smoke"], ("mnist5k/siren",), handover=read)
    wanted = SCALES["smoke"].replicates
    for values in found["cells"]["mnist5k/siren"]["grid"].values():
        wanted *= len(values)
    assert cell.planned == wanted
    (paper,) = grid_cells(SCALES["smoke"], ("mnist5k/siren",))
    assert paper.fixed == GRID_FIXED["siren"]


def test_too_little_or_broken_is_refused(ledger, open_run, tmp_path):
    """A hand-over is rejected if no trial has finished, or if its file is missing, malformed or lacks the cell."""
    plan = StudyPlan(study="s", cells=search_cells(SCALES["smoke"], ("mnist5k/siren",)))
    open_run(ledger, plan)
    with pytest.raises(BadConfig, match="0 finished"):
        handover(ledger, plan)
    with pytest.raises(BadConfig, match="no hand-over"):
        read_handover(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(BadConfig, match="a hand-over"):
        read_handover(tmp_path / "other.json")
    with pytest.raises(BadConfig, match="mnist5k/mfn"):
        grid_cells(SCALES["smoke"], ("mnist5k/mfn",), handover={})


def test_values_keep_to_their_dimension():
    """Proposed values are quartiles of the best trials and are valid for their dimension.

    A choice keeps all its values.
    """
    assert grid_values(Categorical((1, 2, 3)), [3, 3]) == [1, 2, 3]
    assert fixed_value(Categorical((1, 2, 3)), [3, 3, 1]) == 3
    assert grid_values(Whole(4, 128, multiple=2), [4, 8, 32, 60, 128]) == [8, 32, 60]
    assert grid_values(Whole(4, 128, multiple=2), [7.2]) == [8]
    assert fixed_value(Real(1e-5, 1e-1, log=True), [0.0012345]) == pytest.approx(0.0012)
