"""Access control: middleware that checks the token, host and body size of each request and adds security headers.

With a token, every path responds with 401 unless the request has it, as `Authorization: Bearer ...` or in the
cookie that the sign-in form sets (a digest of the token, inaccessible to scripts and other sites).
Without a token, only loopback host names are served, which protects against DNS rebinding by other sites' pages.
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
from nefstudy.service.problems import problem_response

COOKIE = "nefstudy_session"
SIGN_IN = "/sign-in"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_BODY = 64 * 1024  # the largest legitimate request is a trial's configuration, ~2 kB

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
    """Raise an error if the service would be reachable from other machines without a token.

    Raises:
        BadConfig: `host` is not loopback and `token` is missing.
    """
    if not is_loopback(host) and not token:
        raise BadConfig(
            f"host {host!r} can be reached from other machines and no token is set; "
            "set NEFSTUDY_API_TOKEN, or serve on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Return whether a bind address is reachable only from this machine.

    Host names other than localhost are assumed to be reachable from others.
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def session_of(token: str) -> str:
    """Return the session cookie for `token`, from which the token cannot be recovered."""
    return hmac.new(token.encode(), b"nefstudy page session", hashlib.sha256).hexdigest()


class SecurityMiddleware:
    """ASGI middleware that admits or rejects each request, even one to an unknown path."""

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Collection[str] | None, forwarding: Forwarding
    ) -> None:
        self._app = app
        self._forwarding = forwarding
        self._token = token or None
        self._hosts = None if hosts is None else frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._respond(scope, receive, _with_headers(send))

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope = self._forwarding.apply(scope)
            response: ASGIApp | None = self._rejection(scope, Headers(scope=scope))
        except BadForwarding as error:
            response = problem_response(400, f"unusable proxy headers: {error}; correct the proxy's configuration")
        if response is None and path_of(scope) == SIGN_IN and scope["method"] == "POST":
            response = await self._sign_in(scope, receive)
        with suppress(asyncio.CancelledError):  # server shutdown: open streams end here without a traceback
            await (response or self._app)(scope, _limit_body(receive), send)

    def _rejection(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "").lower()
        if self._hosts is not None and _without_port(host) not in self._hosts:
            allowed = ", ".join(sorted(self._hosts))
            return problem_response(421, f"host {host[:80]!r} is not served here; use one of {allowed}")
        bad_length = _check_length(headers)
        if bad_length is not None:
            return bad_length
        prefix = scope["root_path"]
        if prefix and scope["path"] == prefix and scope["method"] in ("GET", "HEAD"):
            return RedirectResponse(f"{prefix}/", status_code=307)  # the page's links are relative to it
        signing_in = path_of(scope) == SIGN_IN and scope["method"] == "POST"
        if signing_in or self._token is None or self._is_authorized(headers):
            return None
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return _sign_in_form(401, prefix)
        return problem_response(
            401,
            "this service requires a token; send it as 'Authorization: Bearer TOKEN'",
            headers={"WWW-Authenticate": 'Bearer realm="nefstudy"'},
        )

    def _is_authorized(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and _equal(credentials.strip(), self._token)
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return bearer | _equal(cookie, session_of(self._token))

    async def _sign_in(self, scope: Scope, receive: Receive) -> Response:
        prefix = scope["root_path"]
        body = await _read(receive)
        if body is None:
            return problem_response(413, f"the body is too large; send at most {MAX_BODY} bytes")
        form = parse_qs(body.decode("latin-1"), max_num_fields=4) if body.count(b"&") < 4 else {}
        token = (form.get("token") or [""])[0]
        if self._token is None or not _equal(token.strip(), self._token):
            return _sign_in_form(401, prefix, "Wrong token. Try again.")
        response = RedirectResponse(f"{prefix}/", status_code=303)
        response.set_cookie(
            COOKIE,
            session_of(self._token),
            httponly=True,
            samesite="strict",
            path=prefix or "/",
            secure=scope["scheme"] == "https",
        )
        return response


def _check_length(headers: Headers) -> Response | None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return problem_response(400, "the Content-Length is not a number; let your HTTP client set it")
    if int(length[:12]) > MAX_BODY:
        return problem_response(413, f"the body has {length[:12]} bytes; send at most {MAX_BODY}")
    return None


def _equal(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "surrogateescape"), expected.encode())


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and (host.startswith("[") or ":" not in name) else host


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


def _limit_body(receive: Receive) -> Receive:
    """Wrap `receive` so that a body over the limit ends as if the client had disconnected."""
    received = 0

    async def receive_limited() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return message if received <= MAX_BODY else {"type": "http.disconnect"}

    return receive_limited


async def _read(receive: Receive) -> bytes | None:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return body


def _sign_in_form(status: int, prefix: str, message: str = "") -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>nefstudy: sign in</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<h1>nefstudy</h1><form method="post" action="{prefix}{SIGN_IN}"><p role="alert">{html.escape(message)}</p>'
        "<p><label>Token (the service's NEFSTUDY_API_TOKEN) "
        '<input type="password" name="token" autofocus autocomplete="current-password" required></label> '
        "<button>Sign in</button></p></form></html>",
        status_code=status,
    )
