"""Tests of cells that wait for another phase, and of lists that contain a trial twice."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig
from nefstudy.inits import INITS
from nefstudy.inits.drawn import SharedInit
from nefstudy.insight.catalog import table
from nefstudy.insight.study_data import StudyData
from nefstudy.signals.kinds import IMAGE
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Grid, Points, Winners
from nefstudy.study.space import Categorical, Real
from nefstudy.tasks.result import TrialResult, UsedDataset
from nefstudy.tasks.task import Objective, Point, SignalTraits

RATES = (1e-3, 2e-3, 3e-3)


@dataclass(frozen=True)
class Scaled(SharedInit):
    """The shared initialization with a gain, which these tests do not apply."""

    gain: float = 2.0


def cell_of(phase: str, *, hidden: int, **changes) -> CellPlan:
    """Return a cell whose free parameter is the learning rate."""
    given: dict[str, Any] = {"space": {"lr": Real(1e-4, 1e-1)}}
    given |= {"fixed": {"hidden": hidden, "steps": 2, "init": "shared"}} | changes
    signals = SignalsConfig(name="digits8")
    return CellPlan(phase=phase, signals=signals, field="siren", traits=SignalTraits(IMAGE), **given)


def work(run: StudyRun, end: Callable[[float], float | str], *, slots: int = 1) -> list[tuple[str, float]]:
    """Run all trials and return the phase and the learning rate of each.

    `end` maps a learning rate to a score or to a cause of failure.
    """
    seen: list[tuple[str, float]] = []
    while not (run.exhausted and not run.in_flight):
        while len(run.in_flight) < slots and (suggestion := run.next(f"t{len(seen)}")) is not None:
            seen.append((suggestion.phase, suggestion.needs[0].recipe.optimizer.lr))
        assert run.in_flight, "an unexhausted run hands out a trial"
        first = next(iter(run.in_flight))
        suggestion = run.in_flight[first].suggestion
        outcome = end(suggestion.needs[0].recipe.optimizer.lr)
        if isinstance(outcome, str):
            run.failed(first, cause=outcome, error="x")
        else:
            datasets = tuple(UsedDataset(digest, rungs=(2,)) for digest in suggestion.datasets)
            metrics = dict.fromkeys((suggestion.objective, "val_accuracy"), outcome)
            run.completed(first, TrialResult(metrics=metrics, datasets=datasets))
    return seen


@pytest.fixture
def chained() -> StudyPlan:
    """Return a plan of three phases: a grid of three points, up to five of its best points, and the best of those."""
    grid = cell_of("grid", hidden=4, sampler=Grid(), space={"lr": Categorical(RATES)})
    best = [cell_of(name, hidden=8 * k, sampler=Winners(after, k=k)) for name, after, k in
            (("best", "grid", 5), ("last", "best", 1))]  # fmt: skip
    return StudyPlan(study="s", cells=(grid, *best))


def test_fewer_winners_than_asked_for_are_a_complete_phase(chained, ledger, open_run):
    """A phase that requests more winners than exist plans only the existing ones and is then complete."""
    run = open_run(ledger, chained)
    assert Counter(phase for phase, _ in work(run, lambda lr: lr)) == {"grid": 3, "best": 3, "last": 1}
    assert list(ledger.studies.planned("s").values()) == [3, 3, 1]
    assert run.is_finished


def test_a_phase_that_failed_as_a_whole_has_no_winners(chained, ledger, open_run):
    """If all trials of a phase fail, the phases that wait for its winners have no trials."""
    run = open_run(ledger, chained)
    assert {phase for phase, _ in work(run, lambda _: "diverged")} == {"grid"}
    assert list(ledger.studies.planned("s").values()) == [3, 0, 0]
    assert run.is_finished


def test_winners_wait_for_trials_that_a_run_retries(chained, ledger, open_run):
    """Winners are chosen only after the next run has retried the trials that failed because of the disk."""
    first = open_run(ledger, replace(chained, cells=chained.cells[:1]))
    work(first, lambda lr: "disk" if lr == max(RATES) else lr)
    ledger.leases.release(first.lease, state="stopped")
    cells = (chained.cells[0], replace(chained.cells[1], sampler=Winners("grid", k=1)))
    seen = work(open_run(ledger, replace(chained, cells=cells)), lambda lr: lr, slots=3)
    assert seen == [("grid", max(RATES)), ("best", max(RATES))]


def test_a_point_that_is_listed_twice_is_one_trial(ledger, open_run):
    """A point that is listed twice runs once, even if its neural dataset is already fitted."""
    points: list[Point] = [{"steps": 1}, {"steps": 2}, {"steps": 2}, {"steps": 2.0}]
    cell = cell_of("grid", hidden=4, sampler=Points(points), space={}, fixed={"hidden": 4, "init": "shared"})
    run = open_run(ledger, StudyPlan(study="s", cells=(cell,)))
    assert len(work(run, lambda _: 1.0, slots=3)) == 2
    assert run.ended == {"complete": 2}
    assert list(ledger.studies.planned("s").values()) == [2]


@pytest.mark.parametrize("objective", [Objective("val_loss", "minimize"), Objective("val_accuracy")])
def test_winners_are_the_best_by_the_objective_of_their_own_phase(objective, ledger, open_run):
    """Winners are chosen by the earlier phase's objective, not by the objective of the phase that reruns them."""
    early = cell_of("early", hidden=4, sampler=Grid(), space={"lr": Categorical(RATES)},
                    objective=Objective("val_loss", "minimize"))  # fmt: skip
    late = cell_of("late", hidden=8, sampler=Winners("early"), objective=objective)
    run = open_run(ledger, StudyPlan(study="s", cells=(early, late)))
    assert work(run, lambda lr: lr)[-1] == ("late", min(RATES))


