"""Laws of a pruned search: spent budget, told to the sampler, and the same decisions after a restart."""

import optuna
import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.study.judge import check_pruner
from nefstudy.study.plan import StudyPlan
from nefstudy.study.run import StudyRun
from nefstudy.study.scales import SCALES, search_cells
from nefstudy.tasks.result import TrialResult

EPOCHS = 9


@pytest.fixture
def plan() -> StudyPlan:
    """A search of 20 trials in one cell."""
    return StudyPlan(study="s", cells=search_cells(SCALES["smoke"], ("mnist5k/siren",), trials=20))


def so_far(value: float, epochs: int, *, dataset: str = "d") -> TrialResult:
    """What a trial has found after some epochs: accuracy rises to `value` at the last."""
    curve = [(epoch, value * epoch / EPOCHS) for epoch in range(1, epochs + 1)]
    metrics = {"val_accuracy": curve[-1][1], "test_accuracy": curve[-1][1], "all_psnr": 20.0}
    return TrialResult(
        metrics=metrics,
        curves={"val_accuracy": curve},
        artifacts={},
        fingerprint={"engine": "eager"},
        dataset=dataset,
        fitted=True,
        rungs=(10,),
        dataset_bytes=100,
    )


def value_of(key: str) -> float:
    return (int(key[:6], 16) % 1000) / 1000


def work(run: StudyRun, *, most: int = 1000) -> dict[str, int]:
    """Run trials one by one as Ray Tune would; at which epoch each ended, by key."""
    ends: dict[str, int] = {}
    while len(ends) < most and (suggestion := run.next("t")) is not None:
        key = suggestion.trial.key
        ends[key] = EPOCHS
        for epoch in (1, 3):
            if run.prunes("t", so_far(value_of(key), epoch, dataset=suggestion.datasets[0])):
                ends[key] = epoch
                break
        else:
            run.completed("t", so_far(value_of(key), EPOCHS))
    return ends


def pruning(run: StudyRun, name: str = "asha") -> StudyRun:
    """The same study's run with a pruner."""
    return StudyRun(run.plan, ledger=run.ledger, lease=run.lease, pruner=name)


def test_pruned_trials_are_a_state_of_their_own_and_spend_the_budget(ledger, plan, open_run):
    """20 asked for, 20 rows: some complete, some pruned, with the curve they came to and no test accuracy of use."""
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
        assert ledger.datasets.get(rows[key].dataset) is not None, "its fields are there for others"
    best = max(rows.values(), key=lambda row: value_of(row.key))
    assert best.state is TrialState.COMPLETE
    assert pruning(run).exhausted
    assert ledger.trials.best("s")[0].key == best.key


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_restart_remembers_what_was_known(ledger, plan, open_run, name):
    """At any point, a new driver's memory equals that of the one before: curves, states, and TPE's trials."""
    first = pruning(open_run(ledger, plan), name)
    for most in (3, 4, 6):
        work(first, most=most)
        second = StudyRun(plan, ledger=ledger, lease=first.lease, pruner=name)
        assert {k: dict(v) for k, v in second.judge.ended.items()} == {k: dict(v) for k, v in first.judge.ended.items()}
        told = [sorted(_told(run)) for run in (first, second)]
        assert told[0] == told[1]
        assert any(state == "PRUNED" for state, *_ in told[0]) or name == "median"


def _told(run: StudyRun):
    """What the sampler knows of each ended trial."""
    (stream,) = run.cells._streams
    for trial in stream._study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)):
        kept = trial.intermediate_values if trial.state is optuna.trial.TrialState.PRUNED else {}
        yield (
            trial.state.name,
            round(trial.value or 0.0, 9),
            sorted(trial.params.items(), key=str),
            sorted(kept.items()),
        )


def test_without_a_pruner_nothing_is_asked_or_kept(ledger, plan, open_run):
    """Off: no memory, no pruner in what a trial is sent, and even a report would end nothing."""
    run = open_run(ledger, plan)
    assert run.judge.of("phase1", "mnist5k/siren") == "none"
    assert set(work(run).values()) == {EPOCHS}
    assert not run.judge.ended


def test_a_grid_is_never_pruned(ledger, small_grid, plan, open_run):
    """In a plan with both, the search is; a plan of grids alone, worker groups and unknown names are refused."""
    both = StudyPlan(study="s", cells=(*plan.cells, small_grid))
    run = pruning(open_run(ledger, both))
    assert run.judge.of("phase1", "mnist5k/siren") == "asha"
    assert run.judge.of("phase2", "digits8/siren") == "none"
    check_pruner("asha", both, workers=0)
    check_pruner("none", StudyPlan(study="s", cells=(small_grid,)), workers=2)
    for name, plan_, workers, said in (
        ("asha", StudyPlan(study="s", cells=(small_grid,)), 0, "every point of a grid is asked for"),
        ("asha", both, 2, "leave out --workers"),
        ("hyperband", both, 0, "allowed are none, asha, median"),
    ):
        with pytest.raises(BadConfig, match=said):
            check_pruner(name, plan_, workers=workers)


def test_a_report_of_a_trial_nobody_waits_for_ends_it(ledger, plan, open_run):
    """An actor that went on after its trial was given up is told to stop, and no row is touched."""
    run = pruning(open_run(ledger, plan))
    assert run.prunes("unknown", so_far(0.5, 1))
    assert not ledger.trials.page("s", limit=None).rows
