"""What Ray Tune is handed when it asks what comes next, and what a search holds back and a grid takes up."""

import tempfile
import threading
from collections import Counter
from dataclasses import replace

import optuna
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger, TrialState
from nefstudy.study.cells import open_stream
from nefstudy.study.control import Control, requested_trial
from nefstudy.study.plan import CellPlan, StudyPlan, trial_config
from nefstudy.study.run import StudyRun
from nefstudy.study.samplers import Tpe
from nefstudy.study.samplers.stream import Stream
from nefstudy.study.scales import SCALES, search_cells
from nefstudy.study.space import GRID_FIXED, INIT, Choice
from nefstudy.study.tune import StudySearcher
from nefstudy.trial.assignment import Assignment

OFF = {"init": "shared", "steps": 3}  # no step count of the small grid's ladders


def test_a_suggestion_says_how_many_fits_share_its_shape(ledger, open_run, small_grid):
    """The count is the plan's, whatever this machine has compiled."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    suggestion = StudySearcher(run, most=1, stopped=lambda: False).suggest("a")
    assert Assignment.from_tune(suggestion).fits == small_grid.fits_a_shape > 1


@pytest.fixture
def discrete() -> CellPlan:
    """A search over nothing but choices: few neural datasets, many step counts of each."""
    cell = search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=10)[0]
    space = {"init": cell.space["init"], "hidden": Choice((8, 16)), "steps": Choice((1, 2, 4, 8, 16, 32))}
    return replace(cell, space=space)


def opened(cell: CellPlan) -> Stream:
    """The cell's stream, of a study that has no trials yet."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(f"{folder}/ledger.db") as ledger:
        return open_stream(StudyPlan(study="s", cells=(cell,)), cell, ledger)


def turns(run: StudyRun, result, *, slots: int, most: int = 100) -> list[list[str]]:
    """Keys handed out before each result, for some results; no two trials under way fit one neural dataset."""
    handed: list[list[str]] = []
    while len(handed) < most and not (run.exhausted and not run.under_way):
        handed.append([])
        while len(run.under_way) < slots and (suggestion := run.next(f"t{len(handed)}-{len(handed[-1])}")) is not None:
            handed[-1].append(suggestion.trial.key)
        under_way = [trial.suggestion for trial in run.under_way.values()]
        fitted = Counter(
            digest for suggestion in under_way if not run.is_ready(suggestion) for digest in suggestion.datasets
        )
        assert all(count == 1 for count in fitted.values())
        first, trial = next(iter(run.under_way.items()))
        run.completed(first, result((int(trial.suggestion.trial.key[:4], 16) % 100) / 100))
    return handed


def test_a_search_fits_a_neural_dataset_in_one_trial_at_a_time(ledger, open_run, result, discrete):
    """With many slots too; a suggestion that must wait is not lost, and nothing is suggested past it."""
    run = open_run(ledger, StudyPlan(study="s", cells=(discrete,)))
    handed = turns(run, result, slots=6)
    keys = [key for turn in handed for key in turn]
    assert len(handed[0]) < 6, "or nothing had to wait"
    assert len(keys) == len(set(keys)) == discrete.planned
    assert len(ledger.trials.page("s", limit=None).rows) == discrete.planned


def test_a_held_suggestion_is_the_first_once_it_may_go(discrete):
    """The same point for as long as it must wait; its result goes to the question the sampler asked."""
    stream = opened(discrete)
    twin = opened(discrete)
    wanted = twin.next(()).trial
    assert stream.next({wanted.dataset.digest}) is None
    assert stream.next({wanted.dataset.digest}) is None
    assert not stream.exhausted
    assert stream.next(()).trial == wanted
    stream.tell(wanted, 0.5)
    twin.tell(wanted, 0.5)
    for _ in range(8):
        mine = stream.next(()).trial
        assert mine == twin.next(()).trial
        stream.tell(mine, 0.1)
        twin.tell(mine, 0.1)


def test_the_last_of_a_budget_is_held_too(discrete):
    """A search whose last trial waits is not exhausted, and ends with it."""
    cell = replace(discrete, sampler=Tpe(1))
    stream = opened(cell)
    wanted = opened(cell).next(()).trial
    assert stream.next({wanted.dataset.digest}) is None
    assert not stream.exhausted
    assert stream.next(()).trial == wanted
    assert stream.exhausted


def test_a_held_suggestion_that_somebody_wishes_is_run_once(discrete):
    """It is theirs then, counted once against the budget."""
    cell = replace(discrete, sampler=Tpe(2))
    stream = opened(cell)
    wished = opened(cell).next(()).trial
    assert stream.next({wished.dataset.digest}) is None
    stream.adopt(wished)
    stream.tell(wished, 0.5)
    assert stream.next(()).trial != wished
    assert stream.exhausted


def test_a_search_cut_off_while_one_is_held_is_continued_to_its_budget(ledger, open_run, result, discrete):
    """The held one has no row: the next driver asks its own sampler, the same whoever continues."""
    plan = StudyPlan(study="s", cells=(discrete,))
    first = open_run(ledger, plan)
    turns(first, result, slots=6, most=4)
    ledger.leases.release(first.lease, state="stopped")
    turns(open_run(ledger, plan), result, slots=6)
    rows = ledger.trials.page("s", limit=None).rows
    assert len(rows) == discrete.planned
    assert {row.state for row in rows} == {TrialState.COMPLETE}


