"""Thousands of requests that nobody sensible sends: an answer each, none of them a fault of ours.

Most are asked of the application itself, as a server would; the rest, torn ones among them, over sockets.
`make fuzz` asks a hundred thousand.
"""

import asyncio
import itertools
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app
from nefstudy.service.security import session_of

from .conftest import TOKEN, fill_study
from .hostile import Request, hostile, torn

REQUESTS = int(os.environ.get("NEFSTUDY_FUZZ", "20000"))
ON_SOCKETS = REQUESTS // 10
GROWTH_MB = 50
HEALTHY_MS = 5000  # callers who never finish do not stop it; how fast it is on an idle machine is the benchmark's
HALF_OPEN = 300
AT_ONCE = 8  # connections that send at the same time
RUN = """
import sys
from nefstudy.service.server import serve
serve(sys.argv[1], port=0, token=sys.argv[2], announce=lambda url, found: print(url, flush=True))
"""

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(1800)]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Ledger]:
    """A filled ledger that may be written, as a service with a token has it."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        fill_study(ledger)
    with Ledger.follow(str(tmp_path / "ledger.db"), read_only=False, patience_s=1.0) as followed:
        yield followed


async def answered(app: Any, request: Request, *, token: str | None) -> tuple[int, str, bytes]:
    """Status, media type and body that the application gives, as a server would ask it; a stream is hung up on."""
    method, target, headers, body = request
    path, _, query = target.partition("?")
    lines = {"host": b"127.0.0.1", "content-length": b"%d" % len(body)} | {k.lower(): v for k, v in headers.items()}
    if token is not None:
        lines["authorization"] = b"Bearer " + token.encode()
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "query_string": query.encode()}
    scope |= {"path": unquote_to_bytes(path).decode("utf-8", "replace"), "root_path": "", "scheme": "http"}
    scope |= {
        "http_version": "1.1",
        "client": ("127.0.0.1", 9),
        "server": ("127.0.0.1", 80),
        "asgi": {"version": "3.0"},
    }
    scope["headers"] = [(name.encode(), value) for name, value in lines.items()]
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    kind = next((value for name, value in sent[0]["headers"] if name == b"content-type"), b"").decode()
    return sent[0]["status"], kind, b"".join(message.get("body", b"") for message in sent[1:])


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_no_request_is_a_fault(book):
    """With the token: no answer of 500 or more, every refusal a problem; and memory does not grow."""
    app = create_app(book, token=TOKEN)

    async def ask() -> tuple[Counter[int], float]:
        seen: Counter[int] = Counter()
        requests = hostile(0)
        for request in itertools.islice(requests, 1_000):  # whatever is kept on purpose is kept by now
            await answered(app, request, token=TOKEN)
        before = resident_mb()
        for request in itertools.islice(requests, REQUESTS - ON_SOCKETS - 1_000):
            status, kind, body = await answered(app, request, token=TOKEN)
            assert status < 500, (request, body)
            if status >= 400 and request[0] != "HEAD" and not kind.startswith("text/html"):
                assert kind == "application/problem+json", (request, kind)
            seen[status] += 1
        return seen, resident_mb() - before

    seen, growth = asyncio.run(ask())
    print(f"\n{sum(seen.values())} requests in process: {dict(sorted(seen.items()))}, {growth:+.1f} MB")  # noqa: T201
    assert {200, 202, 401, 404, 405, 413, 422} <= set(seen)
    assert growth < GROWTH_MB


def test_no_request_slips_past_the_gate(book):
    """Without the token, or with another, the same requests get nothing: refused on every path, in any disguise."""
    app = create_app(book, token=TOKEN)
    seqs = book.events.last_seq()

    async def ask() -> Counter[int]:
        seen: Counter[int] = Counter()
        rng = random.Random(1)
        for request in itertools.islice(hostile(1), REQUESTS // 4):
            wrong = rng.choice([None, TOKEN[:-1], TOKEN + "=", TOKEN.upper(), session_of(TOKEN), "é"])
            status, _, body = await answered(app, request, token=wrong)
            signed_in = request[1].startswith("/sign-in") and request[0] == "POST" and TOKEN.encode() in request[3]
            assert status in (400, 401, 413) or (signed_in and status == 303), (request, wrong, status)
            assert b"digits8" not in body
            seen[status] += 1
        return seen

    assert asyncio.run(ask())[401] > REQUESTS // 8
    assert book.events.last_seq() == seqs


@contextmanager
def serving(path: Path) -> Iterator[tuple[tuple[str, int], int]]:
    """Address and process id of a service with a token."""
    command = [sys.executable, "-c", RUN, str(path), TOKEN]
    log = path.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
    assert process.stdout is not None
    try:
        host, port = process.stdout.readline().strip().removeprefix("http://").rstrip("/").split(":")
        yield (host, int(port)), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert "Exception in ASGI" not in log.read_text()


async def on_the_wire(address: tuple[str, int], wire: bytes, *, whole: bool) -> bytes:
    """What comes back first: at once to a whole request, perhaps never to a torn one."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(wire)
        return await asyncio.wait_for(reader.read(65536), 30 if whole else 0.3)
    except (ConnectionError, TimeoutError):
        assert not whole, wire[:500]
        return b""
    finally:
        writer.close()