def test_winners_of_a_phase_with_another_task_are_run_again(ledger, open_run):
    """A phase of classification trials can take over the winners of a phase of fitting trials."""
    early = cell_of("early", hidden=4, sampler=Grid(), space={"lr": Categorical(RATES)}, task="fitting")
    late = cell_of("late", hidden=8, sampler=Winners("early"))
    run = open_run(ledger, StudyPlan(study="s", cells=(early, late)))
    assert work(run, lambda lr: lr)[-1] == ("late", max(RATES))
    assert run.is_finished


def test_inits_of_one_class_are_recorded_by_the_names_of_the_cell(ledger, open_run):
    """Trials are recorded with the name that their cell gives to the init.

    Tables and importance therefore separate inits of one class.
    """
    inits = {"half": InitConfig(name="scaled", params={"gain": 0.5}), "double": InitConfig(name="scaled")}
    cell = cell_of("grid", hidden=4, sampler=Grid(), fixed={"hidden": 4, "steps": 2}, inits=inits,
                   objective=Objective("test_accuracy"),
                   space={"init": Categorical((*inits, "shared")), "lr": Categorical(RATES)})  # fmt: skip
    run = open_run(ledger, StudyPlan(study="s", cells=(cell,), inits=INITS | {"scaled": Scaled}))
    work(run, lambda lr: lr)
    counts = Counter(row.parameters["init"] for row in ledger.trials.page("s").rows)
    assert counts == {"shared": 3, "half": 3, "double": 3}
    ledger.studies.put("s", run.plan.describe(), cells=run.plan.records())
    assert table(StudyData(ledger, "s"), "initialization").column("n") == ["3/3/3"]


def test_classifiers_of_one_class_are_recorded_by_the_names_of_the_cell(ledger, open_run):
    """Trials are recorded with the name that their cell gives to the classifier."""
    named = {name: ClassifierConfig(name="mlp", params={"width": width}) for name, width in (("thin", 4), ("wide", 8))}
    cell = cell_of("grid", hidden=4, sampler=Grid(), fixed={"hidden": 4, "steps": 2, "init": "shared"},
                   space={"classifier": Categorical(tuple(named)), "lr": Categorical(RATES)},
                   classifiers=named)  # fmt: skip
    work(open_run(ledger, StudyPlan(study="s", cells=(cell,))), lambda lr: lr)
    counts = Counter(row.parameters["classifier"] for row in ledger.trials.page("s").rows)
    assert counts == {"thin": 3, "wide": 3}
