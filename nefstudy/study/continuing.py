"""What it takes to continue a study: the same trials by the same name; only budgets and cells may grow."""

from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.ledger import StudyRow
from nefstudy.study.plan import StudyPlan

BUDGETS = ("planned", "replicates", "sections", "metrics")
"""What may change between runs of one study: how much is asked and how it is shown, not what a trial means."""


def continued(row: StudyRow | None, plan: StudyPlan) -> dict[str, Any]:
    """Return the plan to record: this one's cells, and those of earlier runs that it does not name, in their order.

    Raises:
        BadConfig: the study was begun with a plan in which a trial means something else; names the difference.
    """
    described = plan.describe()
    before: dict[str, Any] = {} if row is None else dict(row.plan)
    if before.get("seed", plan.seed) != plan.seed:
        _refuse(plan.study, "seed", before["seed"], plan.seed)
    cells = {(cell["phase"], cell["cell"]): cell for cell in before.get("cells", ())}
    for cell in described["cells"]:
        _check_cell(plan.study, cells.get((cell["phase"], cell["cell"]), cell), cell)
        cells[cell["phase"], cell["cell"]] = cell
    return {**described, "cells": list(cells.values())}


def _check_cell(study: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        found = None if name in BUDGETS else difference(_kept(old.get(name)), _kept(value))
        if found is not None:
            path, before, now = found
            _refuse(study, " ".join([new["phase"], new["cell"], name, *path]), before, now)


def _kept(value: Any) -> Any:
    """Return a sampler without its budget, anything else unchanged."""
    return {name: v for name, v in value.items() if name != "trials"} if isinstance(value, dict) else value


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
