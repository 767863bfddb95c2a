"""The check that a study can be continued: budgets and cells may change, but not the meaning of trials."""

from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.ledger import StudyRow
from nefstudy.study.plan.study_plan import StudyPlan

BUDGETS = ("planned", "replicates", "sections", "metrics", "count", "classes", "test", "covers_space")
"""Values that may change between runs of one study: how much is run and how it is shown, not what a trial means."""


def continued(row: StudyRow | None, plan: StudyPlan) -> dict[str, Any]:
    """Return the plan to record: the cells of earlier runs in their order, updated and extended by this plan.

    Raises:
        BadConfig: trials meant something else when the study started; the message names the difference.
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
    for name in [*new, *(name for name in old if name not in new)]:
        change = None if name in BUDGETS else difference(_kept(name, old.get(name)), _kept(name, new.get(name)))
        if change is not None:
            path, before, now = change
            _refuse(study, " ".join([new["phase"], new["cell"], name, *path]), before, now)


def _kept(name: str, value: Any) -> Any:
    """Return a plan's value unchanged, unless it is a sampler: then return its description without the budget."""
    return {key: v for key, v in value.items() if key != "trials"} if name == "sampler" and value else value


def difference(old: Any, new: Any) -> tuple[tuple[str, ...], Any, Any] | None:
    """Return the path of the first difference between two plain values, and both values; None for equal values.

    Tuples equal lists, as after a round trip through JSON.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            inner = difference(old.get(name), new.get(name))
            if inner is not None:
                return (name, *inner[0]), inner[1], inner[2]
        return None
    old, new = (list(value) if isinstance(value, tuple) else value for value in (old, new))
    return None if old == new else ((), old, new)


def _refuse(study: str, what: str, old: Any, new: Any) -> None:
    raise BadConfig(
        f"study {study!r} was started with a different plan: {what} was {old}, is now {new}; "
        "choose another name for this plan with --study"
    )
