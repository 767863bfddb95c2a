"""Laws of what a study keeps: never less than a trial needs, never more than its plan asks for."""

from dataclasses import replace

import pytest

from nefstudy.config import parse
from nefstudy.errors import BadConfig
from nefstudy.ledger.datasets import DROPPED
from nefstudy.neural_dataset import remove
from nefstudy.paths import DROPPED as DROPPED_FOLDER
from nefstudy.paths import dataset_path, manifest_path
from nefstudy.signals.kinds import IMAGE
from nefstudy.study.described import described_cell
from nefstudy.study.gc import collected
from nefstudy.study.plan import StudyPlan
from nefstudy.study.retention import Retention, drop, parse_keep, verdicts
from nefstudy.study.scales import SCALES, grid_cells, search_cells
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tasks.task import Objective, SignalTraits

from ..ledger.records import as_record
from .conftest import finish, put


def test_the_best_stay_and_the_others_go(ledger, started, result, tmp_path):
    """`best:1` keeps what the best trial of the cell read; results of all trials stay."""
    seen = finish(started, ledger, tmp_path, result)
    best = max(seen, key=lambda pair: pair[1])[0]
    Retention(started, str(tmp_path), keep="best:1").sweep()
    there = {row.digest for row in ledger.datasets.all() if row.state != DROPPED}
    assert there == {best} == {path.name for path in (tmp_path / "neural_datasets").iterdir()}
    assert len(ledger.trials.page("s", limit=None).rows) == len(seen) == 12


def test_a_ladder_with_a_rung_to_come_stays(ledger, started, result, tmp_path):
    """While one rung of a ladder is left, its neural dataset stays, whoever asks and whatever is kept."""
    seen = finish(started, ledger, tmp_path, result, most=11)
    (open_one,) = {dataset for dataset, _ in seen if sum(d == dataset for d, _ in seen) == 2}
    for plan in (started.plan, None):
        going = {v.dataset for v in verdicts(ledger, keep={"s": "none"}, plan=plan) if v.goes}
        assert going == {dataset for dataset, _ in seen} - {open_one}
    started.next("u")
    reasons = {v.dataset: v.reason for v in verdicts(ledger, keep={"s": "none"})}
    assert "waits for it or runs" in reasons[open_one]
    started.completed("u", result(0.0))
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none"}))


def test_a_trial_that_was_cut_off_keeps_its_dataset(ledger, started, result, tmp_path):
    """INTERRUPTED is to be continued; a wish for a retry is as good as a trial under way."""
    seen = finish(started, ledger, tmp_path, result, most=12)
    ledger.leases.release(started.lease, state="stopped")
    suggestion_row = ledger.trials.page("s", limit=None).rows[0]
    other = ledger.trials.get(suggestion_row.key)
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none"}))
    trial = replace_seed(other)
    ledger.trials.request("s", "phase2", record=as_record(trial))
    ledger.trials.interrupt("s")
    put(ledger, tmp_path, trial.dataset.digest)
    stays = {v.dataset for v in verdicts(ledger, keep={"s": "none"}) if not v.goes}
    assert stays == {trial.dataset.digest}
    assert trial.dataset.digest not in {dataset for dataset, _ in seen}


def test_a_wish_for_a_failed_trial_keeps_its_dataset(ledger, started, result, tmp_path):
    """Put back but not handed out yet: the driver drops all others of `none`, not this one."""
    bad = started.next("bad")
    put(ledger, tmp_path, bad.datasets[0])
    started.failed("bad", cause="diverged", error="x")
    seen = finish(started, ledger, tmp_path, result)
    row = ledger.trials.get(bad.trial.key, study="s")
    started.put_first(started.cells.suggestion(row))
    Retention(started, str(tmp_path), keep="none").sweep()
    assert {path.name for path in (tmp_path / "neural_datasets").iterdir()} == {row.dataset}
    assert len({dataset for dataset, _ in seen}) == 4


def replace_seed(row):
    """Another trial like the row's, of a neural dataset of its own."""
    config = row.config | {"dataset": row.config["dataset"] | {"seed": 99}}
    return parse(ClassificationConfig, config, where="test")


def test_any_study_that_keeps_it_keeps_it(  # noqa: PLR0917  # fixtures
    ledger, started, result, small_grid, open_run, tmp_path
):
    """A second study that answers from the same neural datasets and keeps all holds all of them."""
    finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    second = open_run(ledger, StudyPlan(study="two", cells=(small_grid,)))
    assert second.next("x") is None, "all answered"
    assert not any(v.goes for v in verdicts(ledger, keep={"s": "none"}))
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none", "two": "none"}))


