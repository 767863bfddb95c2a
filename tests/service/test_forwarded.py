"""The service below a path of a reverse proxy, and behind TLS that ends there."""

import os
import re

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.errors import BadConfig
from nefstudy.service.app import create_app
from nefstudy.service.forwarded import BadForwarding, Forwarding

from .conftest import STUDY, TOKEN, Client
from .served import WIDE, Served

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
HTML = {"Accept": "text/html"}
TEXT = st.text(st.characters(max_codepoint=255), max_size=30)


class Proxy:
    """A reverse proxy as an ASGI application: passes on what is asked below a prefix, and knows nothing else."""

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
            ) as answer,
        ):
            await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.headers.raw})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def client_from(address: str, app) -> Client:
    return Client(app, headers={}, address=address)


@pytest.mark.parametrize("strips", [False, True])
def test_all_that_is_answered_stays_below_the_prefix(filled, strips):
    """Sign-in, its redirect and cookie, the API's description: whether the proxy cuts the prefix off or not."""
    client = client_from("127.0.0.1", create_app(filled[0], token=TOKEN, forwarding=Forwarding.parse("/nef/")))
    below = "" if strips else "/nef"
    assert 'action="/nef/sign-in"' in client.get(f"{below}/", headers=HTML).text
    answer = client.post(f"{below}/sign-in", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/nef/")
    cookie = answer.headers["set-cookie"]
    assert "Path=/nef;" in cookie
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    sent = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get(f"{below}/v1/openapi.json", headers=sent).json()["servers"] == [{"url": "/nef"}]
    assert client.get(f"{below}/v1/studies/{STUDY}", headers=sent).status_code == 200
    assert client.get(f"{below}/v1/studies/{STUDY}").status_code == 401
    assert client.get("/nefarious/v1/studies", headers=sent).status_code == 404


def test_the_prefix_alone_is_sent_to_the_page(filled):
    """The page's links are relative to the slash."""
    client = client_from("127.0.0.1", create_app(filled[0], forwarding=Forwarding.parse("nef")))
    answer = client.get("/nef")
    assert (answer.status_code, answer.headers["location"]) == (307, "/nef/")
    assert client.get("/nef/").status_code == 200


def test_a_cookie_is_secure_where_the_trusted_proxy_speaks_tls(filled):
    """X-Forwarded-Proto and -Prefix count from loopback and from the networks named, and from nobody else."""
    for allowed, address, believed in (
        *((None, "127.0.0.1", True), (None, "::1", True), (None, "10.0.0.7", False), ("*", "10.0.0.7", True)),
        *(("10.0.0.0/8, fd00::1", "10.0.0.7", True), ("10.0.0.0/8", "127.0.0.1", False), ("", "127.0.0.1", False)),
    ):
        app = create_app(filled[0], token=TOKEN, forwarding=Forwarding.parse("", allowed))
        sent = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/lab/nef"}
        answer = client_from(address, app).post("/sign-in", data={"token": TOKEN}, headers=sent)
        assert answer.headers["location"] == ("/lab/nef/" if believed else "/"), (allowed, address)
        assert ("Secure" in answer.headers["set-cookie"]) is believed
        assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))


@pytest.mark.parametrize(
    "path", ["/a b", "/ä", "/a//x", "/..", "/a/../b", "/<x>", "/v1", "/page/x", "http://a/b", "/a?b"]
)
def test_a_root_path_that_is_none_is_refused(path):
    with pytest.raises(BadConfig, match="--root-path"):
        Forwarding.parse(path)


@pytest.mark.parametrize("ips", ["proxy", "10.0.0.1/8", "1.2.3", "10.0.0.1;10.0.0.2"])
def test_an_address_that_is_none_is_refused(ips):
    with pytest.raises(BadConfig, match="--forwarded-allow-ips"):
        Forwarding.parse("", ips)


@given(prefix=TEXT | st.from_regex(r"(/[a-z.]{1,4}){1,3}", fullmatch=True), proto=TEXT, path=TEXT)
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_forwarded_header_leaves_its_place(prefix, proto, path):
    """What a trusted proxy sends is a plain path and a scheme, or refused; a redirect cannot leave the host by it."""
    headers = [(b"x-forwarded-prefix", prefix.encode("latin-1")), (b"x-forwarded-proto", proto.encode("latin-1"))]
    scope = {"type": "http", "scheme": "http", "path": f"/{path}", "client": ("127.0.0.1", 1), "headers": headers}
    try:
        seen = Forwarding().seen(scope)
    except BadForwarding:
        return
    assert seen["scheme"] in ("http", "https")
    assert re.fullmatch(r"(/[\w.~-]+)*", seen["root_path"], re.ASCII)
    assert ".." not in seen["root_path"].split("/")
    assert seen["path"].startswith(seen["root_path"])


def test_a_header_that_cannot_be_used_is_a_400(filled):
    client = client_from("127.0.0.1", create_app(filled[0]))
    for sent in ({"X-Forwarded-Prefix": "//evil.example"}, {"X-Forwarded-Proto": "gopher"}):
        assert client.get("/", headers=sent).status_code == 400


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("strips", [False, True])
def test_the_page_works_below_a_proxys_prefix(browser, filled, strips):
    """Signing in, numbers, pictures, the stream and every link, in a browser that sees the proxy alone."""
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
