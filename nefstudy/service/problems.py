"""Every refusal as `application/problem+json` (RFC 9457), with nothing of the machine in it."""

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
LEDGER_AWAY = "the ledger cannot be read at the moment; try again in a few seconds"
OTHER_VERSION = "the ledger is of a version that this service does not read; update nefstudy and start the service anew"
NO_STUDIES = "no studies yet: the ledger appears when the first study starts"
BROKEN = "the service met a fault of its own and has written it to its log; please report it"
GIVEN_CHARS = 80

_log = logging.getLogger(__name__)


class Wrong(BaseModel):
    """One value of a request that is not allowed."""

    where: str
    given: str
    problem: str


class Problem(BaseModel):
    """Why a request was refused, and what to do about it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Wrong] = []


def problem(
    status: int, detail: str, *, headers: dict[str, str] | None = None, errors: list[Wrong] | None = None
) -> JSONResponse:
    """The answer that refuses a request."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=without_secrets(detail), errors=errors or [])
    return JSONResponse(
        body.model_dump(exclude_defaults=True) | {"type": body.type},
        status_code=status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def install_problems(app: FastAPI) -> None:
    """Answers every error of `app` as a problem."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BadConfig, _bad_value)
    app.add_exception_handler(NoLedger, _nothing_yet)
    app.add_exception_handler(OtherVersion, _other_version)
    app.add_exception_handler(BadLedger, _ledger_away)
    app.add_exception_handler(SQLAlchemyError, _ledger_away)
    app.add_exception_handler(Exception, _broken)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    if error.detail == HTTPStatus(status).phrase:
        return problem(status, _UNROUTED.get(status, error.detail), headers=dict(error.headers or {}))
    return problem(status, error.detail, headers=dict(error.headers or {}))


_UNROUTED = {
    404: "nothing is served at this path; GET /v1/openapi.json lists what is",
    405: "this path does not take that method; the Allow header lists those it takes",
}


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [_wrong(item) for item in error.errors()]
    first = wrong[0]
    more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return problem(422, f"{first.where} = {first.given}: {first.problem}{more}", errors=wrong)


def _wrong(item: dict[str, Any]) -> Wrong:
    given = without_secrets(repr(item.get("input")))
    return Wrong(
        where=".".join(str(part) for part in item["loc"]),
        given=given if len(given) <= GIVEN_CHARS else given[: GIVEN_CHARS - 3] + "...",
        problem=item["msg"],
    )


def _bad_value(_request: Request, error: Exception) -> JSONResponse:
    return problem(422, str(error))


def _ledger_away(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("ledger: %s", error)
    return problem(503, LEDGER_AWAY, headers={"Retry-After": "2"})


def _nothing_yet(_request: Request, _error: Exception) -> JSONResponse:
    return problem(404, NO_STUDIES)


def _other_version(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("ledger: %s", error)
    return problem(503, OTHER_VERSION, headers={"Retry-After": "60"})


def _broken(_request: Request, _error: Exception) -> JSONResponse:
    return problem(500, BROKEN)
