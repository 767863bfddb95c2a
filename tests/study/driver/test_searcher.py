"""Tests of the suggestions that Ray Tune receives, including those that are held back or resumed."""

import tempfile
import threading
from collections import Counter
from dataclasses import replace

import optuna
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.driver.cells import open_stream
from nefstudy.study.driver.control import Control, requested_trial
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.driver.tune import StudySearcher
from nefstudy.study.plan.scales import SCALES, search_cells
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Tpe
from nefstudy.study.samplers.stream import Stream
from nefstudy.study.space import GRID_FIXED, INIT, Categorical
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.trial.assignment import Assignment

from ...classification import classification
from ...present import present

OFF = {"init": "shared", "steps": 3}  # a step count that is not on the small grid's ladders


def test_a_suggestion_states_how_many_fits_share_its_shape(ledger, open_run, small_grid):
    """A suggestion states how many fits of the plan share its shape."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    suggestion = StudySearcher(run, max_trials=1, stopped=lambda: False).suggest("a")
    assert isinstance(suggestion, dict)
    assert Assignment.from_tune(suggestion).fits_per_shape == small_grid.fits_per_shape > 1


@pytest.fixture
def discrete() -> CellPlan:
    """Return a search over categories only, with few neural datasets and many step counts for each dataset."""
    cell = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=10)[0]
    space = {"init": cell.space["init"], "hidden": Categorical((8, 16)), "steps": Categorical((1, 2, 4, 8, 16, 32))}
    return replace(cell, space=space)


def opened(cell: CellPlan) -> Stream:
    """Return the cell's stream in a study without trials."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(f"{folder}/ledger.db") as ledger:
        return open_stream(StudyPlan(study="s", cells=(cell,)), cell, ledger)


def next_trial(stream: Stream) -> ClassificationConfig:
    """Return the next trial that the stream hands out."""
    return classification(present(stream.next(())).trial)


def turns(run: StudyRun, result, *, slots: int, limit: int = 100) -> list[list[str]]:
    """Run up to `limit` trials; return the keys handed out before each result.

    Asserts that no two trials in flight fit the same neural dataset.
    """
    handed: list[list[str]] = []
    while len(handed) < limit and not (run.exhausted and not run.in_flight):
        handed.append([])
        while len(run.in_flight) < slots and (suggestion := run.next(f"t{len(handed)}-{len(handed[-1])}")) is not None:
            handed[-1].append(suggestion.trial.key)
        in_flight = [trial.suggestion for trial in run.in_flight.values()]
        fitted = Counter(digest for suggestion in in_flight for digest in run.missing(suggestion))
        assert all(count == 1 for count in fitted.values())
        first, trial = next(iter(run.in_flight.items()))
        run.completed(first, result((int(trial.suggestion.trial.key[:4], 16) % 100) / 100))
    return handed


def test_a_search_fits_a_neural_dataset_in_one_trial_at_a_time(ledger, open_run, result, discrete):
    """However many slots are free, no two trials in flight fit the same neural dataset."""
    run = open_run(ledger, StudyPlan(study="s", cells=(discrete,)))
    handed = turns(run, result, slots=6)
    keys = [key for turn in handed for key in turn]
    assert len(handed[0]) < 6, "some trial had to wait"
    assert len(keys) == len(set(keys)) == discrete.planned
    assert len(ledger.trials.page("s", limit=None).rows) == discrete.planned


def test_a_held_suggestion_comes_first_once_it_may_run(discrete):
    """A suggestion that is held back is handed out unchanged as soon as it may run."""
    stream = opened(discrete)
    twin = opened(discrete)
    expected = next_trial(twin)
    assert stream.next({expected.dataset.digest}) is None
    assert stream.next({expected.dataset.digest}) is None
    assert not stream.exhausted
    assert next_trial(stream) == expected
    stream.tell(expected, 0.5)
    twin.tell(expected, 0.5)
    for _ in range(8):
        mine = next_trial(stream)
        assert mine == next_trial(twin)
        stream.tell(mine, 0.1)
        twin.tell(mine, 0.1)


def test_the_last_trial_of_a_budget_is_held_too(discrete):
    """A search whose last trial is held back is not exhausted until it hands out that trial."""
    cell = replace(discrete, sampler=Tpe(1))
    stream = opened(cell)
    expected = next_trial(opened(cell))
    assert stream.next({expected.dataset.digest}) is None
    assert not stream.exhausted
    assert next_trial(stream) == expected
    assert stream.exhausted


def test_a_held_suggestion_that_is_requested_runs_once(discrete):
    """If a user requests a trial that a search holds back, the trial runs once and counts once against the budget."""
    cell = replace(discrete, sampler=Tpe(2))
    stream = opened(cell)
    requested = next_trial(opened(cell))
    assert stream.next({requested.dataset.digest}) is None
    stream.add_requested(requested)
    stream.tell(requested, 0.5)
    assert next_trial(stream) != requested
    assert stream.exhausted


def test_a_search_cut_off_while_one_is_held_is_continued_to_its_budget(ledger, open_run, result, discrete):
    """If a driver stops while a search holds back a trial, the next driver completes exactly the search's budget."""
    plan = StudyPlan(study="s", cells=(discrete,))
    first = open_run(ledger, plan)
    turns(first, result, slots=6, limit=4)
    ledger.leases.release(first.lease, state="stopped")
    turns(open_run(ledger, plan), result, slots=6)
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == discrete.planned
    assert {row.state for row in rows} == {TrialState.COMPLETE}


