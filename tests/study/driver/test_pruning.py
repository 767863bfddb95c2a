"""Tests of a pruned search: pruned trials count against the budget and inform the sampler."""

from dataclasses import replace
from math import nan

import optuna
import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.study.driver.pruning import check_pruner
from nefstudy.study.driver.run import StudyRun
from nefstudy.study.plan.scales import SCALES, search_cells
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.samplers.tpe import TpeStream
from nefstudy.tasks.result import TrialResult, UsedDataset
from nefstudy.tasks.task import Objective

from ...present import present

EPOCHS = 9


@pytest.fixture
def plan() -> StudyPlan:
    """Return a plan with one cell, a search of 20 trials."""
    return StudyPlan(study="s", cells=search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=20))


def so_far(value: float, epochs: int, *, dataset: str = "d") -> TrialResult:
    """Return the result of a trial after some epochs, with an accuracy that rises to `value` at the last epoch."""
    curve = [(epoch, value * epoch / EPOCHS) for epoch in range(1, epochs + 1)]
    metrics = {"val_accuracy": curve[-1][1], "test_accuracy": curve[-1][1], "all_psnr": 20.0}
    return TrialResult(
        metrics=metrics,
        curves={"val_accuracy": curve},
        artifacts={},
        fingerprint={"engine": "eager"},
        datasets=(UsedDataset(dataset, fitted=True, rungs=(10,), bytes=100),),
    )


def value_of(key: str) -> float:
    return (int(key[:6], 16) % 1000) / 1000


def work(run: StudyRun, *, limit: int = 1000) -> dict[str, int]:
    """Run trials one by one as Ray Tune would; return the epoch at which each trial ended, by the trial's key."""
    ends: dict[str, int] = {}
    while len(ends) < limit and (suggestion := run.next("t")) is not None:
        key = suggestion.trial.key
        ends[key] = EPOCHS
        for epoch in (1, 3):
            if run.prune_if_weak("t", so_far(value_of(key), epoch, dataset=suggestion.datasets[0])):
                ends[key] = epoch
                break
        else:
            run.completed("t", so_far(value_of(key), EPOCHS))
    return ends


def pruning(run: StudyRun, name: str = "asha") -> StudyRun:
    """Return a run that continues the study of `run` with a pruner."""
    return StudyRun(run.plan, ledger=run.ledger, lease=run.lease, pruner=name)


def test_pruned_trials_have_their_state_and_spend_the_budget(ledger, plan, open_run):
    """Pruned trials count against the budget: a budget of 20 results in 20 complete or pruned rows.

    The curve of a pruned trial ends at its last reported epoch.
    """
    run = pruning(open_run(ledger, plan))
    ends = work(run)
    rows = {row.key: row for row in ledger.trials.page("s", limit=None).rows}
    assert len(rows) == len(ends) == 20
    pruned = {key for key, row in rows.items() if row.state is TrialState.PRUNED}
    assert 8 <= len(pruned) < 20
    assert pruned == {key for key, end in ends.items() if end < EPOCHS}
    for key in pruned:
        assert rows[key].metrics["pruned_epoch"] == ends[key]
        assert len(ledger.trials.curves("s", "phase1", key=key)["val_accuracy"]) == ends[key]
        assert ledger.datasets.get(rows[key].dataset) is not None, "other trials can use its fields"
    best = max(rows.values(), key=lambda row: value_of(row.key))
    assert best.state is TrialState.COMPLETE
    assert pruning(run).exhausted
    assert ledger.trials.best("s")[0].key == best.key


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_restart_remembers_what_was_known(ledger, plan, open_run, name):
    """At any point, a new driver restores the curves, trial states and sampler of the previous driver."""
    first = pruning(open_run(ledger, plan), name)
    for limit in (3, 4, 6):
        work(first, limit=limit)
        second = StudyRun(plan, ledger=ledger, lease=first.lease, pruner=name)
        assert {k: dict(v) for k, v in second.pruner.ended.items()} == {
            k: dict(v) for k, v in first.pruner.ended.items()
        }
        known = [sorted(_known_to_sampler(run)) for run in (first, second)]
        assert known[0] == known[1]
        assert any(state == "PRUNED" for state, *_ in known[0]) or name == "median"


def _known_to_sampler(run: StudyRun):
    """Yield the state, value, parameters and curve that the sampler has for each complete or pruned trial."""
    (stream,) = run.cells._streams
    assert isinstance(stream, TpeStream)
    for trial in stream._study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)):
        kept = trial.intermediate_values if trial.state is optuna.trial.TrialState.PRUNED else {}
        yield (
            trial.state.name,
            round(trial.value or 0.0, 9),
            sorted(trial.params.items(), key=str),
            sorted(kept.items()),
        )


