"""Export of the ledger's trials to one SQLite file of Optuna studies, for optuna-dashboard and Optuna's plots.

One Optuna study per phase and cell, `study/phase/cell`: distributions of the declared space, the score as the value,
its curve by epoch as intermediate values, and the trial's key, parameters and metrics as user attributes.
"""

import errno
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy.exc import OperationalError

from nefstudy import __version__
from nefstudy.errors import BadConfig, BadRoot
from nefstudy.ledger import Ledger, StudyRow, TrialRow, TrialState
from nefstudy.ledger.sql.address import sqlite_url
from nefstudy.study.plan.recorded import described_cells
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers.distributions import holds
from nefstudy.study.space import Categorical, Dimension, Real
from nefstudy.tasks.task import Objective, Point

log = logging.getLogger(__name__)
MARK = "nefstudy"  # user attribute of every study we wrote, with our version
STATES: Mapping[TrialState, OptunaState] = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.REQUESTED: OptunaState.WAITING,
    TrialState.INTERRUPTED: OptunaState.WAITING,
}
ATTRIBUTES = ("key", "task", "dataset", "attempt", "cause", "error", "reused")


@dataclass(frozen=True)
class Exported:
    """One exported Optuna study; `outside` counts trials whose point is not in the declared space."""

    name: str
    trials: int
    outside: int


def export_optuna(
    ledger: Ledger, out: Path, *, study: str | None = None, phase: str | None = None, cell: str | None = None
) -> list[Exported]:
    """Write the ledger's trials to a new SQLite file, replacing the file of an earlier export.

    Raises:
        BadConfig: no such study or cell, or `out` is a file of another program.
        BadRoot: `out` cannot be written.
    """
    chosen = _chosen(ledger, study=study, phase=phase, cell=cell)
    try:
        _check_file(out)
        _check_ours(out)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        beside = out.with_name(f"{uuid.uuid4().hex}.tmp")
        try:
            storage = optuna.storages.RDBStorage(sqlite_url(beside.absolute()))
            written = [_write(ledger, row, described, storage=storage) for row, described in chosen]
            storage.engine.dispose()
            beside.replace(out)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError, OperationalError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or getattr(error, "orig", None) or error
        raise BadRoot(f"out = {str(out)!r}: {reason}; name a file that can be written with --out") from None
    return written


def _check_file(out: Path) -> None:
    """Raise OSError if the file cannot be created or replaced."""
    if out.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    str(out).encode()  # the URL of a database holds UTF-8
    tempfile.TemporaryFile(dir=out.parent).close()


def _chosen(
    ledger: Ledger, *, study: str | None, phase: str | None, cell: str | None
) -> list[tuple[StudyRow, CellPlan]]:
    described = []
    for row in ledger.studies.all():
        try:
            described += [(row, plan) for plan in described_cells(row)]
        except BadConfig as error:
            log.warning("%s", error)
    found = [
        (row, plan)
        for row, plan in described
        if study in (None, row.study) and phase in (None, plan.phase) and cell in (None, plan.cell)
    ]
    if not found:
        have = ", ".join(sorted({f"{row.study} {plan.phase} {plan.cell}" for row, plan in described})) or "none"
        raise BadConfig(f"nothing to export for study {study}, phase {phase}, cell {cell}: the ledger describes {have}")
    return found


def _check_ours(out: Path) -> None:
    if not out.exists():
        return
    try:
        storage = optuna.storages.RDBStorage(
            sqlite_url(out.absolute()), skip_compatibility_check=True, skip_table_creation=True
        )
        studies = storage.get_all_studies()
        storage.engine.dispose()
    except Exception as error:  # any error means that the file is not ours
        raise BadConfig(
            f"{out} exists and is not an Optuna storage ({type(error).__name__}); pass another --out"
        ) from None
    foreign = [found.study_name for found in studies if MARK not in found.user_attrs]
    if foreign:
        raise BadConfig(f"{out} holds studies of other programs ({', '.join(foreign[:3])}); pass another --out")


def _write(ledger: Ledger, row: StudyRow, plan: CellPlan, *, storage: optuna.storages.RDBStorage) -> Exported:
    name = f"{row.study}/{plan.phase}/{plan.cell}"
    objective = plan.objective or Objective("score")
    made = optuna.create_study(study_name=name, storage=storage, direction=objective.direction)
    marks = {MARK: __version__, "study": row.study, "phase": plan.phase, "cell": plan.cell, "value": objective.metric}
    for key, value in marks.items():
        made.set_user_attr(key, value)
    distributions = {key: exported_distribution(dimension) for key, dimension in plan.space.items()}
    rows = ledger.trials.page(row.study, phase=plan.phase, cell=plan.cell, limit=None).rows
    find = _finder(row, plan)
    found = [frozen(ledger, plan, trial, point=find(trial), distributions=distributions) for trial in rows]
    trials = [trial for trial in found if trial is not None]
    made.add_trials(trials)
    return Exported(name, len(trials), len(rows) - len(trials))


def exported_distribution(dimension: Dimension) -> BaseDistribution:
    """Return a dimension as an Optuna distribution in its original units.

    Multiples on a logarithmic scale are dropped, because Optuna does not support them.
    """
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, Real):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    step = 1 if dimension.log else dimension.multiple
    return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=step)


def _finder(row: StudyRow, cell: CellPlan) -> Callable[[TrialRow], Point]:
    """Return a function that maps a trial to its point.

    It uses the task's codec, or the recorded parameters if the task is not built in.
    """
    try:
        codec = StudyPlan(study=row.study, cells=(cell,), seed=int(row.plan["seed"])).sampled(cell).codec
    except BadConfig:
        return lambda trial: dict(trial.parameters)
    return lambda trial: codec.point(trial.config)


def frozen(
    ledger: Ledger, plan: CellPlan, row: TrialRow, *, point: Point, distributions: Mapping[str, BaseDistribution]
) -> FrozenTrial | None:
    """Return a trial as an Optuna trial; None if it is outside the declared space."""
    params = {name: point[name] for name in plan.space if name in point}
    if len(params) < len(plan.space) or not holds(distributions, params):
        return None
    state = STATES[row.state]
    curves = ledger.trials.curves(row.study, row.phase, key=row.key)
    curve = {round(epoch): value for epoch, value in curves.get((plan.objective or Objective("score")).metric, ())}
    value = row.score if state in (OptunaState.COMPLETE, OptunaState.PRUNED) else None
    if state is OptunaState.COMPLETE and value is None:
        state = OptunaState.FAIL  # Optuna has no complete trial without a value
    known = {name: getattr(row, name) for name in ATTRIBUTES} | row.parameters
    known |= {name: value for name, value in row.metrics.items() if isfinite(value)}
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=value,
        datetime_start=None if state is OptunaState.WAITING else _when(row.started_at or row.requested_at),
        datetime_complete=_when(row.ended_at) if state.is_finished() else None,
        params=params,
        distributions=dict(distributions),
        user_attrs={name: value for name, value in known.items() if value is not None},
        system_attrs={},
        intermediate_values=curve,
    )


def _when(seconds: float | None) -> datetime:
    """Return a time as Optuna stores it: local and without a time zone."""
    return datetime.fromtimestamp(seconds or 0.0, UTC).astimezone().replace(tzinfo=None)
