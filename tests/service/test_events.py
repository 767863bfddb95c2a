"""The event stream tells each event once, in order, from where the listener left off."""

import asyncio
import json

import pytest
from starlette.exceptions import HTTPException

from nefstudy.ledger import Ledger
from nefstudy.service.events import Streams, events

from .conftest import STUDY, fill_study


def frames(ledger: Ledger, *, after: int, number: int, quiet_s: float = 60.0) -> list[bytes]:
    """The first frames of a stream."""

    async def take() -> list[bytes]:
        found = []
        async for frame in events(ledger, STUDY, after=after, poll_s=0.02, quiet_s=quiet_s):
            found.append(frame)
            if len(found) == number:
                break
        return found

    return asyncio.run(asyncio.wait_for(take(), 10))


def told(frame: bytes) -> list[tuple[int, dict]]:
    """(id, data) of each event in a frame."""
    lines = frame.decode().splitlines()
    ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return list(zip(ids, data, strict=True))


def test_the_stream_is_the_ledgers_events(filled):
    """From the start, the stream holds every event of the study in order."""
    ledger = filled[0]
    expected = ledger.events.since(0, study=STUDY)
    found = told(frames(ledger, after=0, number=2)[1])
    assert [number for number, _ in found] == [row.seq for row in expected]
    assert [(data["kind"], data["key"]) for _, data in found] == [(row.kind, row.key) for row in expected]


def test_a_listener_continues_where_it_left_off(filled):
    """After an id come exactly the events behind it."""
    ledger = filled[0]
    every = [row.seq for row in ledger.events.since(0, study=STUDY)]
    half = every[len(every) // 2]
    found = told(frames(ledger, after=half, number=2)[1])
    assert [number for number, _ in found] == [seq for seq in every if seq > half]


def test_new_events_arrive(ledger):
    """What happens while the stream is open is told."""

    async def listen() -> bytes:
        stream = events(ledger, STUDY, after=0, poll_s=0.02)
        await anext(stream)
        soon = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.1)
        assert not soon.done()
        await asyncio.to_thread(fill_study, ledger)
        return await asyncio.wait_for(soon, 10)

    assert told(asyncio.run(listen()))[0][1]["kind"] == "study"


def test_a_silent_stream_shows_that_it_lives(ledger):
    """Without events a comment comes now and then."""
    ledger.studies.put(STUDY, {}, cells={})
    assert frames(ledger, after=ledger.events.last_seq(), number=2, quiet_s=0.05)[1] == b": still here\n\n"


async def streamed(app, *, last_event_id: str | None) -> list[dict]:
    """What the route sends until its second piece of body, when the listener hangs up."""
    headers = [(b"host", b"127.0.0.1")] + ([(b"last-event-id", last_event_id.encode())] if last_event_id else [])
    path = f"/v1/studies/{STUDY}/events"
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
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


def test_the_route_continues_after_the_last_event_id_and_forgets_who_left(filled, client_of):
    """Over HTTP: the header says where to go on, the media type is that of events, and a left stream counts no more."""
    ledger = filled[0]
    every = [row.seq for row in ledger.events.since(0, study=STUDY)]
    app = client_of(ledger).app
    start, _, frames_ = asyncio.run(streamed(app, last_event_id=str(every[2])))
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert [number for number, _ in told(frames_["body"])] == every[3:]
    assert app.state.streams.open == 0


def test_one_stream_too_many_is_a_problem(filled, client_of):
    """The route answers 503 and when to come back, and counts nothing."""
    client = client_of(filled[0])
    client.app.state.streams.open = 100
    answer = client.get(f"/v1/studies/{STUDY}/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert client.get(f"/v1/studies/{STUDY}/events", headers={"Last-Event-ID": "x"}).status_code == 422
    assert client.app.state.streams.open == 100


def test_streams_are_bounded():
    """One stream too many is refused with 503 until another ends."""
    streams = Streams(limit=1)
    streams.enter()
    with pytest.raises(HTTPException) as refused:
        streams.enter()
    assert refused.value.status_code == 503
    streams.leave()
    streams.enter()
