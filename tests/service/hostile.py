"""An endless stream of malformed and hostile requests, reproducible from its seed."""

import random
from collections.abc import Iterator
from urllib.parse import quote

from .small_study import CELLS, STUDY

KEY = "0" * 20

ODD = [
    "",
    " ",
    "\0",
    "\n",
    "%",
    "%00",
    "%zz",
    "..",
    "../../etc/passwd",
    "'",
    '"',
    "' OR '1'='1",
    "1;DROP TABLE trials",
    "$(id)",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "null",
    "NaN",
    "-1",
    "0",
    "1e309",
    "9" * 40,
    "-" + "9" * 19,
    "true",
    "[]",
    "{}",
    "é",
    "日本",
    "\u202e",
    "\ud7ff",
    "a" * 5000,
    "=",
    "!=",
    ">=",
    "name>",
    ">1",
    "a>b>c",
    "val_accuracy>=nan",
    "val_accuracy>=inf",
    "steps=1e400",
    "steps>99999999999999999999",
    "reused=maybe",
    "state!=COMPLETE",
    "config=1",
    "hidden=x",
    "start=shared",
    "W10",
    "WyJhIiwxLDJd",
    "=" * 9,
    "-val_accuracy",
    "--val_accuracy",
    "-",
    ".",
    "key,key,key",
    ",,,",
    "metrics",
    "parameters",
    "config,fingerprint,error",
    STUDY,
    CELLS[0],
    "phase2",
]
PATHS = [
    "/v1/studies",
    "/v1/studies/{}",
    "/v1/studies/{}/progress",
    "/v1/studies/{}/trials",
    "/v1/studies/{}/best",
    "/v1/studies/{}/figures/ladders",
    "/v1/studies/{}/tables/pareto",
    "/v1/studies/{}/tables/importance",
    "/v1/studies/{}/tables/savings",
    "/v1/neural-datasets/{}",
    "/v1/studies/{}/tables/initialization",
    "/v1/studies/{}/tables/failures",
    "/v1/studies/{}/figures/pace",
    "/v1/studies/{}/events",
    "/v1/neural-datasets",
    "/v1/openapi.json",
    "/healthz",
    "/readyz",
    "/sign-in",
    "/v1/studies/{}/commands",
    "/v1/trials/{}",
    "/v1/trials/{}/artifacts/{}",
    "/page/{}",
    "/{}",
    "/v1/studies/{}:pause",
    "/v1/studies/{}:enqueue",
    "/v1/studies/{}:{}",
    "/v1/studies/{}:retry",
    "/v1/studies/{}:concurrency",
    "/metrics",
]
BODIES = [
    b"{}",
    b"[]",
    b"null",
    b"{",
    b"[" * 30_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"point": {"lr": 1e999}}',
    b'{"point": {"lr": NaN}}',
    b'{"point": {"steps": 1' + b"0" * 4_000 + b"}}",
    b'{"point": {"steps": 1' + b"0" * 5_000 + b"}}",
    b'{"phase": "\\ud800"}',
    b'{"phase": "a\\u0000b"}',
    b'{"a": 1, "a": 2}',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"token=a-token-of-the-tests&token=b",
    b"token=" + b"%ff" * 2_000,
    b"a" * 70_000,
]
NAMES = [
    "phase",
    "cell",
    "state",
    "filter",
    "sort",
    "fields",
    "limit",
    "cursor",
    "format",
    "x",
    "y",
    "study",
    "nothing",
    "cause",
    "trials",
]
HEADERS = [
    "Authorization",
    "Content-Length",
    "Host",
    "Transfer-Encoding",
    "If-None-Match",
    "Accept",
    "Last-Event-ID",
    "Idempotency-Key",
    "Content-Type",
    "Cookie",
    "Range",
    "X-Forwarded-For",
]
METHODS = ["GET"] * 12 + ["POST"] * 4 + ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO"]


Request = tuple[str, str, dict[str, bytes], bytes]


def hostile(seed: int) -> Iterator[Request]:
    """Yield requests endlessly as (method, path, headers, body).

    Equal seeds yield equal requests.
    """
    rng = random.Random(seed)

    def word() -> str:
        return rng.choice(ODD) if rng.random() < 0.6 else rng.choice([STUDY, KEY, CELLS[0], "phase2", "steps", "5"])

    while True:
        path = rng.choice(PATHS)
        named = STUDY if "/studies/" in path and rng.random() < 0.5 else word()
        path = path.format(quote(named, safe=""), *(quote(word(), safe="") for _ in range(path.count("{}") - 1)))
        query = "&".join(f"{rng.choice(NAMES)}={quote(word())}" for _ in range(rng.randrange(5)))
        headers = {rng.choice(HEADERS): _line(word()) for _ in range(rng.randrange(3))}
        body = b""
        if rng.random() < 0.2:
            body = rng.choice(BODIES) if rng.random() < 0.5 else word().encode()
            headers["Content-Type"] = rng.choice([b"application/json", b"application/x-www-form-urlencoded", b"a/b"])
        if rng.random() < 0.5:
            headers["Idempotency-Key"] = b"%016x" % rng.getrandbits(64)
        yield rng.choice(METHODS), f"{path}?{query}" if query else path, headers, body


def _line(text: str) -> bytes:
    """Return text as bytes that fit on one header line."""
    return text.replace("\n", " ").replace("\0", "").strip().encode()


def raw_bytes(request: Request, rng: random.Random, *, token: str | None) -> tuple[bytes, bool]:
    """Return a request as raw bytes, and whether the request is intact.

    Some requests are truncated, doubled or corrupted.
    """
    method, path, headers, body = request
    lines = {"Host": b"127.0.0.1", "Connection": b"close", **headers}
    if "Transfer-Encoding" not in lines:
        lines.setdefault("Content-Length", b"%d" % len(body))
    if token is not None:
        lines["Authorization"] = b"Bearer " + token.encode()
    head = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in lines.items())
    wire = method.encode() + b" " + path.encode() + b" HTTP/1.1\r\n" + head + b"\r\n" + body
    damage = rng.random()
    if damage < 0.05:
        return wire[: rng.randrange(len(wire))], False
    if damage < 0.10:
        index = rng.randrange(len(wire))
        return wire[:index] + rng.randbytes(rng.randrange(1, 9)) + wire[index + 1 :], False
    intact = not {"Content-Length", "Transfer-Encoding"} & set(headers)
    return (wire * 2, False) if damage < 0.15 else (wire, intact)
