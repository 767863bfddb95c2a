"""An answer's bytes: JSON without NaN, its ETag, and 304 for who has it already; errors made fit to show."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from nefstudy.ledger import Ledger
from nefstudy.names import CELL, CELL_LENGTH, NAME, NAME_LENGTH

StudyName = Annotated[str, Path(pattern=NAME, max_length=NAME_LENGTH, description="name of a study")]
OneStudy = Annotated[str | None, Query(pattern=NAME, max_length=NAME_LENGTH, description="name of a study")]
TrialKey = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$", description="a trial's digest")]
PhaseName = Annotated[str | None, Query(pattern=NAME, max_length=NAME_LENGTH, description="phase1 or phase2")]
CellName = Annotated[str | None, Query(pattern=CELL, max_length=CELL_LENGTH, description="signals/field")]
PRINTABLE = r"^[ -~]{1,200}$"


async def _ledger_of(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


LedgerIn = Annotated[Ledger, Depends(_ledger_of)]


def encode(value: Any) -> bytes:
    """Compact JSON of plain data or a model; NaN and infinities become null."""
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode()
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return json.dumps(finite(value), separators=(",", ":"), allow_nan=False).encode()


def finite(value: Any) -> Any:
    """The same plain data with None for every number that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def answer(
    request: Request, body: bytes, *, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Response:
    """The body with its ETag, to be asked again before use; 304 when the caller has these very bytes."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    marks = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept", **(headers or {})}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=marks)
    return Response(body, media_type=media_type, headers=marks)


def require_study(ledger: Ledger, study: str) -> None:
    """Refuses with 404 when the ledger holds no such study."""
    if not ledger.studies.knows(study):
        raise HTTPException(404, unknown(study))


def unknown(study: str) -> str:
    """What to say of a study the ledger does not hold."""
    return f"no study {study!r} in this ledger; GET /v1/studies lists them"
