"""Error responses as `application/problem+json` (RFC 9457), without internals of the machine."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from nefstudy.errors import BadConfig, BadLedger, NoLedger, OtherVersion
from nefstudy.outside_text import without_secrets

MEDIA_TYPE = "application/problem+json"
LEDGER_UNAVAILABLE = "the ledger is temporarily unavailable; try again in a few seconds"
OTHER_VERSION = "this service cannot read the ledger's version; update nefstudy and restart the service"
NO_STUDIES = "no studies yet; the ledger is created when the first study starts"
INTERNAL_ERROR = "internal error; the details are in the service's log; please report it"
MAX_VALUE_CHARS = 80

_log = logging.getLogger(__name__)


class InvalidValue(BaseModel):
    """One invalid value in a request."""

    where: str
    given: str
    problem: str


class ProblemDetails(BaseModel):
    """The reason for an error response, with the next step in `detail` (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[InvalidValue] = []


def problem_response(
    status: int, detail: str, *, headers: dict[str, str] | None = None, errors: list[InvalidValue] | None = None
) -> JSONResponse:
    """Return an error response, with secrets removed from its detail."""
    body = ProblemDetails(
        title=HTTPStatus(status).phrase, status=status, detail=without_secrets(detail), errors=errors or []
    )
    return JSONResponse(
        body.model_dump(exclude_defaults=True) | {"type": body.type},
        status_code=status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` respond to every error with problem details."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(BadConfig, _bad_config)
    app.add_exception_handler(NoLedger, _no_ledger)
    app.add_exception_handler(OtherVersion, _other_version)
    app.add_exception_handler(BadLedger, _ledger_unavailable)
    app.add_exception_handler(SQLAlchemyError, _ledger_unavailable)
    app.add_exception_handler(Exception, _internal_error)


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    if error.detail == HTTPStatus(status).phrase:
        return problem_response(status, _UNROUTED.get(status, error.detail), headers=dict(error.headers or {}))
    return problem_response(status, error.detail, headers=dict(error.headers or {}))


_UNROUTED = {
    404: "nothing is served at this path; GET /v1/openapi.json lists the paths",
    405: "this path does not allow that method; the Allow header lists the allowed ones",
}


def _invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    invalid = [_invalid_value(item) for item in error.errors()]
    first = invalid[0]
    more = f" ({len(invalid) - 1} more)" if len(invalid) > 1 else ""
    return problem_response(422, f"{first.where} = {first.given}: {first.problem}{more}", errors=invalid)


def _invalid_value(item: dict[str, Any]) -> InvalidValue:
    value = without_secrets(repr(item.get("input")))
    return InvalidValue(
        where=".".join(str(part) for part in item["loc"]),
        given=value if len(value) <= MAX_VALUE_CHARS else value[: MAX_VALUE_CHARS - 3] + "...",
        problem=item["msg"],
    )


def _bad_config(_request: Request, error: Exception) -> JSONResponse:
    return problem_response(422, str(error))


def _ledger_unavailable(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("ledger: %s", error)
    return problem_response(503, LEDGER_UNAVAILABLE, headers={"Retry-After": "2"})


def _no_ledger(_request: Request, _error: Exception) -> JSONResponse:
    return problem_response(404, NO_STUDIES)


def _other_version(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("ledger: %s", error)
    return problem_response(503, OTHER_VERSION, headers={"Retry-After": "60"})


def _internal_error(_request: Request, _error: Exception) -> JSONResponse:
    return problem_response(500, INTERNAL_ERROR)
