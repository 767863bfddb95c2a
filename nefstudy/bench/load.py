"""A load of HTTP requests from a process of its own: at a steady rate, or as many as are answered."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import get_context
from statistics import quantiles

CONNECTIONS = 16
HEADERS_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Answers:
    """What came back under a load.

    Attributes:
        ms: of each answer in the order of asking; under a rate counted from when it was due, so that an
            answer that holds up the next ones is counted against each of them.
        paths: the path of each.
        size: of the largest body.
        refused: how many were not 200.
        seconds: from the first request to the last answer.
        client_cpu_s: CPU time of the asking process meanwhile, which the service did not have on a full machine.
    """

    ms: tuple[float, ...]
    paths: tuple[str, ...]
    size: int
    refused: int
    seconds: float
    client_cpu_s: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.ms) / self.seconds

    def quantile(self, share: float, *, path: str | None = None) -> float:
        """Milliseconds within which this share of the answers came, of one path or of all."""
        chosen = sorted(ms for ms, of in zip(self.ms, self.paths, strict=True) if path in (None, of))
        return quantiles(chosen, n=1000, method="inclusive")[round(1000 * share) - 1] if len(chosen) > 1 else chosen[0]


def load(address: tuple[str, int], paths: Sequence[str], *, seconds: float, rate: float | None) -> Answers:
    """The answers to `paths`, asked in turn for so many seconds from another process.

    Args:
        rate: requests a second, each sent when it is due; None asks on every connection as soon as it has answered.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as other:
        return other.submit(_load, address, tuple(paths), seconds, rate).result(timeout=seconds + 60)


def _load(address: tuple[str, int], paths: tuple[str, ...], seconds: float, rate: float | None) -> Answers:
    return asyncio.run(_drive(address, cycle(paths), seconds=seconds, rate=rate))


async def _drive(address: tuple[str, int], paths: Iterator[str], *, seconds: float, rate: float | None) -> Answers:
    connections = [await _Connection.open(address) for _ in range(CONNECTIONS)]
    for connection in connections:
        await connection.get(next(paths))
    began, cpu = time.perf_counter(), time.process_time()
    due = _dues(began, seconds=seconds, rate=rate)
    taken: list[tuple[float, str, float, int, int]] = []
    await asyncio.gather(*(_ask(connection, due, paths, taken=taken) for connection in connections))
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    for connection in connections:
        connection.close()
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
    """When each request is due, shared by all connections."""
    if rate is not None:
        yield from (began + number / rate for number in range(round(seconds * rate)))
        return
    while (now := time.perf_counter()) < began + seconds:
        yield now


async def _ask(
    connection: "_Connection",
    due: Iterator[float],
    paths: Iterator[str],
    *,
    taken: list[tuple[float, str, float, int, int]],
) -> None:
    for at in due:
        path = next(paths)
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        status, size = await connection.get(path)
        taken.append((at, path, 1000 * (time.perf_counter() - at), status, size))


class _Connection:
    """One connection that is kept open; answers must carry their length, as this service's do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def open(cls, address: tuple[str, int]) -> "_Connection":
        """Connected."""
        return cls(*await asyncio.open_connection(*address), host=address[0])

    async def get(self, path: str) -> tuple[int, int]:
        """Status and length of the body, which is read whole."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await self._reader.readuntil(HEADERS_END)).lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await self._reader.readexactly(size)
        return int(head.split()[1]), size

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
