"""What may be asked of a study's driver: appended to the ledger's commands, obeyed by the driver, no sooner."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import AfterValidator
from starlette.exceptions import HTTPException

from nefstudy.errors import BadConfig
from nefstudy.ledger import CommandRow, Ledger
from nefstudy.outside_text import shortened
from nefstudy.service.answers import LedgerIn, StudyName, answer, encode, require_study
from nefstudy.service.models import Command, Commands


def _json(body: dict[str, Any]) -> dict[str, Any]:
    """The body, if it can be written down again: JSON's escapes and Python's reader let more in than that."""
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError(
            "must hold finite numbers and whole characters only (no NaN, no half of a surrogate pair)"
        ) from error
    return body


router = APIRouter(prefix="/v1/studies", tags=["control"])

READ_ONLY = "this service only reads; serve with NEFSTUDY_API_TOKEN set to let its holders control studies"

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{8,128}$",
        description="a value of your own, new for each wish; sent twice, it is obeyed once",
    ),
]


@router.post("/{study}:pause", status_code=202, response_model=Command)
def pause_study(request: Request, study: StudyName, ledger: LedgerIn, key: IdempotencyKey) -> Response:
    """Ask the driver to start no further trial; those under way end."""
    return _asked(request, ledger, study, verb="pause", body={}, key=key)


@router.post("/{study}:resume", status_code=202, response_model=Command)
def resume_study(request: Request, study: StudyName, ledger: LedgerIn, key: IdempotencyKey) -> Response:
    """Ask a paused driver to go on."""
    return _asked(request, ledger, study, verb="resume", body={}, key=key)


@router.post("/{study}:stop", status_code=202, response_model=Command)
def stop_study(request: Request, study: StudyName, ledger: LedgerIn, key: IdempotencyKey) -> Response:
    """Ask the driver to end; running the study again continues it."""
    return _asked(request, ledger, study, verb="stop", body={}, key=key)


@router.post("/{study}:enqueue", status_code=202, response_model=Command)
def enqueue_trial(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    key: IdempotencyKey,
    body: Annotated[
        dict[str, Any],
        Body(min_length=1, description="phase, cell and point of the trial to run next"),
        AfterValidator(_json),
    ],
) -> Response:
    """Ask the driver to run a point of your choice next; it refuses what its plan cannot hold."""
    row = ledger.studies.get(study)
    if row is not None:
        check_cell(row.plan, body)
    return _asked(request, ledger, study, verb="enqueue", body=body, key=key)


@router.post("/{study}:retry", status_code=202, response_model=Command)
def retry_trials(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    key: IdempotencyKey,
    cause: Annotated[str | None, Query(pattern=r"^[a-z_]{1,32}$", description="only trials failed of this")] = None,
) -> Response:
    """Ask the driver to put failed trials back, of one cause or all."""
    return _asked(request, ledger, study, verb="retry", body={} if cause is None else {"cause": cause}, key=key)


@router.post("/{study}:withdraw", status_code=202, response_model=Command)
def withdraw_trial(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    idempotency: IdempotencyKey,
    key: Annotated[str, Query(pattern=r"^[0-9a-f]{1,64}$", description="key of a trial that is queued or running")],
) -> Response:
    """Ask the driver to take a queued trial back, or to end a running one; `retry` repeats it."""
    return _asked(request, ledger, study, verb="withdraw", body={"key": key}, key=idempotency)


@router.post("/{study}:concurrency", status_code=202, response_model=Command)
def limit_trials(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    key: IdempotencyKey,
    trials: Annotated[int, Query(ge=1, le=100_000, description="trials at once")],
) -> Response:
    """Ask the driver to run at most so many trials at once."""
    return _asked(request, ledger, study, verb="concurrency", body={"trials": trials}, key=key)


@router.get("/{study}/commands", response_model=Commands)
def list_commands(
    request: Request, study: StudyName, ledger: LedgerIn, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """What was asked of the driver, latest first, and how each ended."""
    require_study(ledger, study)
    found = [_command(row) for row in ledger.commands.latest(study, limit=limit)]
    return answer(request, encode(Commands(commands=found)))


def check_cell(plan: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Raise BadConfig if a request names a phase or cell that the study's recorded plan does not have."""
    have = [(cell["phase"], cell["cell"]) for cell in plan.get("cells", ())]
    if have and not any(body.get("phase", phase) == phase and body.get("cell") == cell for phase, cell in have):
        asked = shortened(f"{body.get('phase', '')} {body.get('cell')!r}", 200)
        raise BadConfig(f"no cell {asked} in this study; it has {', '.join(map(' '.join, have))}")


def _asked(request: Request, ledger: Ledger, study: str, *, verb: str, body: dict[str, Any], key: str) -> Response:
    if not request.app.state.controls or ledger.read_only:
        raise HTTPException(403, READ_ONLY)
    require_study(ledger, study)
    row = ledger.commands.append(study, verb, body=body, idempotency_key=key)
    if (row.study, row.verb, row.body) != (study, verb, body):
        raise HTTPException(409, "this Idempotency-Key was used for another command; choose a new one")
    return Response(encode(_command(row)), status_code=202, media_type="application/json")


def _command(row: CommandRow) -> Command:
    return Command(**{name: getattr(row, name) for name in Command.model_fields})