def test_unknown_neural_datasets_are_left_alone(ledger, started, result, tmp_path):
    """What no trial of the ledger has read, an imported one say, never goes."""
    finish(started, ledger, tmp_path, result)
    put(ledger, tmp_path, "f" * 20)
    stranger = tmp_path / dataset_path("e" * 20) / "manifest.json"
    stranger.parent.mkdir()
    stranger.write_text("{}")
    found = {v.dataset: v for v in verdicts(ledger, keep={"s": "none"}, root=str(tmp_path))}
    assert not found["f" * 20].goes
    assert not found["e" * 20].goes
    assert "no trial of this ledger" in found["e" * 20].reason
    assert found["e" * 20].bytes == 2


def test_a_drop_that_was_cut_off_is_finished_by_the_next(ledger, started, result, tmp_path, monkeypatch):
    """Killed after the rename: no reader sees it, and collecting again removes the rest."""
    seen = finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    digest = seen[0][0]

    def die(self, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(remove.Storage, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            drop(ledger, str(tmp_path), digest)
    assert not (tmp_path / dataset_path(digest)).exists()
    assert len(list((tmp_path / DROPPED_FOLDER).iterdir())) == 1
    assert ledger.datasets.get(digest).state == "dropping"
    collected(ledger, str(tmp_path), keep="none", study=None, dry_run=False)
    assert not list((tmp_path / DROPPED_FOLDER).iterdir())
    assert ledger.datasets.get(digest).state == DROPPED


def test_a_neural_dataset_moved_aside_that_the_ledger_holds_present_comes_back(ledger, started, result, tmp_path):
    """Killed between the rename of somebody else's fit and the check: the next sweep puts it back."""
    finish(started, ledger, tmp_path, result)
    best = min(row.dataset for row in ledger.trials.page("s", limit=None).rows)
    aside = tmp_path / DROPPED_FOLDER / f"{best}.0123"
    aside.parent.mkdir()
    (tmp_path / dataset_path(best)).rename(aside)
    ledger.leases.release(started.lease, state="finished")
    collected(ledger, str(tmp_path), keep="all", study=None, dry_run=False)
    assert (tmp_path / manifest_path(best)).exists()
    assert not aside.exists()


def test_a_trial_in_flight_keeps_what_it_reads(ledger, started, result, tmp_path):
    """A trial that was handed out after the verdict, by whatever study, keeps its neural dataset."""
    suggestion = started.next("t")
    put(ledger, tmp_path, suggestion.datasets[0])
    drop(ledger, str(tmp_path), suggestion.datasets[0])
    assert (tmp_path / manifest_path(suggestion.datasets[0])).exists()
    assert ledger.datasets.get(suggestion.datasets[0]).state == "present"


def test_what_was_fitted_again_while_it_was_dropped_is_present(ledger, started, tmp_path):
    """Another study's driver recorded its own fit in between: the end of the drop does not overwrite that."""
    put(ledger, tmp_path, "d" * 20)
    assert ledger.datasets.begin_drop("d" * 20)
    put(ledger, tmp_path, "d" * 20)
    ledger.datasets.end_drop("d" * 20)
    assert ledger.datasets.get("d" * 20).state == "present"


def test_a_grid_with_a_field_of_its_own_keeps_its_cell(ledger, small_grid, started, result, tmp_path):
    """A plan that only its script can list is not guessed at; the run itself, which has the script, knows."""
    finish(started, ledger, tmp_path, result)
    told = StudyPlan(study="s", cells=(replace(small_grid, field="siren"),)).describe()["cells"]
    told[0]["fixed"]["unheard_of"] = 1
    ledger.studies.put("s", {"seed": 0, "cells": told}, cells={})
    assert {v.reason for v in verdicts(ledger, keep={"s": "none"})} == {
        "only the script of s knows what digits8/siren needs"
    }
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none"}, plan=started.plan))


@pytest.mark.parametrize("scale", SCALES)
def test_a_described_cell_is_the_cell(scale):
    """Every cell of every scale comes back from its description, through JSON."""
    import json

    for one in (*search_cells(SCALES[scale]), *grid_cells(SCALES[scale])):
        cell = replace(one, label=one.cell, objective=Objective("val_accuracy"), traits=SignalTraits(IMAGE))
        plan = StudyPlan(study="s", cells=(cell,))
        (told,) = json.loads(json.dumps(plan.describe()))["cells"]
        assert described_cell(told) == cell


@pytest.mark.parametrize(("text", "best"), [("all", None), ("none", 0), ("best:3", 3)])
def test_what_keep_may_say(text, best):
    """Three words; anything else is refused."""
    assert parse_keep(text) == best
    for wrong in ("best", "best:0", "best:-1", "best:x", "some", ""):
        with pytest.raises(BadConfig, match="allowed are all, best:N"):
            parse_keep(wrong)
