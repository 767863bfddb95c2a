"""Tasks of a test's own, and what the driver would send and expect of a trial."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nefstudy.config import TrialConfig
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.task import Task
from nefstudy.trial.assignment import Assignment
from nefstudy.trial.checked import Expected


def doing(run: Callable[..., Any]) -> dict[str, Task]:
    """Return the tasks, of which classification does what a function does."""
    return TASKS | {"classification": replace(TASKS["classification"], run=run)}


def digests_of(trial: TrialConfig) -> tuple[str, ...]:
    """Return the neural datasets that a trial reads."""
    return tuple(need.digest for need in TASKS[trial.task].needs(trial))


def expected_of(trial: TrialConfig) -> Expected:
    """Return what the driver knows of a trial's result."""
    return Expected(trial.key, "val_accuracy", digests_of(trial))


def assignment_of(trial: TrialConfig, *, rungs: tuple[int, ...] = (), **more: Any) -> Assignment:
    """Return what the driver sends for a trial, whose ladder has some rungs."""
    ladders = dict.fromkeys(digests_of(trial), rungs)
    config = trial.canonical_json()
    return Assignment(trial.task, config, trial.key, token=1, objective="val_accuracy", ladders=ladders, **more)
