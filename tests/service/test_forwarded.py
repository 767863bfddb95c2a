"""Tests of the service under a path prefix of a reverse proxy that terminates TLS."""

import os
import re

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.errors import BadConfig
from nefstudy.service.app import create_app
from nefstudy.service.forwarded import BadForwarding, Forwarding

from .client import TOKEN, Client
from .served import WIDE, Served
from .small_study import STUDY

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
HTML = {"Accept": "text/html"}
TEXT = st.text(st.characters(max_codepoint=255), max_size=30)


class Proxy:
    """A reverse proxy, implemented as an ASGI application.

    It forwards requests under a prefix and answers all others with 404.
    """

    def __init__(self, target: str, *, prefix: str, strips: bool, sent: dict[str, str]) -> None:
        self.target, self.prefix, self.strips, self.sent = target, prefix, strips, sent
        self.missed: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        assert scope["type"] == "http"
        path = scope["path"]
        if not path.startswith(self.prefix):
            self.missed.append(path)
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        path = path.removeprefix(self.prefix) or "/" if self.strips else path
        message = await receive()
        headers = {k.decode(): v.decode() for k, v in scope["headers"] if k not in (b"host", b"connection")} | self.sent
        query = scope["query_string"].decode()
        async with (
            httpx.AsyncClient(timeout=None) as client,
            client.stream(
                scope["method"],
                f"{self.target}{path}{'?' * bool(query)}{query}",
                headers=headers,
                content=message.get("body", b""),
            ) as response,
        ):
            await send({"type": "http.response.start", "status": response.status_code, "headers": response.headers.raw})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def client_from(address: str, app) -> Client:
    return Client(app, headers={}, address=address)


@pytest.mark.parametrize("strips", [False, True])
def test_all_responses_stay_under_the_prefix(filled, strips):
    """The sign-in form, redirect, cookie and API description use the prefix.

    This holds whether or not the proxy strips the prefix.
    """
    client = client_from("127.0.0.1", create_app(filled[0], token=TOKEN, forwarding=Forwarding.parse("/nef/")))
    below = "" if strips else "/nef"
    assert 'action="/nef/sign-in"' in client.get(f"{below}/", headers=HTML).text
    response = client.post(f"{below}/sign-in", data={"token": TOKEN})
    assert (response.status_code, response.headers["location"]) == (303, "/nef/")
    cookie = response.headers["set-cookie"]
    assert "Path=/nef;" in cookie
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    sent = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get(f"{below}/v1/openapi.json", headers=sent).json()["servers"] == [{"url": "/nef"}]
    assert client.get(f"{below}/v1/studies/{STUDY}", headers=sent).status_code == 200
    assert client.get(f"{below}/v1/studies/{STUDY}").status_code == 401
    assert client.get("/nefarious/v1/studies", headers=sent).status_code == 404


def test_the_prefix_alone_redirects_to_the_page(filled):
    """A request for the prefix without a trailing slash is redirected, because the page's links are relative."""
    client = client_from("127.0.0.1", create_app(filled[0], forwarding=Forwarding.parse("nef")))
    response = client.get("/nef")
    assert (response.status_code, response.headers["location"]) == (307, "/nef/")
    assert client.get("/nef/").status_code == 200


def test_a_cookie_is_secure_where_the_trusted_proxy_speaks_tls(filled):
    """X-Forwarded-* headers are trusted only from the networks given as an option, by default loopback."""
    for allowed, address, trusted in (
        *((None, "127.0.0.1", True), (None, "::1", True), (None, "10.0.0.7", False), ("*", "10.0.0.7", True)),
        *(("10.0.0.0/8, fd00::1", "10.0.0.7", True), ("10.0.0.0/8", "127.0.0.1", False), ("", "127.0.0.1", False)),
    ):
        app = create_app(filled[0], token=TOKEN, forwarding=Forwarding.parse("", allowed))
        sent = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/lab/nef"}
        response = client_from(address, app).post("/sign-in", data={"token": TOKEN}, headers=sent)
        assert response.headers["location"] == ("/lab/nef/" if trusted else "/"), (allowed, address)
        assert ("Secure" in response.headers["set-cookie"]) is trusted
        assert {"HttpOnly", "SameSite=strict"} <= set(response.headers["set-cookie"].split("; "))


@pytest.mark.parametrize(
    "path", ["/a b", "/ä", "/a//x", "/..", "/a/../b", "/<x>", "/v1", "/page/x", "http://a/b", "/a?b"]
)
def test_a_malformed_root_path_is_rejected(path):
    with pytest.raises(BadConfig, match="--root-path"):
        Forwarding.parse(path)


@pytest.mark.parametrize("ips", ["proxy", "10.0.0.1/8", "1.2.3", "10.0.0.1;10.0.0.2"])
def test_a_malformed_address_is_rejected(ips):
    with pytest.raises(BadConfig, match="--forwarded-allow-ips"):
        Forwarding.parse("", ips)


@given(prefix=TEXT | st.from_regex(r"(/[a-z.]{1,4}){1,3}", fullmatch=True), proto=TEXT, path=TEXT)
@settings(max_examples=EXAMPLES, deadline=None)
def test_forwarded_headers_cannot_escape(prefix, proto, path):
    """Forwarded headers never cause a redirect to another host.

    They contain a plain path and scheme, or they are rejected.
    """
    headers = [(b"x-forwarded-prefix", prefix.encode("latin-1")), (b"x-forwarded-proto", proto.encode("latin-1"))]
    scope = {"type": "http", "scheme": "http", "path": f"/{path}", "client": ("127.0.0.1", 1), "headers": headers}
    try:
        applied = Forwarding().apply(scope)
    except BadForwarding:
        return
    assert applied["scheme"] in ("http", "https")
    assert re.fullmatch(r"(/[\w.~-]+)*", applied["root_path"], re.ASCII)
    assert ".." not in applied["root_path"].split("/")
    assert applied["path"].startswith(applied["root_path"])


def test_an_unusable_header_is_a_400(filled):
    client = client_from("127.0.0.1", create_app(filled[0]))
    for sent in ({"X-Forwarded-Prefix": "//evil.example"}, {"X-Forwarded-Proto": "gopher"}):
        assert client.get("/", headers=sent).status_code == 400


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("strips", [False, True])
def test_the_page_works_under_a_proxys_prefix(browser, filled, strips):
    """The page works in a browser that can reach only the proxy.

    Sign-in, data, pictures, the event stream and all links work.
    """
    sent = {"X-Forwarded-Prefix": "/lab/nef"} if strips else {}
    forwarding = Forwarding() if strips else Forwarding.parse("/lab/nef")
    with Served(create_app(filled[0], root=filled[1], token=TOKEN, forwarding=forwarding)) as running:
        proxy = Proxy(running.url, prefix="/lab/nef", strips=strips, sent=sent)
        with Served(proxy) as front:
            page = browser.new_page(viewport=WIDE)
            page.goto(f"{front.url}/lab/nef/")
            page.fill("input[name=token]", TOKEN)
            page.click("button")
            page.wait_for_selector("#live[data-on=true]")
            page.click("#best button")
            page.wait_for_selector("dialog[open] img")
            width = "image => image.decode().then(() => image.naturalWidth, () => 0)"
            assert page.locator("dialog img").first.evaluate(width) > 0
            links = page.evaluate("[...document.querySelectorAll('a[href], img[src]')].map((e) => e.href ?? e.src)")
            assert links
            assert all(link.startswith((f"{front.url}/lab/nef/", "data:", "blob:")) for link in links), links
            page.close()
    assert proxy.missed in ([], ["/favicon.ico"])