def healthz_ms(address: tuple[str, int], stop: threading.Event) -> list[float]:
    """How long /healthz took, asked ten times a second on a connection of its own each, until `stop`."""
    taken = []
    wire = f"GET /healthz HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    while not stop.wait(0.1):
        began = time.perf_counter()
        with socket.create_connection(address, timeout=30) as caller:
            caller.sendall(wire)
            assert caller.recv(4096).startswith(b"HTTP/1.1 200")
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def test_over_sockets_it_stays_healthy(book, tmp_path):
    """Torn and whole requests while 300 callers never finish theirs: no 5xx, no growth, /healthz at once."""
    rng = random.Random(2)
    seen: Counter[int] = Counter()
    stop, healthy = threading.Event(), list[float]()

    async def ask(address: tuple[str, int], requests: Iterator[Request]) -> None:
        for request in requests:
            token = TOKEN if rng.random() < 0.7 else None
            wire, whole = torn(request, rng, token=token)
            answer = await on_the_wire(address, wire, whole=whole)
            status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
            assert status < 500, (request, answer[:500])
            assert token or status not in (200, 202), (request, answer[:500])
            seen[status] += 1

    async def all_at_once(address: tuple[str, int], number: int) -> None:
        requests = itertools.islice(hostile(number), number)
        await asyncio.gather(*(ask(address, requests) for _ in range(AT_ONCE)))

    with serving(tmp_path / "ledger.db") as (address, pid), ExitStack() as held:
        for _ in range(HALF_OPEN):
            held.enter_context(socket.create_connection(address)).sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0")
        asyncio.run(all_at_once(address, 200))
        threading.Timer(3.0, stop.set).start()
        usual = max(healthz_ms(address, stop))  # on a machine that others use too
        stop.clear()
        before = resident_mb(pid)
        watch = threading.Thread(target=lambda: healthy.extend(healthz_ms(address, stop)))
        watch.start()
        asyncio.run(all_at_once(address, ON_SOCKETS))
        stop.set()
        watch.join()
        growth = resident_mb(pid) - before
    p99 = sorted(healthy)[int(0.99 * (len(healthy) - 1))]
    counts = dict(sorted(seen.items()))
    print(f"\n{ON_SOCKETS} on sockets: {counts}, {growth:+.1f} MB, /healthz p99 {p99:.0f} ms, {usual:.0f} at rest")  # noqa: T201
    assert {200, 400, 401, 404, 422} <= set(seen)
    assert growth < GROWTH_MB
    assert p99 < HEALTHY_MS + usual
