"""Tests of sharing GPUs: trials share a GPU once their memory has been measured."""

import pytest

from nefstudy.study.driver.gpu_share import MARGIN, MAX_TRIALS, GpuShares, memory_class, trials_per_gpu
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.tasks.task import Point
from nefstudy.trial.memory import MEMORY, PEAK

POINT: Point = {"init": "shared", "hidden": 8, "steps": 2, "lr": 1e-3, "omega_0": 9.0, "layers": 3}


def trial(small_grid, **changed):
    return StudyPlan(study="s", cells=(small_grid,)).sampled(small_grid).codec.configure({**POINT, **changed})


def class_of(config):
    return memory_class(config.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("memory", "peak", "fits"),
    [
        (80_000, 70_000, 1),
        (80_000, 66_667, 1),
        (80_000, 33_333, 2),
        (80_000, 33_334, 1),
        (80_000, 100, MAX_TRIALS),
        (8, 90, 1),
    ],
)
def test_trials_fit_a_gpu_with_a_margin(memory, peak, fits) -> None:
    """A GPU is shared by as many trials as fit into its memory with a margin, at least one and at most MAX_TRIALS."""
    count = trials_per_gpu(memory_mb=memory, peak_mb=peak)
    assert count == fits
    assert count == 1 or count * MARGIN * peak <= memory
    assert count == MAX_TRIALS or (count + 1) * MARGIN * peak > memory


def test_trials_of_equal_memory_share_a_class(small_grid) -> None:
    """Trials of equal width, depth, points per step and views share a memory class.

    Learning rate, frequency, init and steps do not matter.
    """
    first = class_of(trial(small_grid))
    for same in ({"lr": 1e-2}, {"steps": 4}, {"init": "random"}, {"omega_0": 20.0}):
        assert class_of(trial(small_grid, **same)) == first, same
    for other in ({"hidden": 16}, {"layers": 4}, {"batch_points": 64}, {"views": 2, "init": "random"}):
        assert class_of(trial(small_grid, **other)) != first, other


def test_the_first_of_a_class_requests_a_whole_gpu_and_later_ones_a_share(small_grid) -> None:
    """Only the first trial of a memory class requests a whole GPU; later trials request a share."""
    shares = GpuShares(1.0, fixed=False)
    assert shares.share_of(trial(small_grid)) == 1.0
    shares.learn(trial(small_grid), {PEAK: 300.0, MEMORY: 1000.0})
    assert shares.share_of(trial(small_grid, lr=1e-2)) == 0.5
    assert shares.share_of(trial(small_grid, hidden=16)) == 1.0
    shares.learn(trial(small_grid), {PEAK: 600.0, MEMORY: 1000.0})
    shares.learn(trial(small_grid), {PEAK: 100.0, MEMORY: 1000.0})
    assert shares.share_of(trial(small_grid)) == 1.0, "the largest share counts"


def test_a_gpu_share_set_by_hand_stays(small_grid) -> None:
    """If the user sets a GPU share, trials request this share regardless of the measured memory."""
    shares = GpuShares(0.25)
    shares.learn(trial(small_grid), {PEAK: 1.0, MEMORY: 1000.0})
    assert shares.share_of(trial(small_grid)) == 0.25
    assert GpuShares().share_of(trial(small_grid)) == 0.0


def test_a_continued_study_remembers_what_was_measured(ledger, small_grid, open_run) -> None:
    """Memory peaks are stored in the ledger, so a new run of the study requests GPU shares from the start."""
    plan = StudyPlan(study="s", cells=(small_grid,))
    first = open_run(ledger, plan)
    first.share_gpus(1.0, fixed=False)
    suggestion = first.next("t0")
    assert suggestion is not None
    assert first.in_flight["t0"].gpus == 1.0
    token = first.in_flight["t0"].token
    metrics = {"val_accuracy": 0.5, PEAK: 100.0, MEMORY: 500.0}
    ledger.trials.complete("s", "phase2", key=suggestion.trial.key, token=token, metrics=metrics)
    ledger.leases.release(first.lease, state="stopped")
    second = open_run(ledger, plan)
    second.share_gpus(1.0, fixed=False)
    assert second.shares.share_of(suggestion.trial) == 0.25
