"""Routes that return pages of trials, by filter and cursor, and one trial with its curves and pictures."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from nefstudy.errors import BadConfig
from nefstudy.insight.questions.failures import presentable, presentable_line
from nefstudy.insight.study_data import StudyData
from nefstudy.ledger import Filter, Ledger, TrialRow, TrialState
from nefstudy.ledger.sql import pages
from nefstudy.names import METRIC
from nefstudy.paths import log_path
from nefstudy.service.formats import NON_JSON_CONTENT, Format, page_response
from nefstudy.service.listing import SUMMARY
from nefstudy.service.models import TrialDetail, TrialPage
from nefstudy.service.responses import (
    PRINTABLE,
    CellName,
    LedgerIn,
    PhaseName,
    StudyFilter,
    StudyName,
    TrialKey,
    encode,
    etag_response,
    require_study,
)
from nefstudy.service.routes.artifacts import Artifacts

router = APIRouter(prefix="/v1", tags=["trials"])

MAX_FILTERS = 16
MAX_FIELDS = 64
LOG_LINES = 25  # of a failed trial's log: a traceback and the lines before it
_FIELD = re.compile(METRIC)

Filters = Annotated[
    list[Annotated[str, Query(pattern=PRINTABLE)]],
    Query(
        max_length=MAX_FILTERS,
        description="name, operator and value, such as `val_accuracy>=0.8`; filters combine with AND",
    ),
]
Fields = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="comma-separated columns, parameters (omega_0) or metrics (all_psnr); "
        "write `metrics.NAME` or `parameters.NAME` where a bare name is ambiguous",
    ),
]
SortBy = Annotated[
    str | None,
    Query(
        pattern=r"^-?[A-Za-z_][A-Za-z0-9_.]{0,63}$",
        description="column, metric or parameter; prefix `-` sorts descending",
    ),
]
Cursor = Annotated[str | None, Query(max_length=1000, pattern=r"^[!-~]+$", description="`cursor` of the previous page")]


@router.get("/studies/{study}/trials", response_model=TrialPage, responses={200: {"content": NON_JSON_CONTENT}})
def list_trials(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    state: TrialState | None = None,
    filter: Filters = [],  # noqa: B006 - the query parameter's name; FastAPI copies defaults
    sort: SortBy = None,
    fields: Fields = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = None,
    format: Format | None = None,
) -> Response:
    """Return a page of trials as JSON, NDJSON, CSV or Parquet, in order of creation or sorted."""
    require_study(ledger, study)
    query = pages.Query(study, phase=phase, cell=cell, state=state, filters=tuple(map(Filter.parse, filter)), sort=sort)
    page = ledger.trials.stored_page(query, limit=limit, cursor=cursor)
    return page_response(request, page, names=_field_names(fields), requested=format)


@router.get("/trials/{key}", response_model=TrialDetail)
def get_trial(
    request: Request,
    key: TrialKey,
    *,
    ledger: LedgerIn,
    study: StudyFilter = None,
    phase: PhaseName = None,
) -> Response:
    """Return one trial with its configuration, curves and the names of its artifacts that still exist."""
    row = _get_row(ledger, key, study=study, phase=phase)
    artifacts: Artifacts = request.app.state.artifacts
    files = ledger.trials.artifacts(row.study, row.phase, key=key)
    curves = ledger.trials.curves(row.study, row.phase, key=key)
    declared = StudyData(ledger, row.study).declared.of(row.phase, row.cell)
    metrics = map(declared.metric, sorted({*row.metrics, *curves}))
    values = {name: getattr(row, name) for name in TrialDetail.model_fields if hasattr(row, name)}
    more = {
        "error": presentable(row.error),
        "curves": curves,
        "artifacts": sorted(name for name, path in files.items() if artifacts.read(path) is not None),
        "labels": {m.name: {"label": m.label, "unit": m.unit, "digits": m.digits, "split": m.split} for m in metrics},
        "log": _log_tail(artifacts, row),
    }
    return etag_response(request, encode(values | more))


@router.get("/trials/{key}/artifacts/{name}", response_class=Response)
def get_artifact(
    request: Request,
    key: TrialKey,
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.[a-z]{2,5}$")],
    ledger: LedgerIn,
) -> Response:
    """Return one artifact of a trial by its name in the trial's `artifacts`."""
    row = _get_row(ledger, key, study=None, phase=None)
    path = ledger.trials.artifacts(row.study, row.phase, key=key).get(name)
    artifacts: Artifacts = request.app.state.artifacts
    content = None if path is None else artifacts.read(path)
    if content is None:
        raise HTTPException(404, f"trial {key} has no artifact {name!r} here; GET /v1/trials/{key} lists its artifacts")
    return etag_response(request, content, media_type=artifacts.media_type(name))


def _log_tail(artifacts: Artifacts, row: TrialRow) -> list[str]:
    """Return the last lines of a failed trial's log, if it is under the service's root."""
    content = artifacts.read(log_path(row.key)) if row.state is TrialState.FAILED else None
    lines = (content or b"").decode(errors="replace").splitlines()
    return [presentable_line(line) for line in lines[-LOG_LINES:]]


def _field_names(fields: str | None) -> tuple[str, ...]:
    if fields is None:
        return SUMMARY
    names = tuple(dict.fromkeys(name.strip() for name in fields.split(",")))
    invalid = [name for name in names if not _FIELD.match(name)]
    if invalid or len(names) > MAX_FIELDS:
        raise BadConfig(
            f"fields {fields[:80]!r}: give at most {MAX_FIELDS} comma-separated names of columns, metrics or "
            "parameters, such as key,val_accuracy,hidden"
        )
    return names


def _get_row(ledger: Ledger, key: str, *, study: str | None, phase: str | None) -> TrialRow:
    row = ledger.trials.get(key, study=study, phase=phase)
    if row is None:
        raise HTTPException(404, f"no trial {key}; GET /v1/studies/STUDY/trials lists the trials of a study")
    return row
