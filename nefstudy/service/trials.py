"""Routes of trials: pages of them by filter and cursor, one of them with its curves and pictures."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from nefstudy.errors import BadConfig
from nefstudy.insight.failures import presentable, presentable_line
from nefstudy.ledger import Filter, Ledger, TrialRow, TrialState, pages
from nefstudy.paths import log_path
from nefstudy.service.answers import (
    PRINTABLE,
    CellName,
    LedgerIn,
    OneStudy,
    PhaseName,
    StudyName,
    TrialKey,
    answer,
    encode,
    require_study,
)
from nefstudy.service.artifacts import Artifacts
from nefstudy.service.formats import OTHER_CONTENT, Format, written
from nefstudy.service.listing import SUMMARY
from nefstudy.service.models import TrialDetail, TrialPage

router = APIRouter(prefix="/v1", tags=["trials"])

MAX_FILTERS = 16
MAX_FIELDS = 64
LAST_LINES = 25  # of a failed trial's log: a traceback and what led to it
_FIELD = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$")

Filters = Annotated[
    list[Annotated[str, Query(pattern=PRINTABLE)]],
    Query(max_length=MAX_FILTERS, description="name, operator and value, as in `val_accuracy>=0.8`; all must hold"),
]
Fields = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="comma-separated: columns, metrics (all_psnr) or parameters (omega_0); "
        "`metrics.NAME` and `parameters.NAME` where a bare name means something else",
    ),
]
SortBy = Annotated[
    str | None,
    Query(pattern=r"^-?[A-Za-z_][A-Za-z0-9_.]{0,63}$", description="column, metric or parameter; `-` puts high first"),
]
Cursor = Annotated[str | None, Query(max_length=1000, pattern=r"^[!-~]+$", description="as the last page gave it")]


@router.get("/studies/{study}/trials", response_model=TrialPage, responses={200: {"content": OTHER_CONTENT}})
def list_trials(
    request: Request,
    study: StudyName,
    *,
    ledger: LedgerIn,
    phase: PhaseName = None,
    cell: CellName = None,
    state: TrialState | None = None,
    filter: Filters = [],  # noqa: B006 - the query's own name; FastAPI copies defaults
    sort: SortBy = None,
    fields: Fields = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = None,
    format: Format | None = None,
) -> Response:
    """A page of trials in the order of their request or as sorted; JSON, NDJSON, CSV or Parquet."""
    require_study(ledger, study)
    query = pages.Query(study, phase=phase, cell=cell, state=state, filters=tuple(map(Filter.parse, filter)), sort=sort)
    page = ledger.trials.stored_page(query, limit=limit, cursor=cursor)
    return written(request, page, names=_field_names(fields), asked=format)


@router.get("/trials/{key}", response_model=TrialDetail)
def get_trial(
    request: Request,
    key: TrialKey,
    *,
    ledger: LedgerIn,
    study: OneStudy = None,
    phase: PhaseName = None,
) -> Response:
    """One trial with its configuration, curves and the names of its artifacts that are still there."""
    row = _found(ledger, key, study=study, phase=phase)
    artifacts: Artifacts = request.app.state.artifacts
    files = ledger.trials.artifacts(row.study, row.phase, key=key)
    values = {name: getattr(row, name) for name in TrialDetail.model_fields if hasattr(row, name)}
    more = {
        "error": presentable(row.error),
        "curves": ledger.trials.curves(row.study, row.phase, key=key),
        "artifacts": sorted(name for name, path in files.items() if artifacts.read(path) is not None),
        "log": _last_words(artifacts, row),
    }
    return answer(request, encode(values | more))


@router.get("/trials/{key}/artifacts/{name}", response_class=Response)
def get_artifact(
    request: Request,
    key: TrialKey,
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.[a-z]{2,5}$")],
    ledger: LedgerIn,
) -> Response:
    """A picture of a trial, by the name the trial lists."""
    row = _found(ledger, key, study=None, phase=None)
    path = ledger.trials.artifacts(row.study, row.phase, key=key).get(name)
    artifacts: Artifacts = request.app.state.artifacts
    found = None if path is None else artifacts.read(path)
    if found is None:
        raise HTTPException(404, f"trial {key} has no artifact {name!r} here; GET /v1/trials/{key} lists its artifacts")
    return answer(request, found, media_type=artifacts.media_type(name))


def _last_words(artifacts: Artifacts, row: TrialRow) -> list[str]:
    """The last lines of a failed trial's log, where it lies under the service's root."""
    said = artifacts.read(log_path(row.key)) if row.state is TrialState.FAILED else None
    lines = (said or b"").decode(errors="replace").splitlines()
    return [presentable_line(line) for line in lines[-LAST_LINES:]]


def _field_names(fields: str | None) -> tuple[str, ...]:
    if fields is None:
        return SUMMARY
    names = tuple(dict.fromkeys(name.strip() for name in fields.split(",")))
    wrong = [name for name in names if not _FIELD.match(name)]
    if wrong or len(names) > MAX_FIELDS:
        raise BadConfig(
            f"fields {fields[:80]!r}: give at most {MAX_FIELDS} names of columns, metrics or parameters, "
            "with commas between, such as key,val_accuracy,hidden"
        )
    return names


def _found(ledger: Ledger, key: str, *, study: str | None, phase: str | None) -> TrialRow:
    row = ledger.trials.get(key, study=study, phase=phase)
    if row is None:
        raise HTTPException(404, f"no trial {key}; GET /v1/studies/STUDY/trials lists the trials of a study")
    return row
