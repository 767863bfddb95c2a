"""HTTP load from a separate process, at a fixed rate or as fast as the server responds."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import get_context
from statistics import quantiles
from typing import Any

from aiohttp import ClientSession, TCPConnector

CONNECTIONS = 16


@dataclass(frozen=True)
class Answers:
    """The measured responses to a load.

    Attributes:
        ms: latency of each response in the order of the requests. At a fixed rate it counts from the time the request
            was due, so a slow response also counts against the requests that it delays.
        paths: the path of each request.
        size: size of the largest body.
        refused: number of responses with a status other than 200.
        seconds: time from the first request to the last response.
        client_cpu_s: CPU time of the client process, which the service lacks on a fully loaded machine.
    """

    ms: tuple[float, ...]
    paths: tuple[str, ...]
    size: int
    refused: int
    seconds: float
    client_cpu_s: float

    @property
    def per_s(self) -> float:
        """Responses per second."""
        return len(self.ms) / self.seconds

    def quantile(self, share: float, *, path: str | None = None) -> float:
        """Return the latency quantile `share` in milliseconds, for one path or for all paths."""
        chosen = sorted(ms for ms, of in zip(self.ms, self.paths, strict=True) if path in (None, of))
        return quantiles(chosen, n=1000, method="inclusive")[round(1000 * share) - 1] if len(chosen) > 1 else chosen[0]


def load(address: tuple[str, int], paths: Sequence[str], *, seconds: float, rate: float | None) -> Answers:
    """Send requests to `paths` in turn from another process for `seconds` seconds.

    Args:
        rate: requests per second, each sent when it is due. With None, every connection sends its next request as soon
            as it has received a response.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as other:
        return other.submit(_load, address, tuple(paths), seconds, rate).result(timeout=seconds + 60)


def _load(address: tuple[str, int], paths: tuple[str, ...], seconds: float, rate: float | None) -> Answers:
    return asyncio.run(_drive(address, cycle(paths), seconds=seconds, rate=rate))


async def _drive(address: tuple[str, int], paths: Iterator[str], *, seconds: float, rate: float | None) -> Answers:
    host, port = address
    options: dict[str, Any] = {"connector": TCPConnector(limit=CONNECTIONS), "skip_auto_headers": ["Accept-Encoding"]}
    async with ClientSession(f"http://{host}:{port}", **options) as session:
        await asyncio.gather(*(_get(session, next(paths)) for _ in range(CONNECTIONS)))  # opens the connections
        began, cpu = time.perf_counter(), time.process_time()
        due = _dues(began, seconds=seconds, rate=rate)
        taken: list[tuple[float, str, float, int, int]] = []
        await asyncio.gather(*(_ask(session, due, paths, taken=taken) for _ in range(CONNECTIONS)))
        ended, cpu = time.perf_counter(), time.process_time() - cpu
    taken.sort()
    return Answers(
        ms=tuple(ms for _, _, ms, _, _ in taken),
        paths=tuple(path for _, path, _, _, _ in taken),
        size=max(size for _, _, _, _, size in taken),
        refused=sum(status != 200 for _, _, _, status, _ in taken),
        seconds=ended - began,
        client_cpu_s=cpu,
    )


def _dues(began: float, *, seconds: float, rate: float | None) -> Iterator[float]:
    """Yield the time at which each request is due; all connections share this iterator."""
    if rate is not None:
        yield from (began + number / rate for number in range(round(seconds * rate)))
        return
    while (now := time.perf_counter()) < began + seconds:
        yield now


async def _ask(
    session: ClientSession,
    due: Iterator[float],
    paths: Iterator[str],
    *,
    taken: list[tuple[float, str, float, int, int]],
) -> None:
    for at in due:
        path = next(paths)
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        status, size = await _get(session, path)
        taken.append((at, path, 1000 * (time.perf_counter() - at), status, size))


async def _get(session: ClientSession, path: str) -> tuple[int, int]:
    """Send a GET request, read the whole response, and return its status and body length."""
    async with session.get(path) as response:
        return response.status, len(await response.read())
