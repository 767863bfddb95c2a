"""Tests of retention: a study keeps what its trials need and what its plan requests, and nothing more."""

from dataclasses import replace
from typing import Any

import pytest

from nefstudy.config import parse
from nefstudy.errors import BadConfig
from nefstudy.ledger.datasets import DROPPED
from nefstudy.paths import DROPPED as DROPPED_FOLDER
from nefstudy.paths import dataset_path, manifest_path
from nefstudy.signals.kinds import IMAGE
from nefstudy.storage import Storage
from nefstudy.study.gc import run_gc
from nefstudy.study.plan.recorded import described_cell
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.retention import Retention, drop, parse_keep, verdicts
from nefstudy.study.samplers import Grid
from nefstudy.study.space import Categorical, Space
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tasks.task import Objective, SignalTraits

from ..ledger.records import as_record
from .datasets import finish, put
from .needing_tasks import PAIRS, pair_needs, perform, plain_cell, plan_of


def test_the_best_stay_and_the_others_are_dropped(ledger, started, result, tmp_path):
    """With `best:1`, a sweep keeps only the best trial's neural dataset, but the results of all trials."""
    seen = finish(started, ledger, tmp_path, result)
    best = max(seen, key=lambda pair: pair[1])[0]
    Retention(started, str(tmp_path), keep="best:1").sweep()
    present = {row.digest for row in ledger.datasets.all() if row.state != DROPPED}
    assert present == {best} == {path.name for path in (tmp_path / "neural_datasets").iterdir()}
    assert len(ledger.trials.page("s", limit=None).rows) == len(seen) == 12


def test_a_ladder_with_a_rung_left_to_read_stays(ledger, started, result, tmp_path):
    """Even if a study keeps `none`, a neural dataset is kept until all rungs of its ladder have been read."""
    seen = finish(started, ledger, tmp_path, result, most=11)
    (open_one,) = {dataset for dataset, _ in seen if sum(d == dataset for d, _ in seen) == 2}
    for plan in (started.plan, None):
        dropped = {v.dataset for v in verdicts(ledger, keep={"s": "none"}, plan=plan) if v.goes}
        assert dropped == {dataset for dataset, _ in seen} - {open_one}
    started.next("u")
    reasons = {v.dataset: v.reason for v in verdicts(ledger, keep={"s": "none"})}
    assert "waits for it or is running" in reasons[open_one]
    started.completed("u", result(0.0))
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none"}))


def test_an_interrupted_trial_keeps_its_neural_dataset(ledger, started, result, tmp_path):
    """The neural dataset of an INTERRUPTED trial is kept, because the trial will be resumed."""
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


def test_a_queued_retry_keeps_its_neural_dataset(ledger, started, result, tmp_path):
    """Even if a study keeps `none`, the neural dataset of a failed trial that is queued for a retry is kept."""
    bad = started.next("bad")
    put(ledger, tmp_path, bad.datasets[0])
    started.failed("bad", cause="diverged", error="x")
    seen = finish(started, ledger, tmp_path, result)
    row = ledger.trials.get(bad.trial.key, study="s")
    started.enqueue(started.cells.suggestion(row))
    Retention(started, str(tmp_path), keep="none").sweep()
    assert {path.name for path in (tmp_path / "neural_datasets").iterdir()} == {row.dataset}
    assert len({dataset for dataset, _ in seen}) == 4


def replace_seed(row):
    """Return the row's trial with a different seed for its neural dataset."""
    config = row.config | {"dataset": row.config["dataset"] | {"seed": 99}}
    return parse(ClassificationConfig, config, where="test")


def test_a_neural_dataset_stays_while_any_study_keeps_it(  # noqa: PLR0917  # fixtures
    ledger, started, result, small_grid, open_run, tmp_path
):
    """If two studies use the same neural datasets, the datasets are kept as long as one study keeps them."""
    finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    second = open_run(ledger, StudyPlan(study="two", cells=(small_grid,)))
    assert second.next("x") is None, "all answered"
    assert not any(v.goes for v in verdicts(ledger, keep={"s": "none"}))
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none", "two": "none"}))


