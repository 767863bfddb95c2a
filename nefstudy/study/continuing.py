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
        found = None if name in BUDGETS else difference(old.get(name), value)
        if found is not None:
            path, before, now = found
            _refuse(study, " ".join([new["phase"], new["cell"], name, *path]), before, now)


def difference(old: Any, new: Any) -> tuple[tuple[str, ...], Any, Any] | None:
    """The first place where two plain values differ: its path, and what stands there; None if they are equal.

    Tuples equal lists, as after a round trip through JSON.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            found = difference(old.get(name), new.get(name))
            if found is not None:
                return (name, *found[0]), found[1], found[2]
        return None
    old, new = (list(value) if isinstance(value, tuple) else value for value in (old, new))
    return None if old == new else ((), old, new)


def _refuse(study: str, what: str, old: Any, new: Any) -> None:
    raise BadConfig(
        f"study {study!r} was begun with another plan: {what} was {old}, now {new}; "
        "give this plan a name of its own with --study"
    )