def test_without_a_pruner_no_curve_is_kept_and_no_trial_pruned(ledger, plan, open_run):
    """Without a pruner, no curves are kept and every trial runs to its last epoch."""
    run = open_run(ledger, plan)
    assert run.pruner.name_for("phase1", "mnist5k/siren") == "none"
    assert set(work(run).values()) == {EPOCHS}
    assert not run.pruner.ended


def test_a_grid_is_never_pruned(ledger, small_grid, plan, open_run):
    """A pruner is rejected if it is unknown, if the plan has only grids, or if it is combined with --workers."""
    both = StudyPlan(study="s", cells=(*plan.cells, small_grid))
    run = pruning(open_run(ledger, both))
    assert run.pruner.name_for("phase1", "mnist5k/siren") == "asha"
    assert run.pruner.name_for("phase2", "digits8/siren") == "none"
    check_pruner("asha", both, workers=0)
    check_pruner("none", StudyPlan(study="s", cells=(small_grid,)), workers=2)
    for name, plan_, workers, text in (
        ("asha", StudyPlan(study="s", cells=(small_grid,)), 0, "a grid"),
        ("asha", both, 2, "--workers"),
        ("hyperband", both, 0, "none, asha, median"),
    ):
        with pytest.raises(BadConfig, match=text):
            check_pruner(name, plan_, workers=workers)


def test_a_report_of_an_abandoned_trial_ends_it(ledger, plan, open_run):
    """A report on an unknown or abandoned trial stops the worker and changes no row."""
    run = pruning(open_run(ledger, plan))
    assert run.prune_if_weak("unknown", so_far(0.5, 1))
    assert not ledger.trials.page("s", limit=None).rows
    dataset = present(run.next("t")).datasets[0]
    assert not run.prune_if_weak("t", so_far(0.5, 1, dataset=dataset)), "nothing to compare it with"
    run.abandon("t", cause="timeout", error="too slow")
    rows, seq, ended = ledger.trials.page("s", limit=None).rows, ledger.events.last_seq(), dict(run.ended)
    assert [(row.state, row.cause) for row in rows] == [(TrialState.FAILED, "timeout")]
    assert run.prune_if_weak("t", so_far(0.5, 3, dataset=dataset))
    run.completed("t", so_far(0.5, EPOCHS, dataset=dataset))
    assert (ledger.trials.page("s", limit=None).rows, ledger.events.last_seq(), run.ended) == (rows, seq, ended)
    assert not any(run.pruner.ended.values())


def report(run: StudyRun, *curve: float, ask: bool = True) -> bool:
    """Report a curve for a new trial, complete the trial unless it is pruned, and return whether it was pruned."""
    suggestion = run.next("t")
    assert suggestion is not None
    points, metrics = list(enumerate(curve, start=1)), {"val_loss": 1.0, "val_accuracy": curve[-1]}
    datasets = tuple(UsedDataset(digest, rungs=(10,)) for digest in suggestion.datasets)
    found = TrialResult(metrics=metrics, curves={"val_accuracy": points}, datasets=datasets)
    if ask and run.prune_if_weak("t", found):
        return True
    run.completed("t", found)
    return False


def test_a_sampler_sees_pruned_curves_in_the_direction_of_its_objective(ledger, plan, open_run):
    """If the objective is minimized but accuracy decides on pruning, the sampler receives negated accuracies."""
    cells = tuple(replace(cell, objective=Objective("val_loss", "minimize")) for cell in plan.cells)
    run = pruning(open_run(ledger, replace(plan, cells=cells)))
    assert [report(run, accuracy) for accuracy in (0.9, 0.2, 0.4)] == [False, True, True]
    for stream in (*run.cells._streams, *pruning(run).cells._streams):
        assert isinstance(stream, TpeStream)
        pruned = stream._study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
        assert {trial.value for trial in pruned} == {-0.2, -0.4}


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_value_that_is_not_a_number_is_the_worst(ledger, plan, open_run, name):
    """A trial whose accuracy is NaN counts as the worst trial and is pruned.

    It does not hide the values of other trials, and a new driver restores it.
    """
    run = pruning(open_run(ledger, plan), name)
    for accuracy in (0.5, nan, 0.6, nan, 0.7, 0.8):
        report(run, accuracy, ask=False)
    assert [report(run, accuracy) for accuracy in (0.9, nan, 0.1)] == [False, True, True]
    again = pruning(run, name)
    assert dict(again.pruner.ended) == dict(run.pruner.ended)
    assert not report(again, 0.95)
