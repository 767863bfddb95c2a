"""What a study is for, as small answers: points of a scatter, its Pareto front, accuracy by start, failures."""

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger, TrialState
from nefstudy.ledger.rows import QUALITIES
from nefstudy.service.answers import (
    CellName,
    LedgerIn,
    PhaseName,
    StudyName,
    answer,
    encode,
    presentable,
    require_study,
)
from nefstudy.service.figure_models import (
    Accuracy,
    FailedTrial,
    Failure,
    Failures,
    Importance,
    Pareto,
    Points,
    Replicates,
    Savings,
    StartLine,
    StartTable,
)
from nefstudy.service.importance import importance
from nefstudy.service.replicates import replicates
from nefstudy.service.setbacks import setbacks, stopped_cells
from nefstudy.service.snapshot import Snapshots
from nefstudy.service.thinning import thinned

router = APIRouter(prefix="/v1/studies/{study}", tags=["figures"])

Axis = Annotated[str, Query(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$", description="a column, metric or parameter")]
COMPUTING: dict[int | str, dict[str, Any]] = {202: {"model": Importance, "description": "it is being computed"}}
LABELS = ("key", "phase", "cell", "init", "steps", "hidden", "dataset")
Also = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_.,]{1,800}$", description="comma-separated columns, metrics or parameters to add"),
]
MAX_ALSO = 24


@router.get("/points", response_model=Points)
def get_points(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    x: Axis = "quality",
    y: Axis = "test_accuracy",
    phase: PhaseName = None,
    cell: CellName = None,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 5_000,
    also: Also = None,
) -> Response:
    """Two values of every complete trial as columns; more than `limit` are thinned evenly over the plane."""
    require_study(ledger, study)
    more = tuple(dict.fromkeys(name for name in (also or "").split(",") if name))
    if len(more) > MAX_ALSO:
        raise BadConfig(f"also names {len(more)} values; give at most {MAX_ALSO}")

    def compute() -> bytes:
        columns = _points(ledger, study, x=x, y=y, phase=phase, cell=cell, also=more)
        kept = thinned(columns["x"], columns["y"], limit=limit)
        body = {name: [values[index] for index in kept] for name, values in columns.items()}
        added = {name: body.pop(f"also {name}") for name in more}
        return encode({"of": len(columns["x"]), "x_name": x, "y_name": y, **body, "also": added})

    return answer(request, _kept(request, study, f"points {x} {y} {phase} {cell} {limit} {more}", compute))


@router.get("/pareto", response_model=Pareto)
def get_pareto(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    x: Axis = "quality",
    y: Axis = "test_accuracy",
    phase: PhaseName = None,
    cell: CellName = None,
) -> Response:
    """The complete trials that no other beats in both values, by rising `x`; higher is better in both."""
    require_study(ledger, study)

    def compute() -> bytes:
        columns = _points(ledger, study, x=x, y=y, phase=phase, cell=cell)
        front = pareto_front(columns["x"], columns["y"])
        rows = [{name: values[index] for name, values in columns.items()} for index in front]
        return encode({"x_name": x, "y_name": y, "front": rows})

    return answer(request, _kept(request, study, f"pareto {x} {y} {phase} {cell}", compute))


@router.get("/importance", response_model=Importance, responses=COMPUTING)
def get_importance(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    target: Axis = "val_accuracy",
) -> Response:
    """Which parameters tell the best tenth of the complete trials from the rest, by shares that add up to 1.

    Over tens of thousands of trials this takes seconds: 202 says to ask again after `Retry-After`.
    """
    require_study(ledger, study)

    def compute() -> bytes:
        return encode(importance(ledger, study, phase=phase, cell=cell, target=target))

    snapshots: Snapshots = request.app.state.snapshots
    body = snapshots.soon(study, f"importance {phase} {cell} {target}", compute)
    if body is None:
        nothing = encode(Importance(trials=0, target=target, parameters=[]))
        return Response(nothing, status_code=202, media_type="application/json", headers={"Retry-After": "2"})
    return answer(request, body)


@router.get("/start-table", response_model=StartTable)
def get_start_table(request: Request, study: StudyName, ledger: LedgerIn, phase: PhaseName = None) -> Response:
    """Mean test accuracy by cell and start; phase 2, where starts are compared at equal settings, if it has any."""
    require_study(ledger, study)
    return answer(request, _kept(request, study, f"start-table {phase}", lambda: _start_table(ledger, study, phase)))


@router.get("/replicates", response_model=Replicates)
def get_replicates(
    request: Request, study: StudyName, *, ledger: LedgerIn, phase: PhaseName = None, cell: CellName = None
) -> Response:
    """Settings that ran with several seeds: means of accuracy and quality with their 95 % intervals."""
    require_study(ledger, study)

    def compute() -> bytes:
        return encode(replicates(ledger, study, phase=phase, cell=cell))

    return answer(request, _kept(request, study, f"replicates {phase} {cell}", compute))


@router.get("/savings", response_model=Savings)
def get_savings(request: Request, study: StudyName, ledger: LedgerIn) -> Response:
    """How much fitting the ladders and the ledger spared: one fit serves several trials, a known trial none."""
    require_study(ledger, study)
    return answer(request, _kept(request, study, "savings", lambda: encode(_savings(ledger, study))))


