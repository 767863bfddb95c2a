"""Serving over real sockets: binding rules, and answers while idle callers hold connections open."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nefstudy.errors import BadConfig, OtherVersion
from nefstudy.ledger import Ledger
from nefstudy.service.server import listen, serve

from .conftest import STUDY, TOKEN, set_version

RUN = """
import sys
from nefstudy.service.server import serve
serve(sys.argv[1], port=0, announce=lambda url, found: print(url, flush=True))
"""


@contextmanager
def serving(path: Path) -> Iterator[tuple[str, int]]:
    """The address of a service in a process of its own, and that process's id."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        process.stdout.close()


def get(url: str) -> dict:
    """The JSON at an address."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_beyond_loopback_nothing_is_opened_without_a_token(tmp_path):
    """The binding rule comes before the ledger is even looked for."""
    with pytest.raises(BadConfig, match="NEFSTUDY_API_TOKEN"):
        serve(str(tmp_path / "none.db"), host="0.0.0.0", port=0)


def test_a_ledger_of_another_version_is_refused_at_the_start(tmp_path):
    """What waiting would not mend is an error, and the file stays as it was."""
    Ledger.open(str(tmp_path / "ledger.db")).close()
    set_version(tmp_path / "ledger.db", 99)
    for token in (None, TOKEN):
        with pytest.raises(OtherVersion, match="99"):
            serve(str(tmp_path / "ledger.db"), port=0, token=token)


def test_a_taken_port_is_named():
    """An address in use is a line with the next step."""
    with contextlib.closing(listen("127.0.0.1", 0)) as ear:
        port = ear.getsockname()[1]
        with pytest.raises(BadConfig, match=f"127.0.0.1:{port}.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.slow
def test_half_open_connections_do_not_stop_it(tmp_path):
    """With 300 callers who never finish their request, others are answered at once."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put(STUDY, {}, cells={})
    with serving(path) as (url, _), contextlib.ExitStack() as held:
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        for _ in range(300):
            caller = held.enter_context(socket.create_connection((host, int(port)), timeout=10))
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        started = time.monotonic()
        for _ in range(20):
            assert get(f"{url}v1/studies")["studies"][0]["study"] == STUDY
        assert time.monotonic() - started < 5


@pytest.mark.slow
def test_it_starts_without_a_ledger_and_finds_it_later(tmp_path):
    """Before the first study: alive, not ready, no studies, nothing made; afterwards the study is there."""
    path = tmp_path / "ledger.db"
    with serving(path) as (url, _):
        assert get(f"{url}healthz") == {"status": "ok"}
        assert get(f"{url}v1/studies") == {"studies": []}
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(f"{url}readyz")
        assert list(tmp_path.iterdir()) == []
        with Ledger.open(str(path)) as ledger:
            ledger.studies.put(STUDY, {}, cells={})
        assert get(f"{url}v1/studies")["studies"][0]["study"] == STUDY
        assert get(f"{url}readyz") == {"status": "ok"}


@pytest.mark.slow
def test_it_starts_soon_and_small(tmp_path):
    """The first answer comes soon, from a process of modest size."""
    path = tmp_path / "ledger.db"
    Ledger.open(str(path)).close()
    started = time.monotonic()
    with serving(path) as (url, pid):
        assert get(f"{url}readyz") == {"status": "ok"}
        assert time.monotonic() - started < 30
        status = Path(f"/proc/{pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident < 160_000, "120 MB are the target, of the benchmark"
