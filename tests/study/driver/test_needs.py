"""Tests that trials needing two neural datasets, or none, behave like trials that need one."""

import pytest

from nefstudy.ledger import TrialState
from nefstudy.paths import dataset_path
from nefstudy.storage import Storage
from nefstudy.study.estimate.disk import DiskWatch, plan_disk
from nefstudy.study.estimate.existing import existing_work
from nefstudy.study.estimate.trial_price import Prices
from nefstudy.study.exchange.replay import replay
from nefstudy.study.locations import Locations
from nefstudy.study.plan.study_plan import listed_trials
from nefstudy.study.samplers import Grid, Tpe
from nefstudy.tasks.result import TrialResult, UsedDataset

from ...present import present
from ..needing_tasks import PAIRS, pair_needs, perform, plain_cell, plan_of


def test_both_neural_datasets_of_a_trial_are_fitted_once_and_recorded(ledger, open_run, tmp_path):
    """Eight trials that share four neural datasets fit and record each of them once."""
    run = open_run(ledger, plan_of(PAIRS))
    results = perform(run, tmp_path)
    assert run.is_finished
    assert len(results) == 8
    fitted = [used.digest for result in results for used in result.datasets if used.fitted]
    assert len(fitted) == len(set(fitted)) == 4
    rows = {row.digest: row for row in ledger.datasets.all()}
    assert rows.keys() == set(fitted)
    for row in rows.values():
        assert (row.path, row.rungs, row.state) == (dataset_path(row.digest), (1, 2), "present")
        assert 0 < row.bytes < Storage.at(str(tmp_path)).total_size(row.path)
        assert row.fingerprint["engine"] == "eager"
    for row in ledger.trials.page("s", limit=None).rows:
        needs = [need.digest for need in pair_needs(run.cells.suggestion(row).trial)]
        assert row.needs == tuple(dict.fromkeys(needs))
        assert row.dataset == needs[0]


def test_trials_that_share_one_of_two_neural_datasets_wait_for_its_fit(ledger, open_run, tmp_path):
    """A trial waits while another trial fits one of its two neural datasets."""
    run = open_run(ledger, plan_of(PAIRS))
    first, second = run.next("a"), run.next("b")
    assert first is not None
    assert second is not None
    assert run.next("c") is None
    assert not run.missing(first) & run.missing(second)
    assert run.missing(first) == set(first.datasets)
    assert run.needed_datasets == {*first.datasets, *second.datasets}


def test_a_study_of_two_datasets_and_none_resumes(ledger, open_run, tmp_path):
    """After an interruption, the next run completes all remaining trials, and nothing is fitted twice."""
    plan = plan_of(PAIRS, plain_cell(Grid()), plain_cell(Tpe(3), label="searched"))
    first = open_run(ledger, plan)
    done = perform(first, tmp_path, most=5)
    interrupted = first.next("t")
    assert interrupted is not None
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    done += perform(second, tmp_path)
    assert second.is_finished
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == len(done) == 14
    assert {row.state for row in rows} == {TrialState.COMPLETE}
    assert sum(used.fitted for result in done for used in result.datasets) == 4
    assert {row.dataset for row in rows if row.task == "plain"} == {None}


@pytest.mark.parametrize("seed", [0, 5])
def test_replicates_that_are_no_longer_planned_are_not_resumed_without_needs(ledger, open_run, tmp_path, seed):
    """An interrupted trial that needs no neural dataset is resumed only if it is still planned or was requested."""
    first = open_run(ledger, plan_of(plain_cell(Grid(), replicates=2), seed=seed))
    suggestions = [first.next(f"t{number}") for number in range(6)]
    cell = first.plan.sampled(first.plan.cells[0])
    requested = cell.suggest(cell.trial({"width": 9.0}))
    first.enqueue(requested)
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan_of(plain_cell(Grid()), seed=seed))
    perform(second, tmp_path)
    complete = {row.key for row in ledger.trials.page("s", state=TrialState.COMPLETE, limit=None).rows}
    planned = {s.trial.key for s in suggestions if s is not None and s.trial.seed == seed}
    assert complete == planned | {requested.trial.key}


