"""Tasks by name; a plan may bring its own: `StudyPlan(tasks=TASKS | {"mine": MINE})`."""

from collections.abc import Mapping

from nefstudy.errors import BadConfig
from nefstudy.tasks.classification import CLASSIFICATION
from nefstudy.tasks.fitting import FITTING
from nefstudy.tasks.task import Task

TASKS: dict[str, Task] = {"classification": CLASSIFICATION, "fitting": FITTING}


def task_named(name: str, tasks: Mapping[str, Task] = TASKS) -> Task:
    """Return a task by its name.

    Raises:
        BadConfig: no such task.
    """
    if name not in tasks:
        raise BadConfig(f"unknown task {name!r}; allowed: {', '.join(tasks)}; correct the plan, or add it to its tasks")
    return tasks[name]
