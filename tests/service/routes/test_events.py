"""Tests of the route that streams a study's events.

It sends each event once and in order, and resumes after the last event that the client received.
"""

import asyncio
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from nefstudy.ledger import Ledger
from nefstudy.service.routes.events import Streams, events

from ..small_study import STUDY, fill_study


def frames(ledger: Ledger, *, after: int, number: int, quiet_s: float = 60.0) -> list[bytes]:
    """Return the first frames of an event stream."""

    async def take() -> list[bytes]:
        received = []
        async for frame in events(ledger, STUDY, after=after, poll_s=0.02, quiet_s=quiet_s):
            received.append(frame)
            if len(received) == number:
                break
        return received

    return asyncio.run(asyncio.wait_for(take(), 10))


def parsed(frame: bytes) -> list[tuple[int, dict]]:
    """Return (id, data) of each event in the frames."""
    lines = frame.decode().splitlines()
    ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return list(zip(ids, data, strict=True))


def test_the_stream_is_the_ledgers_events(filled):
    """An event stream that is read from the start contains every event of the study in order."""
    ledger = filled[0]
    expected = ledger.events.since(0, study=STUDY)
    received = parsed(frames(ledger, after=0, number=2)[1])
    assert [number for number, _ in received] == [row.seq for row in expected]
    assert [(data["kind"], data["key"]) for _, data in received] == [(row.kind, row.key) for row in expected]


def test_a_client_continues_where_it_left_off(filled):
    """If the client sends an event id, the stream contains exactly the later events."""
    ledger = filled[0]
    every = [row.seq for row in ledger.events.since(0, study=STUDY)]
    half = every[len(every) // 2]
    received = parsed(frames(ledger, after=half, number=2)[1])
    assert [number for number, _ in received] == [seq for seq in every if seq > half]


def test_new_events_arrive(ledger):
    """Events that occur while the stream is open are sent."""

    async def listen() -> bytes:
        stream = events(ledger, STUDY, after=0, poll_s=0.02)
        await anext(stream)
        pending = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.1)
        assert not pending.done()
        await asyncio.to_thread(fill_study, ledger)
        return await asyncio.wait_for(pending, 10)

    assert parsed(asyncio.run(listen()))[0][1]["kind"] == "study"


def test_an_idle_stream_sends_comments(ledger):
    """While no events occur, an open event stream periodically sends a comment."""
    ledger.studies.put(STUDY, {}, cells={})
    assert frames(ledger, after=ledger.events.last_seq(), number=2, quiet_s=0.05)[1] == b": still here\n\n"


async def streamed(app, *, last_event_id: str | None) -> list[dict]:
    """Return the route's ASGI messages up to the second body chunk, after which the client disconnects."""
    headers = [(b"host", b"127.0.0.1")] + ([(b"last-event-id", last_event_id.encode())] if last_event_id else [])
    path = f"/v1/studies/{STUDY}/events"
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
    }
    scope |= {"headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "", "asgi": {"version": "3.0"}}
    sent, enough = [], asyncio.Event()

    async def receive() -> dict:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)
        if len(sent) == 3:
            enough.set()

    await asyncio.wait_for(app(scope, receive, send), 20)
    return sent


def test_the_route_continues_after_the_last_event_id_and_counts_open_streams(filled, client_of):
    """Over HTTP, the stream resumes after the event named in the Last-Event-ID header.

    Once closed, the stream no longer counts as open.
    """
    ledger = filled[0]
    every = [row.seq for row in ledger.events.since(0, study=STUDY)]
    app = client_of(ledger).app
    start, _, frames_ = asyncio.run(streamed(app, last_event_id=str(every[2])))
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert [number for number, _ in parsed(frames_["body"])] == every[3:]
    assert app.state.streams.open == 0


def test_one_stream_too_many_is_a_problem(filled, client_of):
    """If too many streams are open, the route returns 503 with Retry-After.

    Rejected requests do not count as open streams.
    """
    client = client_of(filled[0])
    client.app.state.streams.open = 100
    response = client.get(f"/v1/studies/{STUDY}/events")
    assert (response.status_code, response.headers["retry-after"]) == (503, "30")
    assert client.get(f"/v1/studies/{STUDY}/events", headers={"Last-Event-ID": "x"}).status_code == 422
    assert client.app.state.streams.open == 100


def test_streams_are_bounded():
    """A stream above the limit gets 503 until an open stream ends."""
    streams = Streams(limit=1)
    streams.enter()
    with pytest.raises(HTTPException) as error:
        streams.enter()
    assert error.value.status_code == 503
    streams.leave()
    streams.enter()
