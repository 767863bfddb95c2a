"""The built-in tasks by name. A plan can add its own: `StudyPlan(tasks=TASKS | {"mine": MINE})`."""

import reprlib
from collections.abc import Mapping
from typing import get_args

from nefstudy.config import TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.tasks.classification import CLASSIFICATION
from nefstudy.tasks.fitting import FITTING
from nefstudy.tasks.task import Task

FUNCTIONS = ("codec", "needs", "run", "metrics", "objective")

TASKS: dict[str, Task] = {"classification": CLASSIFICATION, "fitting": FITTING}


def task_named(name: str, tasks: Mapping[str, Task] = TASKS) -> Task:
    """Return a task by its name.

    Raises:
        BadConfig: there is no such task.
    """
    if name not in tasks:
        raise BadConfig(
            f"task {name!r} is unknown; allowed: {', '.join(tasks)}; correct the name, or add the task to the plan"
        )
    return tasks[name]


def check_task(name: str, task: object) -> None:
    """Check the values of a task, and that the task and its configuration class have the name used in the plan.

    A worker finds the code of a trial by the name in its configuration.

    Raises:
        BadConfig: it is not a Task, one of its values has another type, or a name differs.
    """
    if not isinstance(task, Task):
        raise BadConfig(
            f"task {name!r} is {reprlib.repr(task)}; give a Task(...), such as replace(FITTING, name={name!r})"
        )
    called = next((part for part in FUNCTIONS if not callable(getattr(task, part))), None)
    if called is not None:
        value = reprlib.repr(getattr(task, called))
        raise BadConfig(f"task {name!r}: {called} = {value}: allowed is a function; correct the task")
    config: object = task.config
    if not isinstance(config, type) or not issubclass(config, TrialConfig):
        value = reprlib.repr(config)
        raise BadConfig(f"task {name!r}: config = {value}: allowed is a subclass of TrialConfig; correct the task")
    sections: object = task.sections
    if not isinstance(sections, tuple | list):
        raise BadConfig(f"task {name!r}: sections = {sections!r}: allowed is a tuple of names; correct the task")
    declared = task.config.model_fields["task"]
    names = get_args(declared.annotation) or ((declared.default,) if isinstance(declared.default, str) else (name,))
    other = next((each for each in (task.name, *names) if each != name), None)
    if other is not None:
        raise BadConfig(
            f"task {name!r}: the Task or its config class has the name {other!r}; set the Task's name={name!r} "
            f'and its config class `task: Literal["{name}"] = "{name}"`'
        )