@router.get("/failures", response_model=Failures)
def get_failures(request: Request, study: StudyName, ledger: LedgerIn) -> Response:
    """Failed trials by cause, most frequent first, with the latest of each."""
    require_study(ledger, study)
    places = setbacks(ledger, study)
    totals = {
        cause: sum(place.failed for place in places if place.cause == cause) for cause in {p.cause for p in places}
    }
    latest = ledger.trials.page(study, state=TrialState.FAILED, sort="-ended_at", limit=200).rows if totals else ()
    found = [
        Failure(
            cause=cause,
            count=count,
            retried=sum(place.retried for place in places if place.cause == cause),
            places=[place for place in places if place.cause == cause],
            latest=next(
                (
                    FailedTrial(key=row.key, phase=row.phase, cell=row.cell, error=presentable(row.error))
                    for row in latest
                    if row.cause == cause
                ),
                None,
            ),
        )
        for cause, count in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return answer(request, encode(Failures(failures=found, stopped_cells=stopped_cells(ledger, study))))


def _kept(request: Request, study: str, name: str, compute: Callable[[], bytes]) -> bytes:
    snapshots: Snapshots = request.app.state.snapshots
    return snapshots.take(study, name, compute)


def pareto_front(x: Sequence[float], y: Sequence[float]) -> list[int]:
    """Indices of the points that no other point beats, by rising x; of equal points the first."""
    front: list[int] = []
    highest = -math.inf
    for index in sorted(range(len(x)), key=lambda i: (-x[i], -y[i], i)):
        if y[index] > highest:
            highest = y[index]
            front.append(index)
    return front[::-1]


def _points(
    ledger: Ledger, study: str, *, x: str, y: str, phase: str | None, cell: str | None, also: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """Labels and the two values of the complete trials that have both, as numbers; `also` under names of their own."""
    wanted = {*LABELS, x, y, *also}
    columns: dict[str, list[Any]] = ledger.trials.columns(study, tuple(wanted | {*QUALITIES}), phase=phase, cell=cell)
    if "quality" in wanted:  # transitional: the first edition's column of either kind
        pairs = zip(*(columns[name] for name in QUALITIES), strict=True)
        columns["quality"] = [iou if psnr is None else psnr for psnr, iou in pairs]
    both = [i for i, pair in enumerate(zip(columns[x], columns[y], strict=True)) if all(map(_is_number, pair))]
    named = {name: columns[name] for name in LABELS} | {"x": columns[x], "y": columns[y]}
    named |= {f"also {name}": columns[name] for name in also}
    return {name: [values[index] for index in both] for name, values in named.items()}


def _start_table(ledger: Ledger, study: str, phase: str | None) -> bytes:
    names = ("phase", "cell", "init", "test_accuracy")
    columns = ledger.trials.columns(study, names, phase=phase) if phase else _of_last_phase(ledger, study, names)
    rows = [row for row in zip(*(columns[name] for name in names), strict=True) if _is_number(row[3])]
    phases = {row[0] for row in rows}
    lines = [_start_line(cell, list(group)) for cell, group in groupby(sorted(rows, key=_cell), key=_cell)]
    return encode(StartTable(of=phases.pop() if len(phases) == 1 else None, trials=len(rows), rows=lines))


def _savings(ledger: Ledger, study: str) -> Savings:
    """The trial that fitted a neural dataset tells its number of fields: steps done over steps asked."""
    columns = ledger.trials.columns(study, ("dataset", "steps", "reused", "field_steps"))
    rows = list(zip(*columns.values(), strict=True))
    fields: dict[str, float] = {}
    for dataset, steps, _, done in rows:
        if _is_number(done) and done > 0 and steps > 0:
            fields[dataset] = max(fields.get(dataset, 0.0), done / steps)
    usual = statistics.median(fields.values()) if fields else 0.0
    return Savings(
        complete=len(rows),
        reused=sum(bool(reused) for _, _, reused, _ in rows),
        field_steps_asked=sum(steps * fields.get(dataset, usual) for dataset, steps, _, _ in rows),
        field_steps_done=sum(done for _, _, _, done in rows if _is_number(done)),
    )


def _of_last_phase(ledger: Ledger, study: str, names: Sequence[str]) -> dict[str, list[Any]]:
    for phase in sorted({phase for phase, _, _ in ledger.trials.counts(study)}, reverse=True):
        columns = ledger.trials.columns(study, names, phase=phase)
        if columns["test_accuracy"]:
            return columns
    return {name: [] for name in names}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _cell(row: Sequence[Any]) -> str:
    return str(row[1])


def _start_line(cell: str, rows: Sequence[Sequence[Any]]) -> StartLine:
    random, shared = (_accuracy([row[3] for row in rows if row[2] == start]) for start in ("random", "shared"))
    gain = 100 * (shared.mean - random.mean) / random.mean if random and shared and random.mean else None
    return StartLine(cell=cell, random=random, shared=shared, gain_percent=gain)


def _accuracy(values: Sequence[float]) -> Accuracy | None:
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Accuracy(n=len(values), mean=statistics.fmean(values), sd=sd)
