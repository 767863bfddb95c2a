"""Routes that serve figures and tables, which `insight` computes from a study's trials, as JSON or CSV."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from nefstudy.insight.catalog import FigureId, Options, TableId, figure, gallery, table
from nefstudy.insight.figure import Figure
from nefstudy.insight.gallery import Gallery
from nefstudy.insight.study_data import StudyData
from nefstudy.insight.table import Table, plain
from nefstudy.names import METRIC
from nefstudy.service.formats import CSV_CONTENT, csv_of, is_csv
from nefstudy.service.responses import CellName, LedgerIn, PhaseName, StudyName, encode, etag_response, require_study
from nefstudy.service.routes.artifacts import Artifacts
from nefstudy.service.snapshot import Snapshots

router = APIRouter(prefix="/v1/studies/{study}", tags=["insight"])

Axis = Annotated[str | None, Query(pattern=METRIC, description="a column, metric or parameter")]
AsCsv = Annotated[str | None, Query(pattern="^(csv|json)$", description="csv or json; by default the Accept header")]
COMPUTING: dict[int | str, dict[str, Any]] = {
    200: {"content": CSV_CONTENT},
    202: {"description": "still computing; repeat the request after `Retry-After` seconds"},
}
SLOW = frozenset({"initialization", "importance", "parallel", "replicates", "classifiers"})
"""Tables that take seconds for tens of thousands of trials; computed in the background."""
DIRECT = frozenset({"best", "failures", "stopped"})
"""Tables that take milliseconds at any size; computed for each request, so they are always current."""
RETRY_S = 2


@router.get("/figures/{figure_id}", response_model=Figure, responses={200: {"content": CSV_CONTENT}})
def get_figure(
    request: Request,
    study: StudyName,
    figure_id: FigureId,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    x: Axis = None,
    y: Axis = None,
    limit: Annotated[int, Query(ge=1, le=50_000, description="maximum dots; more are downsampled evenly")] = 5_000,
    format: AsCsv = None,
) -> Response:
    """Return a figure: axes, marks as columns, and a caption.

    Marks that represent a trial have its `key` and `phase`.
    """
    require_study(ledger, study)
    options = Options(phase=phase, cell=cell, x=x, y=y, limit=limit)
    csv = is_csv(request, format)

    def compute() -> bytes:
        value = figure(StudyData(ledger, study), figure_id, options)
        return csv_of(value.flat()) if csv else encode(plain(value))

    snapshots: Snapshots = request.app.state.snapshots
    return _response(
        request, snapshots.take(study, f"figure {figure_id} {options} {csv}", compute), csv=csv, name=figure_id
    )


@router.get("/tables/{table_id}", response_model=Table, responses=COMPUTING)
def get_table(
    request: Request,
    study: StudyName,
    table_id: TableId,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    x: Axis = None,
    y: Axis = None,
    limit: Annotated[int | None, Query(ge=1, le=1000, description="maximum rows, per cell or in total")] = None,
    format: AsCsv = None,
) -> Response:
    """Return a table: typed columns, rows and a caption.

    A mean has n, its standard deviation and the half-width of its 95 % interval.
    """
    require_study(ledger, study)
    options = Options(phase=phase, cell=cell, x=x, y=y, limit=limit)
    csv = is_csv(request, format)

    def compute() -> bytes:
        value = table(StudyData(ledger, study), table_id, options)
        return csv_of(value.flat()) if csv else encode(plain(value))

    body = _body(request.app.state.snapshots, study, f"table {table_id} {options} {csv}", compute, table_id=table_id)
    if body is None:
        return Response(b"{}", 202, media_type="application/json", headers={"Retry-After": str(RETRY_S)})
    return _response(request, body, csv=csv, name=table_id)


@router.get("/reconstructions", response_model=Gallery)
def get_reconstructions(
    request: Request, study: StudyName, *, ledger: LedgerIn, phase: PhaseName = None, cell: CellName = None
) -> Response:
    """Return the names and captions of the reconstructions that one cell's trials stored, by step count and init."""
    require_study(ledger, study)
    artifacts: Artifacts = request.app.state.artifacts

    def compute() -> bytes:
        value = gallery(
            StudyData(ledger, study),
            Options(phase=phase, cell=cell),
            is_there=lambda path: artifacts.read(path) is not None,
        )
        return encode(plain(value))

    snapshots: Snapshots = request.app.state.snapshots
    return _response(request, snapshots.take(study, f"gallery {phase} {cell}", compute), csv=False, name="")


def _body(
    snapshots: Snapshots, study: str, name: str, compute: Callable[[], bytes], *, table_id: TableId
) -> bytes | None:
    if table_id in DIRECT:
        return compute()
    return snapshots.take_or_defer(study, name, compute) if table_id in SLOW else snapshots.take(study, name, compute)


def _response(request: Request, body: bytes, *, csv: bool, name: str) -> Response:
    if not csv:
        return etag_response(request, body)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return etag_response(request, body, media_type="text/csv; charset=utf-8", headers=headers)