def test_unknown_neural_datasets_stay(ledger, started, result, tmp_path):
    """A neural dataset that no trial in the ledger has read, such as an imported one, is kept."""
    finish(started, ledger, tmp_path, result)
    put(ledger, tmp_path, "f" * 20)
    stranger = tmp_path / dataset_path("e" * 20) / "manifest.json"
    stranger.parent.mkdir()
    stranger.write_text("{}")
    decided = {v.dataset: v for v in verdicts(ledger, keep={"s": "none"}, root=str(tmp_path))}
    assert not decided["f" * 20].goes
    assert not decided["e" * 20].goes
    assert "no trial of this ledger" in decided["e" * 20].reason
    assert decided["e" * 20].bytes == 2


def test_an_interrupted_drop_is_finished_by_the_next_one(ledger, started, result, tmp_path, monkeypatch):
    """If a drop is killed after it has renamed a neural dataset, the next gc removes the remaining files."""
    seen = finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    digest = seen[0][0]

    def die(self, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            drop(ledger, str(tmp_path), digest)
    assert not (tmp_path / dataset_path(digest)).exists()
    assert len(list((tmp_path / DROPPED_FOLDER).iterdir())) == 1
    assert ledger.datasets.get(digest).state == "dropping"
    run_gc(ledger, str(tmp_path), keep="none", study=None, dry_run=False)
    assert not list((tmp_path / DROPPED_FOLDER).iterdir())
    assert ledger.datasets.get(digest).state == DROPPED


def test_a_neural_dataset_moved_aside_but_present_in_the_ledger_is_restored(ledger, started, result, tmp_path):
    """A neural dataset that was moved aside but is present in the ledger is restored by the next gc."""
    finish(started, ledger, tmp_path, result)
    best = min(row.dataset for row in ledger.trials.page("s", limit=None).rows)
    aside = tmp_path / DROPPED_FOLDER / f"{best}.0123"
    aside.parent.mkdir()
    (tmp_path / dataset_path(best)).rename(aside)
    ledger.leases.release(started.lease, state="finished")
    run_gc(ledger, str(tmp_path), keep="all", study=None, dry_run=False)
    assert (tmp_path / manifest_path(best)).exists()
    assert not aside.exists()


def test_a_trial_in_flight_keeps_what_it_reads(ledger, started, result, tmp_path):
    """A neural dataset that a trial in flight reads is not dropped."""
    suggestion = started.next("t")
    put(ledger, tmp_path, suggestion.datasets[0])
    drop(ledger, str(tmp_path), suggestion.datasets[0])
    assert (tmp_path / manifest_path(suggestion.datasets[0])).exists()
    assert ledger.datasets.get(suggestion.datasets[0]).state == "present"


def test_a_neural_dataset_fitted_again_during_its_drop_is_present(ledger, started, tmp_path):
    """A neural dataset that is fitted again during its drop is recorded as present afterwards."""
    put(ledger, tmp_path, "d" * 20)
    assert ledger.datasets.begin_drop("d" * 20)
    put(ledger, tmp_path, "d" * 20)
    ledger.datasets.end_drop("d" * 20)
    assert ledger.datasets.get("d" * 20).state == "present"


def test_a_cell_that_only_its_script_can_list_keeps_all(ledger, small_grid, started, result, tmp_path):
    """If only the study's script can list the trials of a cell, gc keeps all of its neural datasets."""
    finish(started, ledger, tmp_path, result)
    cells = StudyPlan(study="s", cells=(replace(small_grid, field="siren"),)).describe()["cells"]
    cells[0]["fixed"]["unheard_of"] = 1
    ledger.studies.put("s", {"seed": 0, "cells": cells}, cells={})
    assert {v.reason for v in verdicts(ledger, keep={"s": "none"})} == {
        "only the script of s knows what digits8/siren needs"
    }
    assert all(v.goes for v in verdicts(ledger, keep={"s": "none"}, plan=started.plan))


@pytest.mark.parametrize("scale", SCALES)
def test_a_described_cell_is_the_cell(scale):
    """Every cell of every scale can be restored from its JSON description."""
    import json

    for one in (*search_cells(SCALES[scale]), *grid_cells(SCALES[scale])):
        cell = replace(one, label=one.cell, objective=Objective("val_accuracy"), traits=SignalTraits(IMAGE))
        plan = StudyPlan(study="s", cells=(cell,))
        (description,) = json.loads(json.dumps(plan.describe()))["cells"]
        assert described_cell(description) == cell


@pytest.mark.parametrize(("text", "best"), [("all", None), ("none", 0), ("best:3", 3)])
def test_keep_is_all_none_or_a_number_of_best_trials(text, best):
    """The only values of `keep` are `all`, `none` and `best:N`; the error for any other value lists them."""
    assert parse_keep(text) == best
    for wrong in ("best", "best:0", "best:-1", "best:x", "some", ""):
        with pytest.raises(BadConfig, match="all, best:N"):
            parse_keep(wrong)


def present(root) -> set[str]:
    """Return the digests of the neural datasets under a root."""
    folder = root / "neural_datasets"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_dataset_is_dropped_once_no_trial_needs_it_as_one_of_two(ledger, open_run, tmp_path):
    """With `keep="none"`, each sweep keeps only the neural datasets that the remaining trials need."""
    run = open_run(ledger, plan_of(PAIRS, plain_cell(Grid())))
    retention, fitted, left = Retention(run, str(tmp_path), keep="none"), 0, []
    cell: Any = run.plan.cells[0]
    while results := perform(run, tmp_path, most=1):
        fitted += sum(used.fitted for used in results[0].datasets)
        retention.sweep()
        states = ledger.trials.states("s")
        listed = cell.sampler.listed(run.plan.sampled(cell))
        open_trials = [trial for trial in listed if (cell.phase, trial.key) not in states]
        needed = {need.digest for trial in open_trials for need in pair_needs(trial)}
        recorded = {row.digest for row in ledger.datasets.all()}
        assert present(tmp_path) == needed & recorded
        assert {row.digest for row in ledger.datasets.all() if row.state != DROPPED} == present(tmp_path)
        left.append(len(present(tmp_path)))
    assert run.is_finished
    assert (fitted, left[-1], max(left)) == (4, 0, 4)


@pytest.mark.parametrize(("keep", "stay"), [("all", 4), ("best:1", 2), ("none", 0)])
def test_the_best_trial_keeps_both_of_its_datasets(ledger, open_run, tmp_path, keep, stay):
    """`best:1` keeps both neural datasets of the best trial."""
    run = open_run(ledger, plan_of(PAIRS, plain_cell(Grid())))
    perform(run, tmp_path)
    Retention(run, str(tmp_path), keep=keep).sweep()
    (best,) = ledger.trials.best("s", cell="pairs", limit=1)
    assert len(present(tmp_path)) == stay
    assert keep != "best:1" or present(tmp_path) == set(best.needs)


def test_an_open_trial_keeps_both_of_its_datasets(ledger, open_run, tmp_path):
    """As long as a trial is open, none of its neural datasets is dropped."""
    run = open_run(ledger, plan_of(PAIRS))
    perform(run, tmp_path)
    cell = run.plan.sampled(run.plan.cells[0])
    extra = cell.suggest(cell.trial({"init": "random", "hidden": 4, "steps": 3}))
    run.enqueue(extra)
    Retention(run, str(tmp_path), keep="none").sweep()
    assert present(tmp_path) == set(extra.datasets)
    for digest in extra.datasets:
        drop(ledger, str(tmp_path), digest)
    assert present(tmp_path) == set(extra.datasets)
    ledger.trials.interrupt("s")
    kept = {v.dataset: v.reason for v in verdicts(ledger, keep={"s": "none"}, plan=run.plan) if not v.goes}
    assert kept == dict.fromkeys(extra.datasets, "a trial of s waits for it or is running")


def test_a_task_of_a_script_keeps_all_of_its_datasets_from_gc(ledger, open_run, tmp_path):
    """`gc` keeps both datasets of each trial of a custom task, because only the script knows what they need."""
    pairs = replace(PAIRS, space={**PAIRS.space, "steps": Categorical((1,))})
    shared: Space = {"init": Categorical(("shared",)), "hidden": Categorical((6, 8)), "steps": Categorical((1,))}
    other = replace(PAIRS, task="fitting", label="other", space=shared)
    run = open_run(ledger, plan_of(pairs, plain_cell(Grid()), other))
    ledger.studies.put("s", run.plan.describe(), cells=run.plan.records())
    perform(run, tmp_path)
    ledger.leases.release(run.lease, state="finished")
    decided = run_gc(ledger, str(tmp_path), keep="none", study=None, dry_run=False)
    assert {v.reason for v in decided if not v.goes} == {"only the script of s knows what pairs needs"}
    assert {v.dataset for v in decided if not v.goes} == present(tmp_path)
    needs = {digest for row in ledger.trials.page("s", cell="pairs", limit=None).rows for digest in row.needs}
    assert present(tmp_path) == needs, "also the one that a trial of the other cell has read last"
    assert [v.goes for v in decided].count(True) == 1
