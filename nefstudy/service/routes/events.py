"""A study's events as server-sent events, resumable by `Last-Event-ID`."""

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
from nefstudy.service.responses import LedgerIn, StudyName, encode, require_study

router = APIRouter(prefix="/v1/studies/{study}", tags=["events"])

POLL_S = 1.0
QUIET_S = 15.0  # after this, a comment keeps proxies from closing an idle stream
BATCH = 500
MAX_STREAMS = 100


class Streams:
    """A counter of open event streams, with a limit."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self.open = 0

    def enter(self) -> None:
        """Count a new stream; raise a 503 error if the limit is reached."""
        if self.open >= self._limit:
            raise HTTPException(
                503, f"all {self._limit} event streams are in use; poll /progress", headers={"Retry-After": "30"}
            )
        self.open += 1

    def leave(self) -> None:
        """Stop counting a stream."""
        self.open -= 1


class EventStream(StreamingResponse):
    """A streaming response that is counted as an open stream until it ends for any reason."""

    streams: Streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
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
    """Stream the events after `Last-Event-ID`, or only new events if the header is missing."""
    await run_in_threadpool(require_study, ledger, study)
    latest = await run_in_threadpool(ledger.events.last_seq, study)
    after = latest if last_event_id is None else min(int(last_event_id), latest)
    streams: Streams = request.app.state.streams
    streams.enter()
    response = EventStream(
        events(ledger, study, after=after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.streams = streams
    return response


async def events(
    ledger: Ledger, study: str, *, after: int, poll_s: float = POLL_S, quiet_s: float = QUIET_S
) -> AsyncIterator[bytes]:
    """Yield server-sent events until cancelled.

    The stream waits for a missing ledger and follows a replaced one from its start.
    """
    yield b"retry: 2000\n: following\n\n"
    silent = 0.0
    generation = ledger.generation
    while True:
        try:
            rows = await run_in_threadpool(ledger.events.since, after, study=study, limit=BATCH)
        except (BadLedger, SQLAlchemyError):
            rows = []
        if ledger.generation != generation:  # a replaced ledger numbers its events from the start
            generation, after = ledger.generation, 0
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
