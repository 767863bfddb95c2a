"""Serving on a socket: the rules of binding, and a server that a few hundred idle callers cannot fill."""

import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import uvicorn

from nefstudy.errors import BadConfig, BadLedger, OtherVersion
from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app
from nefstudy.service.forwarded import Forwarding
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
    forwarding: Forwarding = Forwarding(),
    announce: Callable[[str, bool], None] = lambda _url, _found: None,
) -> None:
    """Answers from the ledger at a path or URL until interrupted; from none at first, if there is none yet.

    With a token the ledger is opened for writing, for the commands its holders may append; without, for reading.

    Args:
        forwarding: the path it is served below, and whose X-Forwarded headers are believed.
        announce: called with the service's address once it listens, and whether there is a ledger yet.

    Raises:
        BadConfig: a host beyond loopback without a token, or an address that cannot be bound.
        BadLedger: an address that no ledger can have.
        OtherVersion: a ledger that this version cannot read.
    """
    check_bind(host, token)
    with Ledger.follow(ledger, read_only=not token, patience_s=PATIENCE_S) as book, ExitStack() as held:
        found = _is_there(book)
        ear = held.enter_context(closing(listen(host, port)))
        announce(address_of(ear), found)
        config = uvicorn.Config(
            create_app(book, token=token, root=root, forwarding=forwarding),
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # `forwarding` knows them
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run([ear])


def _is_there(book: Ledger) -> bool:
    """Whether the ledger answers; one of another version is refused, for waiting would not mend it."""
    try:
        book.events.last_seq()
    except OtherVersion:
        raise
    except BadLedger:
        return False
    return True


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
