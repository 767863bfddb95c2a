"""The HTTP server, its binding rules, and limits that a few hundred idle clients cannot exhaust."""

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

PATIENCE_S = 2.0  # wait this long for a locked ledger, then respond with 503; by then, a person would have reloaded
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
    announce: Callable[[str, bool], None] = lambda _url, _exists: None,
) -> None:
    """Serve the ledger at a path or URL until interrupted; the ledger need not exist yet.

    With a token the ledger is opened for writing, so that clients can append commands; without one, read-only.

    Args:
        forwarding: the path prefix to serve under, and the proxies whose X-Forwarded headers are trusted.
        announce: called once the service listens, with its address and whether the ledger exists yet.

    Raises:
        BadConfig: the host is not loopback and the token is missing, or the address cannot be bound.
        BadLedger: the ledger's path or URL is malformed.
        OtherVersion: this version cannot read the ledger.
    """
    check_bind(host, token)
    with Ledger.follow(ledger, read_only=not token, timeout_s=PATIENCE_S) as followed, ExitStack() as stack:
        exists = _is_readable(followed)
        listener = stack.enter_context(closing(listen(host, port)))
        announce(address_of(listener), exists)
        config = uvicorn.Config(
            create_app(followed, token=token, root=root, forwarding=forwarding),
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # SecurityMiddleware handles them, by `forwarding`
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run([listener])


def _is_readable(ledger: Ledger) -> bool:
    """Return whether the ledger can be read now.

    Raises:
        OtherVersion: the ledger has another version, so waiting does not help.
    """
    try:
        ledger.events.last_seq()
    except OtherVersion:
        raise
    except BadLedger:
        return False
    return True


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        BadConfig: the address is in use or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BadConfig(
            f"cannot serve on {host}:{port}: {error.strerror}; choose another --port (0 picks a free one) or --host"
        ) from None
    # asyncio sets this only on sockets that name their protocol; without it, every second response waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
