"""Stub tasks, and the messages exchanged between the driver and a trial."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nefstudy.config import TrialConfig
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.task import Task
from nefstudy.trial.assignment import Assignment
from nefstudy.trial.result_check import ExpectedResult


def tasks_with(run: Callable[..., Any]) -> dict[str, Task]:
    """Return the standard tasks, with `run` as the code of the classification task."""
    return TASKS | {"classification": replace(TASKS["classification"], run=run)}


def digests_of(trial: TrialConfig) -> tuple[str, ...]:
    """Return the digests of the neural datasets that a trial reads."""
    return tuple(need.digest for need in TASKS[trial.task].needs(trial))


def expected_of(trial: TrialConfig) -> ExpectedResult:
    """Return what the driver expects from a trial's result."""
    return ExpectedResult(trial.key, "val_accuracy", digests_of(trial))


def assignment_of(trial: TrialConfig, *, rungs: tuple[int, ...] = (), **more: Any) -> Assignment:
    """Return the assignment that the driver sends for a trial; `rungs` is the ladder of its neural datasets."""
    ladders = dict.fromkeys(digests_of(trial), rungs)
    config = trial.canonical_json()
    return Assignment(trial.task, config, trial.key, token=1, objective="val_accuracy", ladders=ladders, **more)
