"""Who may ask, from where, and how much: one gate in front of every route, and the headers of every answer.

With a token, every path answers 401 until the request carries it: as `Authorization: Bearer ...`, or in the
cookie that the sign-in form of the page sets (a digest of the token, out of reach of scripts and other sites).
Without a token only loopback names are served, so that a foreign page cannot reach the service by rebinding.
"""

import asyncio
import hashlib
import hmac
import html
from collections.abc import Collection, MutableMapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nefstudy.errors import BadConfig
from nefstudy.service.forwarded import BadForwarding, Forwarding, path_of
from nefstudy.service.problems import problem

COOKIE = "nefstudy_session"
SIGN_IN = "/sign-in"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_BODY = 64 * 1024  # the largest request the service has a use for is a trial's configuration, ~2 kB

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def check_bind(host: str, token: str | None) -> None:
    """Refuses to listen beyond this machine without a token.

    Raises:
        BadConfig: `host` can be reached from elsewhere and there is no token.
    """
    if not is_loopback(host) and not token:
        raise BadConfig(
            f"host {host!r} can be reached from other machines and no token is set; "
            "set NEFSTUDY_API_TOKEN, or serve on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether a bind address can only be reached from this machine; names other than localhost cannot be known."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def session_of(token: str) -> str:
    """The cookie value that stands for `token`; the token cannot be found from it."""
    return hmac.new(token.encode(), b"nefstudy page session", hashlib.sha256).hexdigest()


class Gate:
    """ASGI middleware that lets a request through, or refuses it; wraps every path, known or not."""

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Collection[str] | None, forwarding: Forwarding
    ) -> None:
        self._app = app
        self._forwarding = forwarding
        self._token = token or None
        self._hosts = None if hosts is None else frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope = self._forwarding.seen(scope)
            answer: ASGIApp | None = self._refusal(scope, Headers(scope=scope))
        except BadForwarding as error:
            answer = problem(400, f"the proxy's headers cannot be used: {error}; correct the proxy")
        if answer is None and path_of(scope) == SIGN_IN and scope["method"] == "POST":
            answer = await self._sign_in(scope, receive)
        with suppress(asyncio.CancelledError):  # the server is going down: streams still open end here, and quietly
            await (answer or self._app)(scope, _limited(receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "").lower()
        if self._hosts is not None and _without_port(host) not in self._hosts:
            return problem(421, f"host {host[:80]!r} is not served here; use one of {', '.join(sorted(self._hosts))}")
        too_large = _length_refused(headers)
        if too_large is not None:
            return too_large
        prefix = scope["root_path"]
        if prefix and scope["path"] == prefix and scope["method"] in ("GET", "HEAD"):
            return RedirectResponse(f"{prefix}/", status_code=307)  # the page's links are relative to it
        signing_in = path_of(scope) == SIGN_IN and scope["method"] == "POST"
        if signing_in or self._token is None or self._admits(headers):
            return None
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return _sign_in_form(401, prefix)
        return problem(
            401,
            "this service asks for its token; send it as 'Authorization: Bearer TOKEN'",
            headers={"WWW-Authenticate": 'Bearer realm="nefstudy"'},
        )

    def _admits(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and _same(given.strip(), self._token)
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return bearer | _same(cookie, session_of(self._token))

    async def _sign_in(self, scope: Scope, receive: Receive) -> Response:
        prefix = scope["root_path"]
        body = await _read(receive)
        if body is None:
            return problem(413, f"at most {MAX_BODY} bytes of body are read")
        given = parse_qs(body.decode("latin-1"), max_num_fields=4) if body.count(b"&") < 4 else {}
        token = (given.get("token") or [""])[0]
        if self._token is None or not _same(token.strip(), self._token):
            return _sign_in_form(401, prefix, "This is not the token.")
        answer = RedirectResponse(f"{prefix}/", status_code=303)
        answer.set_cookie(
            COOKIE,
            session_of(self._token),
            httponly=True,
            samesite="strict",
            path=prefix or "/",
            secure=scope["scheme"] == "https",
        )
        return answer


def _length_refused(headers: Headers) -> Response | None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return problem(400, "the Content-Length is not a number; leave it to your client")
    if int(length[:12]) > MAX_BODY:
        return problem(413, f"the body has {length[:12]} bytes; at most {MAX_BODY} are read")
    return None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and (host.startswith("[") or ":" not in name) else host


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    """The same messages; a body that grows past the limit ends as if its sender had hung up."""
    seen = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= MAX_BODY else {"type": "http.disconnect"}

    return receiving


async def _read(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return body


def _sign_in_form(status: int, prefix: str, said: str = "") -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>nefstudy: sign in</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<h1>nefstudy</h1><form method="post" action="{prefix}{SIGN_IN}"><p role="alert">{html.escape(said)}</p>'
        "<p><label>Token (NEFSTUDY_API_TOKEN of the service) "
        '<input type="password" name="token" autofocus autocomplete="current-password" required></label> '
        "<button>Sign in</button></p></form></html>",
        status_code=status,
    )
