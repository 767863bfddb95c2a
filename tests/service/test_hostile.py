"""Thousands of requests that nobody sensible sends: an answer each, none of them a fault of ours."""

import random
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from .conftest import CELLS, STUDY, TOKEN

REQUESTS = 4_000
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
    "field.hidden=x",
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
    "/v1/studies/{}/points",
    "/v1/studies/{}/pareto",
    "/v1/studies/{}/importance",
    "/v1/studies/{}/savings",
    "/v1/neural-datasets/{}",
    "/v1/studies/{}/start-table",
    "/v1/studies/{}/failures",
    "/v1/studies/{}/commands",
    "/v1/trials/{}",
    "/v1/trials/{}/artefacts/{}",
    "/page/{}",
    "/{}",
    "/v1/studies/{}:pause",
    "/v1/studies/{}:enqueue",
    "/v1/studies/{}:{}",
    "/metrics",
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
]
HEADERS = [
    "If-None-Match",
    "Accept",
    "Last-Event-ID",
    "Idempotency-Key",
    "Content-Type",
    "Cookie",
    "Range",
    "X-Forwarded-For",
]
METHODS = ["GET"] * 12 + ["POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO"]


def hostile(seed: int) -> Iterator[tuple[str, str, dict[str, bytes], bytes]]:
    """(method, path, headers, body) without end; the same for the same seed."""
    rng = random.Random(seed)

    def word() -> str:
        return rng.choice(ODD) if rng.random() < 0.6 else rng.choice([STUDY, KEY, CELLS[0], "phase2", "steps", "5"])

    while True:
        path = rng.choice(PATHS)
        path = path.format(*(quote(word(), safe="") for _ in range(path.count("{}"))))
        query = "&".join(f"{rng.choice(NAMES)}={quote(word())}" for _ in range(rng.randrange(5)))
        headers = {
            rng.choice(HEADERS): word().replace("\n", " ").replace("\0", "").strip().encode()
            for _ in range(rng.randrange(3))
        }
        body = word().encode() if rng.random() < 0.2 else b""
        yield rng.choice(METHODS), f"{path}?{query}" if query else path, headers, body


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_request_is_a_fault(client, seed):
    """Whatever is asked, the answer is below 500, and every refusal says why as a problem."""
    for (method, path, headers, body), _ in zip(hostile(seed), range(REQUESTS // 2), strict=False):
        answer = client.request(method, path, headers=headers, content=body)
        assert answer.status_code < 500, (method, path, headers, body, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json", (method, path)


@pytest.mark.slow
def test_no_request_slips_past_the_gate(filled, client_of):
    """Without the token the same requests are all refused as such."""
    client = client_of(filled[0], token=TOKEN)
    for (method, path, headers, body), _ in zip(hostile(7), range(REQUESTS // 4), strict=False):
        answer = client.request(method, path, headers=headers, content=body)
        assert answer.status_code in (400, 401, 413), (method, path, headers, answer.status_code)
