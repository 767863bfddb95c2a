"""Events of a study as they happen: server-sent events that continue after `Last-Event-ID`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from nefstudy.errors import BadLedger
from nefstudy.ledger import EventRow, Ledger
from nefstudy.service.answers import LedgerIn, StudyName, encode, require_study

router = APIRouter(prefix="/v1/studies/{study}", tags=["events"])

POLL_S = 1.0
QUIET_S = 15.0  # a comment keeps proxies from closing a silent stream
BATCH = 500
MAX_STREAMS = 100


class Streams:
    """How many streams are open; a service can hold only so many."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self.open = 0

    def enter(self) -> None:
        """Count one more, or refuse it with 503."""
        if self.open >= self._limit:
            raise HTTPException(
                503, f"{self._limit} event streams are open already; poll /progress", headers={"Retry-After": "30"}
            )
        self.open += 1

    def leave(self) -> None:
        """Count one less."""
        self.open -= 1


class Stream(StreamingResponse):
    """A stream that counts as open until it ends, however that comes about."""

    streams: Streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.streams.leave()


@router.get("/events", response_class=StreamingResponse)
async def follow_events(
    request: Request,
    study: StudyName,
    ledger: LedgerIn,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,18}$")] = None,
) -> StreamingResponse:
    """Events after `Last-Event-ID`, or from now on without it, as a stream that stays open."""
    await run_in_threadpool(require_study, ledger, study)
    latest = await run_in_threadpool(ledger.events.last_seq, study)
    after = latest if last_event_id is None else min(int(last_event_id), latest)
    streams: Streams = request.app.state.streams
    streams.enter()
    answer = Stream(
        events(ledger, study, after=after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    answer.streams = streams
    return answer


async def events(
    ledger: Ledger, study: str, *, after: int, poll_s: float = POLL_S, quiet_s: float = QUIET_S
) -> AsyncIterator[bytes]:
    """The bytes of a stream, for ever; the caller ends it. A ledger that goes is waited for, a new one followed."""
    yield b"retry: 2000\n: following\n\n"
    silent = 0.0
    edition = ledger.edition
    while True:
        try:
            rows = await run_in_threadpool(ledger.events.since, after, study=study, limit=BATCH)
        except (BadLedger, SQLAlchemyError):
            rows = []
        if ledger.edition != edition:  # its events have numbers of their own
            edition, after = ledger.edition, 0
            continue
        if rows:
            after = rows[-1].seq
            silent = 0.0
            yield b"".join(map(_frame, rows))
            continue
        await asyncio.sleep(poll_s)
        silent += poll_s
        if silent >= quiet_s:
            silent = 0.0
            yield b": still here\n\n"


def _frame(row: EventRow) -> bytes:
    body = {"seq": row.seq, "kind": row.kind, "phase": row.phase, "key": row.key, "data": row.data, "at": row.at}
    return b"id: %d\ndata: %s\n\n" % (row.seq, encode(body))
