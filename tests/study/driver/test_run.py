"""Tests of a run: every planned trial runs once despite failures and restarts."""

import sqlite3
from dataclasses import replace

import pytest

from nefstudy.errors import BadConfig, StudyStopped
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.plan.scales import SCALES, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers import Tpe, Winners
from nefstudy.study.space import GRID_FIXED, INIT, Real
from nefstudy.tasks.result import UsedDataset

from ...classification import all_trials


def test_every_point_of_a_grid_runs_exactly_once(ledger, small_grid, open_run, drain, result):
    """At the end of a run, the ledger contains exactly the planned trials, all of them complete."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    keys = drain(open_run(ledger, plan))
    assert sorted(keys) == sorted(trial.key for trial in all_trials(plan, small_grid))
    rows = ledger.trials.page("s", limit=None).rows
    assert sorted(row.key for row in rows) == sorted(keys)
    assert {row.state for row in rows} == {TrialState.COMPLETE}


def test_a_neural_dataset_is_fitted_by_one_trial_at_a_time(ledger, small_grid, open_run, drain, result):
    """No two trials in flight fit the same neural dataset, however many slots are free."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    datasets: list[str] = []
    while (suggestion := run.next(f"t{len(datasets)}")) is not None:
        datasets.append(suggestion.datasets[0])
        assert suggestion.trial.steps == 4, "the longest rung of a ladder comes first"
        assert set(suggestion.ladders.values()) == {(1, 2, 4)}
    assert len(set(datasets)) == len(datasets) == 4
    assert not run.exhausted
    run.completed("t0", result(0.5))
    nexts = [run.next("u0"), run.next("u1")]
    assert {s.datasets[0] for s in nexts if s is not None} == {datasets[0]}, "its other rungs may now run in parallel"


def test_a_second_run_repeats_nothing(ledger, small_grid, open_run, drain, result):
    """Once all trials are complete, a new run of the plan hands out no trial."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    drain(first)
    ledger.leases.release(first.lease, state="finished")
    again = open_run(ledger, plan)
    assert again.exhausted
    assert again.next("x") is None


def test_an_interrupted_search_finishes_with_its_budget_of_distinct_trials(ledger, small_grid, open_run, drain, result):
    """If a driver is killed during a search, the next driver completes exactly the remaining budget."""
    cell = search_cells(SCALES["smoke"], ("mnist5k/mfn",), trials=9)[0]
    plan = StudyPlan(study="s", cells=(cell,))
    first = open_run(ledger, plan)
    for count in range(5):
        assert first.next(f"t{count}") is not None
    first.completed("t0", result(0.3))
    first.completed("t1", result(0.6))
    interrupted = {trial.suggestion.trial.key for trial in first.in_flight.values()}
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    keys = drain(second)
    assert set(keys[:3]) == interrupted
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == 9
    assert {row.state for row in rows} == {TrialState.COMPLETE}


def test_searches_of_equal_seed_suggest_the_same(ledger, tmp_path, open_run, drain):
    """Two new runs of a search suggest the same trials only if their seeds are equal."""
    cell = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=6)[0]
    plan = StudyPlan(study="s", cells=(cell,))
    with Ledger.open(f"sqlite:///{tmp_path}/other.db") as other:
        keys = drain(open_run(ledger, plan), slots=1)
        assert drain(open_run(other, plan), slots=1) == keys
    with Ledger.open(f"sqlite:///{tmp_path}/third.db") as third:
        assert drain(open_run(third, StudyPlan(study="s", cells=(cell,), seed=1)), slots=1) != keys


def test_a_failed_trial_is_a_row_and_the_study_continues(ledger, small_grid, open_run, drain, result):
    """If a trial fails, its row states the cause, and the remaining points still run."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    suggestion = run.next("bad")
    assert suggestion is not None
    run.started("bad")
    run.failed("bad", cause="diverged", error="all fields diverged")
    drain(run)
    row = ledger.trials.get(suggestion.trial.key, study="s")
    assert row is not None
    assert (row.state, row.cause) == (TrialState.FAILED, "diverged")
    assert (
        sum(r.state is TrialState.COMPLETE for r in ledger.trials.page("s", limit=None).rows) == small_grid.planned - 1
    )


def test_a_trial_known_from_another_study_is_answered_not_run(ledger, small_grid, open_run, drain, result):
    """A second study that plans the same trials reuses all results and runs no trial."""
    drain(open_run(ledger, StudyPlan(study="first", cells=(small_grid,))))
    second = open_run(ledger, StudyPlan(study="second", cells=(small_grid,)))
    assert second.next("x") is None
    assert second.ended["reused"] == small_grid.planned
    assert all(row.reused for row in ledger.trials.page("second", limit=None).rows)


