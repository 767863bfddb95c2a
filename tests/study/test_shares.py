"""Laws of sharing GPUs: a whole one until memory was measured, then as many trials as fit with a margin."""

import pytest

from nefstudy.study.plan import StudyPlan, trial_config
from nefstudy.study.shares import MARGIN, MOST, Shares, memory_class, trials_per_gpu
from nefstudy.trial.memory import MEMORY, PEAK

POINT = {"init": "shared", "hidden": 8, "steps": 2, "lr": 1e-3, "omega_0": 9.0, "layers": 3}


def trial(small_grid, **changed):
    return trial_config(StudyPlan(study="s", cells=(small_grid,)), small_grid, {**POINT, **changed})


def class_of(config):
    return memory_class(config.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("memory", "peak", "fits"),
    [
        (80_000, 70_000, 1),
        (80_000, 66_667, 1),
        (80_000, 33_333, 2),
        (80_000, 33_334, 1),
        (80_000, 100, MOST),
        (8, 90, 1),
    ],
)
def test_as_many_as_fit_with_a_margin(memory, peak, fits) -> None:
    """k trials of the peak, a fifth more each, fit the memory, and k + 1 do not, between 1 and the cap."""
    found = trials_per_gpu(memory_mb=memory, peak_mb=peak)
    assert found == fits
    assert found == 1 or found * MARGIN * peak <= memory
    assert found == MOST or (found + 1) * MARGIN * peak > memory


def test_what_needs_no_more_memory_is_of_one_class(small_grid) -> None:
    """Rates, frequencies, starts and step counts share a class; width, points and the classifier part it."""
    first = class_of(trial(small_grid))
    for same in ({"lr": 1e-2}, {"steps": 4}, {"init": "random"}, {"omega_0": 20.0}):
        assert class_of(trial(small_grid, **same)) == first, same
    for other in ({"hidden": 16}, {"layers": 4}, {"batch_points": 64}, {"views": 2, "init": "random"}):
        assert class_of(trial(small_grid, **other)) != first, other


def test_the_first_of_a_class_asks_for_all_and_later_ones_for_their_part(small_grid) -> None:
    """A measured peak of a tenth of the memory puts eight on one; another class still asks for all."""
    shares = Shares(1.0, fixed=False)
    assert shares.of(trial(small_grid)) == 1.0
    shares.learn(trial(small_grid), {PEAK: 300.0, MEMORY: 1000.0})
    assert shares.of(trial(small_grid, lr=1e-2)) == 0.5
    assert shares.of(trial(small_grid, hidden=16)) == 1.0
    shares.learn(trial(small_grid), {PEAK: 600.0, MEMORY: 1000.0})
    shares.learn(trial(small_grid), {PEAK: 100.0, MEMORY: 1000.0})
    assert shares.of(trial(small_grid)) == 1.0, "the one that left room for fewest counts"


def test_what_was_asked_for_by_hand_stays(small_grid) -> None:
    """`--gpus 0.25` is a quarter whatever a trial shows; without GPUs nothing is asked for."""
    shares = Shares(0.25)
    shares.learn(trial(small_grid), {PEAK: 1.0, MEMORY: 1000.0})
    assert shares.of(trial(small_grid)) == 0.25
    assert Shares().of(trial(small_grid)) == 0.0


def test_a_continued_study_remembers_what_was_measured(ledger, small_grid, open_run) -> None:
    """Peaks are metrics of the ledger's rows; a new run of the study asks for parts at once."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    first.share_gpus(1.0, fixed=False)
    suggestion = first.next("t0")
    assert suggestion is not None
    assert first.under_way["t0"].gpus == 1.0
    token = first.under_way["t0"].token
    metrics = {"val_accuracy": 0.5, PEAK: 100.0, MEMORY: 500.0}
    ledger.trials.complete("s", "phase2", key=suggestion.trial.key, token=token, metrics=metrics)
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    second.share_gpus(1.0, fixed=False)
    assert second.shares.of(suggestion.trial) == 0.25
