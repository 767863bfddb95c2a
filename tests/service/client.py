"""A test client that calls the service without a socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from nefstudy.ledger import Ledger
from nefstudy.service.app import create_app

TOKEN = "a-token-of-the-tests"


class Client:
    """A client that calls an ASGI application without a socket.

    Exceptions of the application become 500 responses.
    """

    def __init__(self, app: Any, *, headers: dict[str, str], address: str = "127.0.0.1") -> None:
        self.app = app
        self._address = address
        self._headers = headers

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self._address, 5000))
            base = "http://127.0.0.1"
            async with httpx.AsyncClient(transport=transport, base_url=base, headers=self._headers) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


ClientOf = Callable[..., Client]


def make_client(
    ledger: Ledger, *, root: Path | None = None, token: str | None = None, sent: str | None = None
) -> Client:
    """Return a client for a service on a ledger.

    `token` is the token that the service requires; `sent` is the token that the client sends.
    """
    headers = {} if sent is None else {"Authorization": f"Bearer {sent}"}
    return Client(create_app(ledger, token=token, root=root), headers=headers)