def test_phase_two_fills_in_only_when_phase_one_has_nothing_left(ledger, small_grid, open_run, drain, result):
    """The next trial is from the earliest phase with trials left and, within the phase, from the least busy cell."""
    search = search_cells(SCALES["smoke"], ("mnist5k/siren", "mnist5k/mfn"), trials=2)
    plan = StudyPlan(study="s", cells=(*search, small_grid))
    run = open_run(ledger, plan)
    handed = [run.next(f"t{count}") for count in range(5)]
    assert [s.phase for s in handed if s is not None] == ["phase1"] * 4 + ["phase2"]
    assert [s.cell for s in handed[:4] if s is not None] == ["mnist5k/siren", "mnist5k/mfn"] * 2


def test_tpe_learns_from_rows_of_the_ledger(ledger, small_grid, open_run, drain, result):
    """If high learning rates led to better scores, the next driver mostly suggests high learning rates."""
    cell = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=90)[0]
    plan = StudyPlan(study="s", cells=(cell,))
    first = open_run(ledger, plan)
    for count in range(60):
        suggestion = first.next(f"t{count}")
        assert suggestion is not None
        good = suggestion.trial.dataset.optimizer.lr > 5e-3
        first.completed(f"t{count}", result(0.9 if good else 0.1))
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    suggested = [second.next(f"u{count}") for count in range(20)]
    high = sum(s.trial.dataset.optimizer.lr > 5e-3 for s in suggested if s is not None)
    assert high >= 15, f"{high} of 20 suggestions were in the rewarded third"


def test_no_cells_tail_leaves_a_slot_idle(ledger, small_grid, open_run, result):
    """All slots stay busy until fewer trials than slots remain, even if the cells differ in size."""
    longer = replace(small_grid, field="mfn", fixed=GRID_FIXED["mfn"], replicates=3)
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid, longer)))
    left, slots = small_grid.planned + longer.planned, 3
    for turn in range(left):
        while len(run.in_flight) < slots and run.next(f"t{turn}-{len(run.in_flight)}") is not None:
            pass
        assert len(run.in_flight) == min(slots, left - turn)
        oldest = next(iter(run.in_flight))
        run.completed(oldest, result(0.5))
    assert run.exhausted


def test_a_queued_retry_outlives_its_run(ledger, small_grid, open_run, drain):
    """If a retry was queued but not started before a run ended, the next run starts the retry."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    failed = first.next("a")
    first.failed("a", cause="diverged", error="x")
    first.enqueue(first.cells.suggestion(ledger.trials.get(failed.trial.key, study="s")))
    ledger.leases.release(first.lease, state="stopped")
    again = open_run(ledger, plan)
    assert failed.trial.key in drain(again)
    assert {row.state for row in ledger.trials.page("s", limit=None).rows} == {TrialState.COMPLETE}


def test_a_trial_is_open_once_however_often_it_is_requested(ledger, small_grid, open_run, drain, result):
    """A trial is never open twice, even if it is requested twice or while it is running."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    for name in ("w", "x", "y", "z"):  # the four ladders
        assert run.next(name) is not None
    for name in ("w", "x", "y", "z"):
        run.completed(name, result(0.5))
    running, failed = run.next("a"), run.next("b")
    run.started("a")
    run.enqueue(running)
    run.failed("b", cause="diverged", error="x")
    requested = run.cells.suggestion(ledger.trials.get(failed.trial.key, study="s"))
    run.enqueue(requested)
    run.enqueue(requested)
    keys = drain(run, slots=4)
    assert keys.count(failed.trial.key) == 1
    assert running.trial.key not in keys
    assert run.ended["stale"] == 0
    assert {row.key: row.attempt for row in ledger.trials.page("s", limit=None).rows if row.attempt > 1} == {
        requested.trial.key: 2
    }


def test_a_short_rung_lets_one_trial_fit_the_longer_ones(ledger, small_grid, open_run, result):
    """If only the shortest rung of a ladder has been fitted, only one trial at a time may fit the longer rungs."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    shortest = next(trial for trial in all_trials(run.plan, small_grid) if trial.steps == 1)
    run.enqueue(run.plan.sampled(small_grid).suggest(shortest))
    suggestion = run.next("a")
    assert suggestion.trial == shortest
    run.completed("a", replace(result(0.5), datasets=(UsedDataset(suggestion.datasets[0], rungs=(1,)),)))
    datasets = [suggestion.datasets[0] for name in "bcdefgh" if (suggestion := run.next(name)) is not None]
    assert len(datasets) == len(set(datasets)) == 4
    assert shortest.dataset.digest in datasets


def test_a_trial_lost_in_a_stopped_cell_is_retried_by_the_next_run(ledger, small_grid, open_run, drain):
    """If a trial in an already stopped cell loses its worker, the next run retries the trial."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    bad, lost = run.next("bad"), run.next("lost")
    run.failed("bad", cause="bad_data", error="unreadable")
    run.failed("lost", cause="worker_lost", error="gone")
    assert run.next("x") is None
    assert ledger.trials.get(lost.trial.key, study="s").state is not TrialState.FAILED
    ledger.leases.release(run.lease, state="stopped")
    keys = drain(open_run(ledger, plan))
    assert {bad.trial.key, lost.trial.key} <= set(keys)
    assert {row.state for row in ledger.trials.page("s", limit=None).rows} == {TrialState.COMPLETE}