def test_a_wish_beside_the_grid_is_taken_up_again(ledger, small_grid, open_run, drain, result):
    """Cut off by a driver's death, or failed for what lay outside it, it is the next driver's, first and once."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    keys = []
    for hidden in (4, 12, 20):
        requested = requested_trial(plan, {"cell": small_grid.cell, "point": {**OFF, "hidden": hidden}})
        first.put_first(requested)
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


def test_a_wish_beside_the_grid_that_is_wished_again_is_run_once(ledger, small_grid, open_run, drain):
    """The next driver hears the wish anew: it does not take the row up as well."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    wish = requested_trial(plan, {"cell": small_grid.cell, "point": {**OFF, "hidden": 4}})
    first.put_first(wish)
    assert first.next("w") is not None
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    second.put_first(wish)
    handed = drain(second)
    assert handed.count(wish.trial.key) == 1
    assert len(handed) == small_grid.planned + 1


def test_a_replicate_no_longer_asked_for_is_left_as_it_was_cut_off(ledger, small_grid, open_run, drain):
    """It is off the grid as well, but nobody wished it."""
    first = open_run(ledger, StudyPlan(study="s", cells=(replace(small_grid, replicates=2),)))
    while (suggestion := first.next(f"t{len(first.under_way)}")) is not None:
        assert set(suggestion.ladders.values()) == {(1, 2, 4)}
    ledger.leases.release(first.lease, state="stopped")
    handed = drain(open_run(ledger, StudyPlan(study="s", cells=(small_grid,))))
    assert len(handed) == small_grid.planned
    cut = ledger.trials.page("s", state=TrialState.INTERRUPTED, limit=None).rows
    assert len(cut) == 4


def test_the_driver_has_its_turns_while_nothing_may_start(ledger, small_grid, open_run):
    """Paused with nothing in flight, Ray Tune only asks: each question is a turn, in which a resume is obeyed."""
    run = open_run(ledger, StudyPlan(study="s", cells=(small_grid,)))
    ledger.commands.append("s", "pause")
    control = Control(run, stop=threading.Event())
    searcher = StudySearcher(run, most=5, stopped=lambda: False, on_wait=control.obey)
    control.obey()
    assert searcher.suggest("a") is None
    ledger.commands.append("s", "resume")
    assert searcher.suggest("b") is None
    assert Assignment.from_tune(searcher.suggest("c")).key


def small(trials: int) -> CellPlan:
    """A search of a space of two points."""
    return CellPlan(
        phase="phase1",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space={"init": INIT},
        fixed={**GRID_FIXED["siren"], "hidden": 4, "steps": 1},
        sampler=Tpe(trials),
    )


def test_a_search_plans_no_more_than_its_space_holds(ledger, open_run, drain):
    """Six trials of two points are two, in the plan, in the ledger and in the run, which is then exhausted."""
    plan = StudyPlan(study="s", cells=(small(6),))
    assert plan.planned() == {("phase1", "digits8/siren"): 2}
    run = open_run(ledger, plan)
    assert len(drain(run)) == 2
    assert run.exhausted
    assert progress(ledger, "s").remaining == 0


def test_a_small_space_is_tried_to_its_end(ledger, open_run, result, monkeypatch):
    """A sampler that only ever repeats itself is offered the points that are left."""
    space = {"init": INIT, "hidden": Choice((4, 8, 12, 16, 20, 24, 28, 32)), "steps": Choice((1, 2, 3))}
    cell = replace(small(48), space=space, fixed=GRID_FIXED["siren"])
    asked = 0
    ask = optuna.Study.ask

    def counted(self, *arguments):
        nonlocal asked
        asked += 1
        return ask(self, *arguments)

    monkeypatch.setattr(optuna.Study, "ask", counted)
    stream = opened(cell)
    keys = []
    while (suggestion := stream.next(())) is not None:
        keys.append(suggestion.trial.key)
        stream.tell(suggestion.trial, 1.0 if suggestion.trial.steps == 1 else 0.0)
    assert len(set(keys)) == len(keys) == 48
    assert stream.exhausted
    assert asked <= 48 * 12


def test_requests_beside_the_plan_add_to_what_is_planned(ledger, small_grid, open_run, drain):
    """A complete trial off the grid is not counted for one of its points, now or in a later run."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    run = open_run(ledger, plan)
    trial = trial_config(plan, small_grid, {**small_grid.fixed, "init": "shared", "hidden": 32, "steps": 2})
    run.put_first(plan.sampled(small_grid).suggest(trial))
    assert ledger.studies.planned("s")["phase2", small_grid.cell] == small_grid.planned + 1
    assert drain(run)[0] == trial.key
    assert progress(ledger, "s").remaining == 0
    ledger.leases.release(run.lease, state="finished")
    open_run(ledger, plan)
    assert ledger.studies.planned("s")["phase2", small_grid.cell] == small_grid.planned + 1
