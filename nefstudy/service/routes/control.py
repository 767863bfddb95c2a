"""Routes that append commands for a study's driver to the ledger, for the driver to handle later."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import AfterValidator
from starlette.exceptions import HTTPException

from nefstudy.insight.declared import check_cell
from nefstudy.ledger import CommandRow, Ledger
from nefstudy.service.models import Command, CommandList
from nefstudy.service.responses import LedgerIn, StudyName, encode, etag_response, require_study


def _json(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body if it can be encoded as JSON.

    Python's JSON parser also accepts NaN and lone surrogates, which cannot be encoded.
    """
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError("must contain only finite numbers and valid Unicode (no NaN, no lone surrogates)") from error
    return body


router = APIRouter(prefix="/v1/studies", tags=["control"])

READ_ONLY = "this service is read-only; start it with NEFSTUDY_API_TOKEN set to allow control with that token"

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{8,128}$",
        description="a unique value that you choose for each command; a repeated request is handled once",
    ),
]


@router.post("/{study}:pause", status_code=202, response_model=Command)
def pause_study(request: Request, study: StudyName, ledger: LedgerIn, key: IdempotencyKey) -> Response:
    """Ask the driver not to start any more trials; running trials finish."""
    return _append_command(request, ledger, study, verb="pause", body={}, key=key)


@router.post("/{study}:resume", status_code=202, response_model=Command)
def resume_study(request: Request, study: StudyName, ledger: LedgerIn, key: IdempotencyKey) -> Response:
    """Ask a paused driver to continue."""
    return _append_command(request, ledger, study, verb="resume", body={}, key=key)


@router.post("/{study}:stop", status_code=202, response_model=Command)
def stop_study(request: Request, study: StudyName, ledger: LedgerIn, key: IdempotencyKey) -> Response:
    """Ask the driver to stop; run the study again to resume it."""
    return _append_command(request, ledger, study, verb="stop", body={}, key=key)


@router.post("/{study}:enqueue", status_code=202, response_model=Command)
def enqueue_trial(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    key: IdempotencyKey,
    body: Annotated[
        dict[str, Any],
        Body(min_length=1, description="`phase`, `cell` and `point` of the trial to run next"),
        AfterValidator(_json),
    ],
) -> Response:
    """Ask the driver to run a given point next; the driver rejects a point that its plan does not allow."""
    row = ledger.studies.get(study)
    if row is not None:
        check_cell(row.plan, body)
    return _append_command(request, ledger, study, verb="enqueue", body=body, key=key)


@router.post("/{study}:retry", status_code=202, response_model=Command)
def retry_trials(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    key: IdempotencyKey,
    cause: Annotated[str | None, Query(pattern=r"^[a-z_]{1,32}$", description="only trials with this cause")] = None,
) -> Response:
    """Ask the driver to retry all failed trials, or only the trials that failed with a given cause."""
    return _append_command(
        request, ledger, study, verb="retry", body={} if cause is None else {"cause": cause}, key=key
    )


@router.post("/{study}:withdraw", status_code=202, response_model=Command)
def withdraw_trial(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    idempotency: IdempotencyKey,
    key: Annotated[str, Query(pattern=r"^[0-9a-f]{1,64}$", description="key of a trial that is queued or running")],
) -> Response:
    """Ask the driver to drop a queued trial or to stop a running one; `retry` runs a withdrawn trial again."""
    return _append_command(request, ledger, study, verb="withdraw", body={"key": key}, key=idempotency)


@router.post("/{study}:concurrency", status_code=202, response_model=Command)
def limit_trials(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    key: IdempotencyKey,
    trials: Annotated[int, Query(ge=1, le=100_000, description="maximum concurrent trials")],
) -> Response:
    """Ask the driver to run at most `trials` trials concurrently."""
    return _append_command(request, ledger, study, verb="concurrency", body={"trials": trials}, key=key)


@router.get("/{study}/commands", response_model=CommandList)
def list_commands(
    request: Request, study: StudyName, ledger: LedgerIn, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """Return the commands to the driver, latest first, each with its outcome."""
    require_study(ledger, study)
    commands = [_command(row) for row in ledger.commands.latest(study, limit=limit)]
    return etag_response(request, encode(CommandList(commands=commands)))


def _append_command(
    request: Request, ledger: Ledger, study: str, *, verb: str, body: dict[str, Any], key: str
) -> Response:
    if not request.app.state.controls or ledger.read_only:
        raise HTTPException(403, READ_ONLY)
    require_study(ledger, study)
    row = ledger.commands.append(study, verb, body=body, idempotency_key=key)
    if (row.study, row.verb, row.body) != (study, verb, body):
        raise HTTPException(409, "this Idempotency-Key was used for another command; choose a new one")
    return Response(encode(_command(row)), status_code=202, media_type="application/json")


def _command(row: CommandRow) -> Command:
    return Command(**{name: getattr(row, name) for name in Command.model_fields})
