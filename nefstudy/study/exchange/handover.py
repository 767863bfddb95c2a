"""The hand-over from phase 1 to phase 2: important parameters with suggested grids and fixed values.

The reference study searched first and then ran a grid over the most important parameters (Papa et al. 2024 suppl.,
section 4). The hand-over makes that step explicit: importance per cell by PED-ANOVA (Watanabe et al. 2023) and
values from the best tenth of the trials, in an editable JSON file together with the paper's choice (Table 3).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from nefstudy.errors import BadConfig
from nefstudy.insight.questions.importance import shares_of
from nefstudy.ledger import Ledger, TrialRow, TrialState
from nefstudy.paths import folder_below, handover_path
from nefstudy.scalars import Scalar
from nefstudy.study.locations import resolve_locations
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers.distributions import sampler_params, scaled
from nefstudy.study.space import GRID, GRID_FIXED, Categorical, Dimension, Real, Space, Whole
from nefstudy.tasks.task import Objective, Point

FREE = 3  # parameters that phase 2 varies, the number in the paper
TOP = 0.1  # values come from the best tenth of the trials
LEAST = 10  # fewest trials of a cell for a proposal
QUANTILES = (0.25, 0.5, 0.75)  # of the best trials' values: the grid of a range


def handover(ledger: Ledger, plan: StudyPlan) -> dict[str, Any]:
    """Return the hand-over for every searched cell of the plan, as plain data.

    Raises:
        BadConfig: a cell has too few finished trials.
    """
    searched = [cell for cell in plan.cells if cell.sampler.is_prunable]
    if not searched:
        raise BadConfig(f"study {plan.study!r} has no searched cell; a hand-over needs one")
    cells = {cell.cell: _cell(ledger, plan, cell) for cell in searched}
    return {"study": plan.study, "from": searched[0].phase, "top": TOP, "cells": cells}


def _cell(ledger: Ledger, plan: StudyPlan, cell: CellPlan) -> dict[str, Any]:
    found = ledger.trials.page(plan.study, phase=cell.phase, cell=cell.cell, state=TrialState.COMPLETE, limit=None).rows
    sampled, objective = plan.sampled(cell), plan.objective(cell)
    drawn = [
        (row, params)
        for row in found
        if row.score is not None and (params := sampler_params(cell.space, sampled.point(row.config))) is not None
    ]  # a request outside the space is not evidence about it
    if len(drawn) < LEAST:
        raise BadConfig(
            f"{cell.cell}: {len(drawn)} finished trials in {cell.phase}, at least {LEAST} are needed; run more "
            "(--trials)"
        )
    rows = [row for row, _ in drawn]
    points = [scaled(cell.space, params) for _, params in drawn]
    described = {name: {"kind": type(dimension).__name__, **vars(dimension)} for name, dimension in cell.space.items()}
    columns = {name: [point[name] for point in points] for name in cell.space}
    importance = shares_of(described, columns, [row.score or 0.0 for row in rows], sign=objective.sign)
    ranked = sorted(importance, key=lambda name: -importance[name])
    best = [point for _, point in sorted(zip(rows, points, strict=True), key=lambda pair: _rank(pair[0], objective))][
        : _top(len(rows))
    ]
    free = ranked[:FREE]
    return {
        "trials": len(rows),
        "objective": asdict(objective),
        "best": min(rows, key=lambda row: _rank(row, objective)).score,
        "importance": {name: round(importance[name], 4) for name in ranked},
        "grid": {name: grid_values(cell.space[name], [point[name] for point in best]) for name in free},
        "fixed": {
            **cell.fixed,
            **{name: fixed_value(cell.space[name], [point[name] for point in best]) for name in ranked[FREE:]},
        },
        "paper": {"grid": _listed(GRID.get(cell.field, {})), "fixed": dict(GRID_FIXED.get(cell.field, {}))},
    }


def _rank(row: TrialRow, objective: Objective) -> tuple[float, str]:
    """Return a sort key that puts better rows first."""
    assert row.score is not None
    return -objective.sign * row.score, row.key


def _top(count: int) -> int:
    return max(3, math.ceil(TOP * count))


def grid_values(dimension: Dimension, values: Sequence[Scalar]) -> list[Scalar]:
    """Return a dimension's grid values: all choices or, for a range, the quartiles of the best trials' values."""
    if isinstance(dimension, Categorical):
        return list(dimension.values)
    numbers = sorted(float(value) for value in values)
    chosen = [_round(dimension, numbers[round(q * (len(numbers) - 1))]) for q in QUANTILES]
    return sorted(set(chosen), key=float)


def fixed_value(dimension: Dimension, values: Sequence[Scalar]) -> Scalar:
    """Return one good value of a dimension: the best trials' most frequent choice, or the median of their values."""
    if isinstance(dimension, Categorical):
        counts = Counter(values)
        return max(dimension.values, key=lambda value: counts[value])
    return _round(dimension, median(float(value) for value in values))


def _round(dimension: Real | Whole, value: float) -> Scalar:
    """Round a value in a range to a multiple, or to two significant digits."""
    if isinstance(dimension, Whole):
        whole = round(value / dimension.multiple) * dimension.multiple
        return min(max(whole, dimension.low), dimension.high)
    return min(max(float(f"{value:.1e}"), dimension.low), dimension.high)


def _listed(space: Space) -> dict[str, list[Scalar]]:
    return {name: list(dimension.values) for name, dimension in space.items() if isinstance(dimension, Categorical)}


def handover_file(root: str, study: str) -> Path:
    """Return the path of a study's hand-over file under a local root."""
    return folder_below(root, handover_path(study))


def write_handover(found: Mapping[str, Any], path: Path) -> None:
    """Write the hand-over file atomically, in a form that users can edit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(found, indent=2) + "\n")
    beside.replace(path)


def read_handover(path: Path) -> dict[str, tuple[Space, Point]]:
    """Return the grid and the fixed values of each cell in a hand-over file.

    Raises:
        BadConfig: the file is missing, or is not a hand-over.
    """
    if not path.is_file():
        raise BadConfig(
            f"no hand-over at {path}; write it with `nefstudy handover --scale SCALE` (or --study NAME), "
            "or leave out --from-phase1"
        )
    try:
        cells = json.loads(path.read_text())["cells"]
        return {
            name: ({key: Categorical(tuple(values)) for key, values in cell["grid"].items()}, dict(cell["fixed"]))
            for name, cell in cells.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadConfig(
            f"{path} is not a hand-over ({type(error).__name__}: {error}); write it again with `nefstudy handover`"
        ) from None


def handed_over(options: StudyOptions, *, environment: Mapping[str, str]) -> dict[str, tuple[Space, Point]] | None:
    """Return the hand-over if the options request it; None if the study uses the paper's grid.

    Raises:
        BadConfig: it is requested and does not exist.
    """
    if not options.from_phase1:
        return None
    locations = resolve_locations(options.root, options.ledger, environment=environment)
    return read_handover(handover_file(locations.root, options.name))