def test_a_neural_dataset_whose_fitting_worker_died_is_recorded_by_the_next_trial(ledger, small_grid, open_run, result):
    """If a fit crashes after writing its files, the next trial that reads them records the neural dataset."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    suggestion = run.next("a")
    used = UsedDataset(suggestion.datasets[0], rungs=(4,), bytes=7, fitted=False)
    run.completed("a", replace(result(0.5), datasets=(used,)))
    row = ledger.datasets.get(suggestion.datasets[0])
    assert row is not None
    assert (row.state, row.bytes) == ("present", 7)


def test_a_run_that_the_ledger_contradicts_reloads_it_and_continues(ledger, small_grid, open_run, drain):
    """If the driver considers a trial ended but the ledger does not, the trial runs again."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    drain(run)
    assert run.is_finished
    assert not run.reload_missing()
    lost = ledger.trials.page("s", limit=None).rows[3]
    with sqlite3.connect(ledger.url.removeprefix("sqlite:///")) as other:
        other.execute("UPDATE trials SET state = 'INTERRUPTED' WHERE key = ?", (lost.key,))
    assert run.exhausted
    assert not run.is_finished
    assert run.reload_missing()
    assert drain(run) == [lost.key]
    assert run.is_finished


def test_a_run_that_the_ledger_contradicts_twice_ends(ledger, small_grid, open_run, drain):
    """If the ledger contradicts the run a second time about which trials have ended, the run fails with an error."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    drain(run)
    for repeated in (False, True):
        with sqlite3.connect(ledger.url.removeprefix("sqlite:///")) as other:
            other.execute("DELETE FROM outbox")
            other.execute("UPDATE trials SET state = 'INTERRUPTED'")
        if not repeated:
            assert run.reload_missing()
            drain(run)
    with pytest.raises(StudyStopped, match="12 trials"):
        run.reload_missing()


def test_a_search_is_finished_when_the_ledger_holds_its_budget(ledger, small_grid, open_run, drain):
    """If a complete trial of a search is marked INTERRUPTED in the ledger, it runs again and counts only once."""
    cell = replace(small_grid, phase="phase1", space={"init": INIT, "lr": Real(1e-3, 1e-2, log=True)}, sampler=Tpe(3))
    run = open_run(ledger, StudyPlan(study="s", cells=(replace(cell, fixed={"hidden": 4, "steps": 1}),)))
    keys = drain(run)
    assert run.is_finished
    with sqlite3.connect(ledger.url.removeprefix("sqlite:///")) as other:
        other.execute("UPDATE trials SET state = 'INTERRUPTED' WHERE key = ?", (keys[1],))
    assert run.reload_missing()
    assert drain(run) == [keys[1]]
    assert run.is_finished
    assert len(ledger.trials.page("s", limit=None).rows) == 3


def test_a_cell_that_waits_for_a_stopped_one_is_stopped_too(ledger, small_grid, open_run, drain):
    """A cell that waits for the winners of a stopped cell is also stopped until the next run."""
    early = replace(small_grid, phase="early")
    late = replace(small_grid, phase="late", sampler=Winners("early"), space={"init": INIT})
    late = replace(late, fixed={**small_grid.fixed, "hidden": 8, "steps": 1})
    plan = StudyPlan(study="s", cells=(early, late))
    run = open_run(ledger, plan)
    assert run.next("a") is not None
    run.failed("a", cause="bad_data", error="unreadable")
    assert run.exhausted
    assert run.stopped_cells["late", late.cell] == "waits for early, which is stopped"
    ledger.leases.release(run.lease, state="stopped")
    again = open_run(ledger, plan)
    assert len(drain(again)) == small_grid.planned
    (winner,) = ledger.trials.page("s", phase="late", limit=None).rows
    assert (winner.state, winner.reused) == (TrialState.COMPLETE, True), "a point of the grid, answered from it"
    assert again.is_finished


def test_a_cell_cannot_wait_for_a_phase_that_the_plan_lacks(small_grid):
    """A cell that waits for a phase missing from the plan is rejected, because it could never start."""
    late = replace(small_grid, phase="late", sampler=Winners("early"), space={"init": INIT})
    with pytest.raises(BadConfig, match="'early'"):
        StudyPlan(study="s", cells=(late,))
