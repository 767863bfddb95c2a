"""Tests of the service as a process that listens on a real socket.

They check the bind address, and responses while idle clients hold connections open.
"""

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

from .client import TOKEN
from .small_study import STUDY, set_version

RUN = """
import sys
from nefstudy.service.server import serve
serve(sys.argv[1], port=0, announce=lambda url, exists: print(url, flush=True))
"""


@contextmanager
def serving(path: Path) -> Iterator[tuple[str, int]]:
    """Run a service as a process; yield its address and process id."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        process.stdout.close()


def get(url: str) -> dict:
    """Request an address; return the JSON response."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def test_beyond_loopback_a_token_is_required(tmp_path):
    """Without a token, binding to a host beyond loopback is rejected before the ledger is opened."""
    with pytest.raises(BadConfig, match="NEFSTUDY_API_TOKEN"):
        serve(str(tmp_path / "none.db"), host="0.0.0.0", port=0)


def test_a_ledger_of_another_version_is_an_error_at_start(tmp_path):
    """If the ledger's version is not the supported one, the service does not start, because waiting would not help."""
    Ledger.open(str(tmp_path / "ledger.db")).close()
    set_version(tmp_path / "ledger.db", 99)
    for token in (None, TOKEN):
        with pytest.raises(OtherVersion, match="99"):
            serve(str(tmp_path / "ledger.db"), port=0, token=token)


def test_a_taken_port_is_named():
    """If the address is in use, the error message suggests choosing another with `--port`."""
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BadConfig, match=f"127.0.0.1:{port}.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.slow
def test_half_open_connections_do_not_stop_it(tmp_path):
    """While 300 clients never finish their requests, other requests are served promptly."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.studies.put(STUDY, {}, cells={})
    with serving(path) as (url, _), contextlib.ExitStack() as stack:
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        for _ in range(300):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        started = time.monotonic()
        for _ in range(20):
            assert get(f"{url}v1/studies")["studies"][0]["study"] == STUDY
        assert time.monotonic() - started < 5


@pytest.mark.slow
def test_it_starts_without_a_ledger_and_finds_it_later(tmp_path):
    """The service can start before its ledger exists and finds the ledger once it appears.

    Until then, the service is live but not ready and creates no file.
    """
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
def test_it_starts_quickly_in_little_memory(tmp_path):
    """The service responds within 30 s of its start and uses less than 160 MB of memory."""
    path = tmp_path / "ledger.db"
    Ledger.open(str(path)).close()
    started = time.monotonic()
    with serving(path) as (url, pid):
        assert get(f"{url}readyz") == {"status": "ok"}
        assert time.monotonic() - started < 30
        status = Path(f"/proc/{pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident < 160_000, "the benchmark's target is 120 MB"
