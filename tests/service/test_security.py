"""Tests of access control: authentication, security headers and bind addresses.

Without a token, only loopback addresses are allowed.
"""

import re
from typing import Any

import pytest

from nefstudy.errors import BadConfig
from nefstudy.service.app import ROUTE_MODULES
from nefstudy.service.security import COOKIE, HEADERS, MAX_BODY, check_bind, session_of

from .client import TOKEN
from .small_study import STUDY


def every_route(app: Any) -> list[tuple[str, str]]:
    """Return (method, path) of every route, with path parameters filled in, and of an unknown path."""
    values = {"study": STUDY, "key": "0" * 20, "name": "reconstruction.png", "digest": "0" * 20}
    values |= {"figure_id": "ladders", "table_id": "best"}
    schema = app.openapi()["paths"]
    routes = [(method.upper(), path) for path, methods in schema.items() for method in methods]
    routes += [
        (method, path) for method in ("GET", "POST") for path in ("/", "/page/main.js", "/v1/openapi.json", "/nope")
    ]
    return [(method, re.sub(r"\{(\w+)\}", lambda m: values[m[1]], path)) for method, path in routes]


def test_the_list_of_routes_is_complete(client):
    """`every_route` contains every route that the application serves."""
    served = {route.path for module in ROUTE_MODULES for route in module.router.routes}
    listed = set(client.app.openapi()["paths"]) | {"/", "/page/{name:path}", "/v1/openapi.json"}
    assert served <= listed
    assert len(served) >= 20


@pytest.mark.parametrize("sent", [None, "wrong", TOKEN + "x", TOKEN[:-1], "", "é" * 8])
def test_every_route_requires_the_token(filled, client_of, sent):
    """Every path returns a 401 problem if the token is missing or not exactly correct."""
    client = client_of(filled[0], token=TOKEN)
    headers = {} if sent is None else {"Authorization": f"Bearer {sent}".encode()}
    for method, path in every_route(client.app):
        response = client.request(method, path, headers=headers)
        assert response.status_code == 401, (method, path)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_every_route_accepts_the_token(filled, client_of):
    """The correct token is accepted on every path."""
    client = client_of(filled[0], token=TOKEN, sent=TOKEN)
    stream = f"/v1/studies/{STUDY}/events"  # stays open; tested over a socket elsewhere
    for method, path in every_route(client.app):
        if path != stream:
            assert client.request(method, path).status_code not in (401, 403) or method == "POST", (method, path)
    assert client.get("/v1/studies").status_code == 200


def test_signing_in_sets_a_cookie_that_is_not_the_token(filled, client_of):
    """The sign-in form sets a cookie that grants access but does not reveal the token."""
    client = client_of(filled[0], token=TOKEN)
    form = client.get("/", headers={"Accept": "text/html"})
    assert form.status_code == 401
    assert "<form" in form.text
    response = client.post("/sign-in", data={"token": TOKEN})
    assert response.status_code == 303
    cookie = response.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    value = cookie.split(";")[0]
    assert client.get("/v1/studies", headers={"Cookie": value}).status_code == 200
    assert client.get("/v1/studies", headers={"Cookie": value[:-1]}).status_code == 401


@pytest.mark.parametrize("body", [b"", b"token=", b"token=nope", b"x=y&" * 50, b"\xff\xfe", b"token=" + b"a" * 1000])
def test_signing_in_with_anything_else_is_rejected(filled, client_of, body):
    """A sign-in request whose body lacks the token gets 401 and no cookie."""
    response = client_of(filled[0], token=TOKEN).post("/sign-in", content=body)
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


def test_the_cookie_depends_on_the_token():
    """Different tokens result in different cookies, so changing the token ends all sessions."""
    assert session_of("a") != session_of("b")
    assert session_of("a") == session_of("a")
    assert COOKIE.isidentifier()


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/v1/studies", "/nope", f"/v1/studies/{STUDY}/trials?limit=0"])
def test_every_response_has_the_security_headers(client, path):
    """Responses with pages, data or errors all have the security headers."""
    response = client.get(path)
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_without_a_token_other_host_names_are_rejected(client, host):
    """Without a token, a request with a foreign Host header gets 421, which prevents DNS rebinding."""
    assert client.get("/v1/studies", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_without_a_token_loopback_names_are_served(client, host):
    """Without a token, every spelling of a loopback name is accepted in the Host header."""
    assert client.get("/v1/studies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org", "", "127.0.0.1.evil.example"])
def test_binding_beyond_loopback_needs_a_token(host):
    """Binding to a host that is not certainly loopback is allowed only with a token."""
    for token in (None, ""):
        with pytest.raises(BadConfig, match="NEFSTUDY_API_TOKEN"):
            check_bind(host, token)
    check_bind(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_token(host):
    """Binding to a loopback address is allowed without a token."""
    check_bind(host, None)


def test_bodies_over_the_limit_are_rejected(filled, client_of):
    """A body over the size limit is rejected, with or without a Content-Length."""
    client = client_of(filled[0], token=TOKEN, sent=TOKEN)
    path = f"/v1/studies/{STUDY}:enqueue"
    headers = {"Idempotency-Key": "k" * 16, "Content-Type": "application/json"}
    assert client.post(path, content=b"[" + b"1," * MAX_BODY, headers=headers).status_code == 413

    async def chunks():
        for _ in range(40):
            yield b"1" * 4096

    assert client.post(path, content=chunks(), headers=headers).status_code >= 400
    assert client.post("/sign-in", content=chunks()).status_code == 413


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "٣"])
def test_a_malformed_length_is_rejected(client, length):
    """A Content-Length that is not a decimal number gets 400."""
    assert client.get("/v1/studies", headers={"Content-Length": length.encode()}).status_code == 400
