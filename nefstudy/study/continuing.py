"""What it takes to continue a study: the same trials by the same name; only budgets and cells may grow."""

from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.ledger import StudyRow
from nefstudy.study.plan import StudyPlan

BUDGETS = ("trials", "planned", "replicates")
"""What may change between runs of one study: how much is asked, not what a trial means."""


def continued(row: StudyRow | None, plan: StudyPlan) -> dict[str, Any]:
    """The plan to record, by phase: this one, and the cells of earlier runs that it does not name.

    Raises:
        BadConfig: the study was begun with a plan in which a trial means something else; names the difference.
    """
    before: dict[str, Any] = {} if row is None else dict(row.plan)
    described = plan.describe()
    phases: dict[str, Any] = {}
    for phase in plan.phases:
        old = before.get(phase) or {"seed": plan.seed, "cells": []}
        if old["seed"] != plan.seed:
            _refuse(plan.study, f"{phase} seed", old["seed"], plan.seed)
        known = {cell["cell"]: cell for cell in old["cells"]}
        for cell in described["cells"]:
            if cell["phase"] == phase:
                _check_cell(plan.study, known.get(cell["cell"], cell), cell)
                known[cell["cell"]] = cell
        phases[phase] = {"seed": plan.seed, "cells": list(known.values())}
    return phases


def _check_cell(study: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if name not in BUDGETS and _plain(old.get(name)) != _plain(value):
            _refuse(study, f"{new['phase']} {new['cell']} {name}", old.get(name), value)


def _plain(value: Any) -> Any:
    """The value as it looks after a round trip through JSON: tuples are lists."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _refuse(study: str, what: str, old: Any, new: Any) -> None:
    raise BadConfig(
        f"study {study!r} was begun with another plan: {what} was {_plain(old)}, now {_plain(new)}; "
        "give this plan a name of its own with --study"
    )
