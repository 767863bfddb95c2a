"""Response helpers: JSON without NaN, ETags with 304, and the parameters that routes share."""

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
StudyFilter = Annotated[str | None, Query(pattern=NAME, max_length=NAME_LENGTH, description="name of a study")]
TrialKey = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$", description="a trial's digest")]
PhaseName = Annotated[str | None, Query(pattern=NAME, max_length=NAME_LENGTH, description="name of a phase")]
CellName = Annotated[
    str | None, Query(pattern=CELL, max_length=CELL_LENGTH, description="label of a cell, such as signals/field")
]
PRINTABLE = r"^[ -~]{1,200}$"


async def _ledger_of(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


LedgerIn = Annotated[Ledger, Depends(_ledger_of)]


def encode(value: Any) -> bytes:
    """Return plain data or a model as compact JSON; NaN and infinities become null."""
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode()
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return json.dumps(finite(value), separators=(",", ":"), allow_nan=False).encode()


def finite(value: Any) -> Any:
    """Replace NaN and infinities in plain data with None, because JSON cannot represent them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def etag_response(
    request: Request, body: bytes, *, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Response:
    """Return the body with an ETag, or a 304 if the client already has this body."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    all_headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept", **(headers or {})}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=all_headers)
    return Response(body, media_type=media_type, headers=all_headers)


def require_study(ledger: Ledger, study: str) -> None:
    """Raise a 404 error if the ledger has no study of the given name."""
    if not ledger.studies.exists(study):
        raise HTTPException(404, unknown_study(study))


def unknown_study(study: str) -> str:
    """Return the error message for a study that the ledger does not have."""
    return f"no study {study!r} in this ledger; GET /v1/studies lists them"
