"""An unreliable network between a client and a server; it can be slow, interrupted or silent."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESET = struct.pack("ii", 1, 0)  # SO_LINGER value by which closing a socket sends a reset


class Network:
    """A proxy for a server that listens on a TCP port or a Unix socket.

    Attributes:
        delay_s: delay of every piece of data.
        silent: whether all data is dropped; all connections are cut when silence ends.
        lost_commits: number of upcoming COMMITs whose response is dropped and whose connection is cut.
        carried: number of connections made so far.
        cuts: number of connections cut so far.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.silent = False
        self.lost_commits = 0
        self.carried = self.cuts = 0
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> "Network":
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection."""
        self._call(self._cut())

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Drop all data while the context is open, then reset all connections, as a host does after a timeout."""
        self.silent = True
        try:
            yield
        finally:
            self.silent = False
            self.cut()

    async def _end(self) -> None:
        self._server.close()
        own = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not own]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self._open):
            self.cuts += 1
            peer_socket = writer.get_extra_info("socket")
            with suppress(OSError):
                peer_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self._open.clear()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.carried += 1
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        with suppress(OSError):
            if isinstance(self._target, str):
                answers, there = await asyncio.open_unix_connection(self._target)
            else:
                answers, there = await asyncio.open_connection(*self._target)
            self._open.add(there)
            lost = asyncio.Event()
            ways = [
                asyncio.create_task(self._pipe(reader, there, asks=lost)),
                asyncio.create_task(self._pipe(answers, writer, lost=lost)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, there):
            if end is not None:
                self._open.discard(end)
                end.close()

    async def _pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        asks: asyncio.Event | None = None,
        lost: asyncio.Event | None = None,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                due = time.monotonic() + self.delay_s
                if asks is not None and self.lost_commits and b"COMMIT" in data:
                    self.lost_commits -= 1
                    asks.set()
                if lost is not None and lost.is_set():
                    return
                if self.silent:
                    continue
                await asyncio.sleep(due - time.monotonic())
                writer.write(data)
                await writer.drain()
