"""Tests with thousands of hostile requests: each gets a response, and none causes a server error.

Most requests are passed directly to the application, as a server would do. The other requests, including corrupted
ones, are sent over sockets. `make fuzz` sends a hundred thousand requests.
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

from .client import TOKEN
from .hostile import Request, hostile, raw_bytes
from .small_study import fill_study

REQUESTS = int(os.environ.get("NEFSTUDY_FUZZ", "20000"))
ON_SOCKETS = REQUESTS // 10
GROWTH_MB = 50
HEALTHY_MS = 5000  # only shows that unfinished requests do not block the service; the benchmark measures latency
HALF_OPEN = 300
CONCURRENCY = 8  # connections that send at the same time
RUN = """
import sys
from nefstudy.service.server import serve
serve(sys.argv[1], port=0, token=sys.argv[2], announce=lambda url, exists: print(url, flush=True))
"""

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(1800)]


@pytest.fixture
def filled_ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Yield a filled, writable ledger, as used by a service with a token."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        fill_study(ledger)
    with Ledger.follow(str(tmp_path / "ledger.db"), read_only=False, timeout_s=1.0) as followed:
        yield followed


async def call(app: Any, request: Request, *, token: str | None) -> tuple[int, str, bytes]:
    """Call the application as a server would; return the response's status, media type and body.

    The client disconnects from streams.
    """
    method, target, headers, body = request
    path, _, query = target.partition("?")
    lines = {"host": b"127.0.0.1", "content-length": b"%d" % len(body)} | {k.lower(): v for k, v in headers.items()}
    if token is not None:
        lines["authorization"] = b"Bearer " + token.encode()
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
    }
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
    """Return the resident memory of a process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_no_request_is_a_fault(filled_ledger):
    """No hostile request with the token causes a 5xx response, and the service's memory hardly grows.

    Every error is a problem response.
    """
    app = create_app(filled_ledger, token=TOKEN)

    async def send_all() -> tuple[Counter[int], float]:
        counts: Counter[int] = Counter()
        requests = hostile(0)
        for request in itertools.islice(requests, 1_000):  # fills caches before memory is measured
            await call(app, request, token=TOKEN)
        before = resident_mb()
        for request in itertools.islice(requests, REQUESTS - ON_SOCKETS - 1_000):
            status, kind, body = await call(app, request, token=TOKEN)
            assert status < 500, (request, body)
            if status >= 400 and request[0] != "HEAD" and not kind.startswith("text/html"):
                assert kind == "application/problem+json", (request, kind)
            counts[status] += 1
        return counts, resident_mb() - before

    counts, growth = asyncio.run(send_all())
    print(f"\n{sum(counts.values())} requests in process: {dict(sorted(counts.items()))}, {growth:+.1f} MB")  # noqa: T201
    assert {200, 202, 401, 404, 405, 413, 422} <= set(counts)
    assert growth < GROWTH_MB


def test_no_request_bypasses_authentication(filled_ledger):
    """Without the token or with a wrong token, hostile requests are rejected on every path.

    The responses reveal nothing.
    """
    app = create_app(filled_ledger, token=TOKEN)
    seq = filled_ledger.events.last_seq()

    async def send_all() -> Counter[int]:
        counts: Counter[int] = Counter()
        rng = random.Random(1)
        for request in itertools.islice(hostile(1), REQUESTS // 4):
            wrong = rng.choice([None, TOKEN[:-1], TOKEN + "=", TOKEN.upper(), session_of(TOKEN), "é"])
            status, _, body = await call(app, request, token=wrong)
            signed_in = request[1].startswith("/sign-in") and request[0] == "POST" and TOKEN.encode() in request[3]
            assert status in (400, 401, 413) or (signed_in and status == 303), (request, wrong, status)
            assert b"digits8" not in body
            counts[status] += 1
        return counts

    assert asyncio.run(send_all())[401] > REQUESTS // 8
    assert filled_ledger.events.last_seq() == seq


@contextmanager
def serving(path: Path) -> Iterator[tuple[tuple[str, int], int]]:
    """Run a service with a token as a process; yield its address and process id."""
    command = [sys.executable, "-c", RUN, str(path), TOKEN]
    log = path.with_suffix(".log")
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout is not None
    try:
        host, port = process.stdout.readline().strip().removeprefix("http://").rstrip("/").split(":")
        yield (host, int(port)), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert "Exception in ASGI" not in log.read_text()


async def send_raw(address: tuple[str, int], wire: bytes, *, intact: bool) -> bytes:
    """Send raw bytes and return the start of the response.

    A corrupted request may get no response.
    """
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(wire)
        return await asyncio.wait_for(reader.read(65536), 30 if intact else 0.3)
    except (ConnectionError, TimeoutError):
        assert not intact, wire[:500]
        return b""
    finally:
        writer.close()


def healthz_ms(address: tuple[str, int], stop: threading.Event) -> list[float]:
    """Request /healthz ten times a second on new connections until `stop` is set; return the latencies."""
    latencies = []
    wire = f"GET /healthz HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    while not stop.wait(0.1):
        start = time.perf_counter()
        with socket.create_connection(address, timeout=30) as client:
            client.sendall(wire)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        latencies.append(1000 * (time.perf_counter() - start))
    return latencies


def test_over_sockets_it_stays_healthy(filled_ledger, tmp_path):
    """The service stays healthy under hostile requests and 300 half-open connections.

    No response is 5xx, memory is stable, and /healthz responds quickly.
    """
    rng = random.Random(2)
    counts: Counter[int] = Counter()
    stop, healthy = threading.Event(), list[float]()

    async def send_each(address: tuple[str, int], requests: Iterator[Request]) -> None:
        for request in requests:
            token = TOKEN if rng.random() < 0.7 else None
            wire, intact = raw_bytes(request, rng, token=token)
            response = await send_raw(address, wire, intact=intact)
            status = int(response[9:12]) if response.startswith(b"HTTP/1.1 ") else 0
            assert status < 500, (request, response[:500])
            assert token or status not in (200, 202), (request, response[:500])
            counts[status] += 1

    async def send_concurrently(address: tuple[str, int], number: int) -> None:
        requests = itertools.islice(hostile(number), number)
        await asyncio.gather(*(send_each(address, requests) for _ in range(CONCURRENCY)))

    with serving(tmp_path / "ledger.db") as (address, pid), ExitStack() as stack:
        for _ in range(HALF_OPEN):
            stack.enter_context(socket.create_connection(address)).sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0")
        asyncio.run(send_concurrently(address, 200))
        threading.Timer(3.0, stop.set).start()
        baseline = max(healthz_ms(address, stop))  # other processes share the machine
        stop.clear()
        before = resident_mb(pid)
        watch = threading.Thread(target=lambda: healthy.extend(healthz_ms(address, stop)))
        watch.start()
        asyncio.run(send_concurrently(address, ON_SOCKETS))
        stop.set()
        watch.join()
        growth = resident_mb(pid) - before
    p99 = sorted(healthy)[int(0.99 * (len(healthy) - 1))]
    numbers = f"{growth:+.1f} MB, /healthz p99 {p99:.0f} ms, {baseline:.0f} at rest"
    print(f"\n{ON_SOCKETS} on sockets: {dict(sorted(counts.items()))}, {numbers}")  # noqa: T201
    assert {200, 400, 401, 404, 422} <= set(counts)
    assert growth < GROWTH_MB
    assert p99 < HEALTHY_MS + baseline
