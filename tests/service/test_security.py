"""The gate: nothing without the token, loopback only without one, the same headers on every answer."""

import re
from typing import Any

import pytest

from nefstudy.errors import BadConfig
from nefstudy.service.app import PARTS
from nefstudy.service.security import COOKIE, HEADERS, MAX_BODY, check_bind, session_of

from .conftest import STUDY, TOKEN


def every_route(app: Any) -> list[tuple[str, str]]:
    """(method, path) of everything the application routes, with path parameters filled in, and one unknown path."""
    values = {"study": STUDY, "key": "0" * 20, "name": "reconstruction.png", "digest": "0" * 20}
    values |= {"figure_id": "ladders", "table_id": "best"}
    schema = app.openapi()["paths"]
    found = [(method.upper(), path) for path, methods in schema.items() for method in methods]
    found += [
        (method, path) for method in ("GET", "POST") for path in ("/", "/page/main.js", "/v1/openapi.json", "/nope")
    ]
    return [(method, re.sub(r"\{(\w+)\}", lambda m: values[m[1]], path)) for method, path in found]


def test_the_list_of_routes_is_whole(client):
    """The schema the gate is tested with has every route that the application serves."""
    served = {route.path for part in PARTS for route in part.router.routes}
    listed = set(client.app.openapi()["paths"]) | {"/", "/page/{name:path}", "/v1/openapi.json"}
    assert served <= listed
    assert len(served) >= 20


@pytest.mark.parametrize("sent", [None, "wrong", TOKEN + "x", TOKEN[:-1], "", "é" * 8])
def test_every_route_refuses_without_the_token(filled, client_of, sent):
    """None, wrong, longer, shorter, empty and odd tokens get 401 on every path, and nothing of its content."""
    client = client_of(filled[0], token=TOKEN)
    headers = {} if sent is None else {"Authorization": f"Bearer {sent}".encode()}
    for method, path in every_route(client.app):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_answers_with_the_token(filled, client_of):
    """The right token is refused nowhere."""
    client = client_of(filled[0], token=TOKEN, sent=TOKEN)
    stream = f"/v1/studies/{STUDY}/events"  # stays open; asked over a socket elsewhere
    for method, path in every_route(client.app):
        if path != stream:
            assert client.request(method, path).status_code not in (401, 403) or method == "POST", (method, path)
    assert client.get("/v1/studies").status_code == 200


def test_signing_in_sets_a_cookie_that_admits_but_is_not_the_token(filled, client_of):
    """The form trades the token for a cookie; the cookie opens the service and does not tell the token."""
    client = client_of(filled[0], token=TOKEN)
    form = client.get("/", headers={"Accept": "text/html"})
    assert form.status_code == 401
    assert "<form" in form.text
    answer = client.post("/sign-in", data={"token": TOKEN})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    value = cookie.split(";")[0]
    assert client.get("/v1/studies", headers={"Cookie": value}).status_code == 200
    assert client.get("/v1/studies", headers={"Cookie": value[:-1]}).status_code == 401


@pytest.mark.parametrize("body", [b"", b"token=", b"token=nope", b"x=y&" * 50, b"\xff\xfe", b"token=" + b"a" * 1000])
def test_signing_in_with_anything_else_is_refused(filled, client_of, body):
    """No body but the token's opens the door, and none breaks it."""
    answer = client_of(filled[0], token=TOKEN).post("/sign-in", content=body)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_cookie_depends_on_the_token():
    """Another token makes another cookie, so that changing it signs everybody out."""
    assert session_of("a") != session_of("b")
    assert session_of("a") == session_of("a")
    assert COOKIE.isidentifier()


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/v1/studies", "/nope", f"/v1/studies/{STUDY}/trials?limit=0"])
def test_every_answer_carries_the_protecting_headers(client, path):
    """Pages, data and refusals alike."""
    answer = client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_without_a_token_foreign_names_are_refused(client, host):
    """A page that points its own name at this machine gets nothing."""
    assert client.get("/v1/studies", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_without_a_token_loopback_names_are_served(client, host):
    """Every way of writing this machine's own name works."""
    assert client.get("/v1/studies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org", "", "127.0.0.1.evil.example"])
def test_binding_beyond_loopback_needs_a_token(host):
    """Addresses that others can reach, and names that may be, are refused without a token and allowed with one."""
    for token in (None, ""):
        with pytest.raises(BadConfig, match="NEFSTUDY_API_TOKEN"):
            check_bind(host, token)
    check_bind(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_token(host):
    """What only this machine reaches is open."""
    check_bind(host, None)


def test_bodies_beyond_the_limit_are_refused(filled, client_of):
    """A declared length is refused unread; an undeclared one ends the request."""
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
def test_a_length_that_is_no_number_is_refused(client, length):
    """A Content-Length nobody can count to is a bad request."""
    assert client.get("/v1/studies", headers={"Content-Length": length.encode()}).status_code == 400