def test_each_unrecorded_neural_dataset_of_a_trial_is_recorded(ledger, open_run):
    """Each unrecorded neural dataset that a trial reads is recorded, even if the trial did not fit it."""
    run = open_run(ledger, plan_of(PAIRS))
    suggestion = run.next("a")
    first, second = suggestion.datasets
    used = (UsedDataset(first, fitted=True, rungs=(1, 2), bytes=7), UsedDataset(second, rungs=(1, 2), bytes=8))
    run._ready.record(suggestion, run_result(used))
    assert {row.digest: row.bytes for row in ledger.datasets.all()} == {first: 7, second: 8}
    run._ready.record(suggestion, run_result((used[0], UsedDataset(second, rungs=(1, 2), bytes=9))))
    assert ledger.datasets.get(second).bytes == 8, "recorded already"
    assert run.missing(suggestion) == set()
    run.forget(second)
    assert run.missing(suggestion) == {second}


def run_result(used):
    return TrialResult({"all_gap": 0.0}, datasets=used)


def test_the_disk_of_both_is_counted_until_each_is_there(ledger, open_run, tmp_path):
    """Each neural dataset of a trial counts toward the required disk space until it is present."""
    run = open_run(ledger, plan_of(PAIRS))
    suggestion, prices = run.next("a"), Prices(run.plan)
    one, two = (present(prices.bytes(suggestion, of={digest})) for digest in suggestion.datasets)
    assert prices.bytes(suggestion, of=run.missing(suggestion)) == one + two
    watch = DiskWatch(run, Locations(str(tmp_path), "postgresql://x/y", ""), min_free_gb=1.0, free=lambda _: 10**9)
    assert "its neural datasets take 0.00 GB" in present(watch.refusal(suggestion))
    assert watch._coming() == one + two
    run._ready.record(suggestion, run_result((UsedDataset(suggestion.datasets[0], fitted=True, rungs=(1, 2)),)))
    run.forget(suggestion.datasets[1])
    assert watch._coming() == two
    assert prices.bytes(suggestion, of=()) == 0


def test_estimates_count_the_neural_datasets_of_each_trial(ledger, open_run, tmp_path):
    """Estimates of disk space and fits count both neural datasets of a trial, or none if the trial needs none."""
    plan = plan_of(PAIRS, plain_cell(Tpe(3))).pinned()
    every, best, nothing = (plan_disk(plan, best=count)[0] for count in (None, 1, 0))
    assert every.bytes == every.kept_bytes == best.bytes
    assert 0 == nothing.kept_bytes < best.kept_bytes < best.bytes
    assert best.kept_bytes > best.bytes / 2, "the two larger ones"
    assert [(cell.bytes, cell.kept_bytes) for cell in plan_disk(plan, best=1)[1:]] == [(0, 0)]
    run = open_run(ledger, plan)
    perform(run, tmp_path)
    work = existing_work(run.plan, Locations(str(tmp_path), ledger.url, ""))
    assert [(cell.results, cell.fits) for cell in work] == [(8, 4), (3, 0)]


def test_trials_with_two_datasets_and_none_replay(ledger, open_run, tmp_path):
    """Trials that need two neural datasets or none can be replayed.

    A replay compares the bytes of both neural datasets, or only the metrics if there are none.
    """
    run = open_run(ledger, plan_of(PAIRS, plain_cell(Grid())))
    perform(run, tmp_path)
    pair, plain = (next(present(listed_trials(run.plan, cell))) for cell in run.plan.cells)
    for trial, lines in ((pair, ["neural dataset", "all_gap"]), (plain, ["height"])):
        again = replay(ledger, trial.key, tasks=run.plan.tasks, scratch=tmp_path)
        assert [line.what for line in again.lines] == lines
        assert again.same
    row = ledger.trials.get(pair.key)
    assert len(row.fingerprint["rung_sha256"]) == 64
