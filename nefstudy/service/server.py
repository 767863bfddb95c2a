"""Serving on a socket: the rules of binding, and a server that a few hundred idle callers cannot fill."""

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import uvicorn

from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app
from nefstudy.service.security import check_bind

PATIENCE_S = 2.0  # a reader is told 503 after this; a person would have reloaded by then
MAX_CONNECTIONS = 2_000
BACKLOG = 1_024


def serve(
    ledger: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    root: str | Path | None = None,
    announce: Callable[[str], None] = lambda _url: None,
) -> None:
    """Answers from the ledger at a path or URL until interrupted.

    With a token the ledger is opened for writing, for the commands its holders may append; without, for reading.

    Args:
        announce: called with the service's address once it listens.

    Raises:
        BadConfig: a host beyond loopback without a token, or an address that cannot be bound.
        BadLedger: no ledger there, or one that this version cannot read.
    """
    check_bind(host, token)
    Ledger.open(ledger, read_only=True, patience_s=PATIENCE_S).close()  # a missing ledger is an error, not a new file
    with Ledger.open(ledger, read_only=not token, patience_s=PATIENCE_S) as book, closing(listen(host, port)) as ear:
        announce(address_of(ear))
        config = uvicorn.Config(
            create_app(book, token=token, root=root),
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run([ear])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        BadConfig: the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        ear = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BadConfig(
            f"cannot serve on {host}:{port}: {error.strerror}; choose another --port (0 picks a free one) or --host"
        ) from None
    # asyncio sets this only on sockets that name their protocol; without it every second answer waits 40 ms.
    ear.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ear


def address_of(ear: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = ear.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