def test_an_interrupted_request_off_the_grid_is_resumed(ledger, small_grid, open_run, drain, result):
    """The next run begins with the requested trials that were interrupted or that failed because of the disk."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    keys = []
    for hidden in (4, 12, 20):
        requested = requested_trial(plan, {"cell": small_grid.cell, "point": {**OFF, "hidden": hidden}})
        first.enqueue(requested)
        assert first.next(f"w{hidden}") is not None
        keys.append(requested.trial.key)
    first.completed("w4", result(0.5))
    first.failed("w12", cause="disk", error="full")
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    handed = drain(second)
    assert set(handed[:2]) == set(keys[1:])
    assert len(handed) == len(set(handed)) == small_grid.planned + 2
    assert {row.state for row in ledger.trials.page("s", limit=None).rows} == {TrialState.COMPLETE}
    ledger.leases.release(second.lease, state="finished")
    assert open_run(ledger, plan).exhausted


def test_a_request_off_the_grid_that_is_repeated_runs_once(ledger, small_grid, open_run, drain):
    """If a request is repeated while its trial is still open, the next driver runs the trial only once."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    requested = requested_trial(plan, {"cell": small_grid.cell, "point": {**OFF, "hidden": 4}})
    first.enqueue(requested)
    assert first.next("w") is not None
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    second.enqueue(requested)
    handed = drain(second)
    assert handed.count(requested.trial.key) == 1
    assert len(handed) == small_grid.planned + 1


def test_an_interrupted_replicate_that_is_no_longer_planned_stays_interrupted(ledger, small_grid, open_run, drain):
    """An interrupted replicate that is no longer planned is not resumed, because no user requested it."""
    first = open_run(ledger, StudyPlan(study="s", cells=(replace(small_grid, replicates=2),)))
    while (suggestion := first.next(f"t{len(first.in_flight)}")) is not None:
        assert set(suggestion.ladders.values()) == {(1, 2, 4)}
    ledger.leases.release(first.lease, state="stopped")
    handed = drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    assert len(handed) == small_grid.planned
    assert len(ledger.trials.page("s", state=TrialState.INTERRUPTED, limit=None).rows) == 4


def test_the_driver_steps_while_nothing_may_start(ledger, small_grid, open_run):
    """While a run is paused and idle, pending commands are processed whenever Ray Tune asks for a trial."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    ledger.commands.append("s", "pause")
    control = Control(run, stop=threading.Event())
    searcher = StudySearcher(run, max_trials=5, stopped=lambda: False, on_wait=control.process)
    control.process()
    assert searcher.suggest("a") is None
    ledger.commands.append("s", "resume")
    assert searcher.suggest("b") is None
    suggestion = searcher.suggest("c")
    assert isinstance(suggestion, dict)
    assert Assignment.from_tune(suggestion).key


def small(trials: int) -> CellPlan:
    """Return a search with the given budget, in a space of two points."""
    return CellPlan(
        phase="phase1",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"init": INIT},
        fixed={**GRID_FIXED["siren"], "hidden": 4, "steps": 1},
        sampler=Tpe(trials),
    )


def test_a_search_plans_no_more_than_its_space_holds(ledger, open_run, drain):
    """In a space of two points, a budget of six trials counts as two."""
    plan = StudyPlan(study="s", cells=(small(6),))
    assert plan.planned() == {("phase1", "digits8/siren"): 2}
    run = open_run(ledger, plan)
    assert len(drain(run)) == 2
    assert run.exhausted
    assert progress(ledger, "s").remaining == 0


def test_a_small_space_is_searched_completely(ledger, open_run, result, monkeypatch):
    """Every point of a small space is suggested once, even if the sampler repeats its proposals."""
    space = {"init": INIT, "hidden": Categorical((4, 8, 12, 16, 20, 24, 28, 32)), "steps": Categorical((1, 2, 3))}
    cell = replace(small(48), space=space, fixed=GRID_FIXED["siren"])
    ask_count = 0
    ask = optuna.Study.ask

    def counted(self, *arguments):
        nonlocal ask_count
        ask_count += 1
        return ask(self, *arguments)

    monkeypatch.setattr(optuna.Study, "ask", counted)
    stream = opened(cell)
    keys = []
    while (suggestion := stream.next(())) is not None:
        keys.append(suggestion.trial.key)
        stream.tell(suggestion.trial, 1.0 if classification(suggestion.trial).steps == 1 else 0.0)
    assert len(set(keys)) == len(keys) == 48
    assert stream.exhausted
    assert ask_count <= 48 * 12


def test_requests_off_the_plan_add_to_the_planned_number(ledger, small_grid, open_run, drain):
    """A requested trial that is not on the grid permanently adds one to the number of planned trials."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    trial = plan.sampled(small_grid).codec.configure({**small_grid.fixed, "init": "shared", "hidden": 32, "steps": 2})
    run.enqueue(plan.sampled(small_grid).suggest(trial))
    assert ledger.studies.planned("s")["phase2", small_grid.cell] == small_grid.planned + 1
    assert drain(run)[0] == trial.key
    assert progress(ledger, "s").remaining == 0
    ledger.leases.release(run.lease, state="finished")
    open_run(ledger, plan)
    assert ledger.studies.planned("s")["phase2", small_grid.cell] == small_grid.planned + 1


def test_a_lowered_budget_counts_the_trials_that_have_run(ledger, open_run, drain, discrete):
    """If a search continues with a smaller budget, all trials that have already run still count as planned."""
    run = open_run(ledger, StudyPlan(study="s", cells=(replace(discrete, sampler=Tpe(5)),)))
    drain(run)
    ledger.leases.release(run.lease)
    lower = open_run(ledger, StudyPlan(study="s", cells=(replace(discrete, sampler=Tpe(2)),)))
    assert drain(lower) == []
    assert lower.is_finished
    assert list(ledger.studies.planned("s").values()) == [5]
