"""The status service, started by its command in a separate process and measured from outside."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nefstudy.errors import BadConfig

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Service:
    """A status service in a separate process; its first response came after `start_s` seconds."""

    pid: int
    address: tuple[str, int]
    start_s: float

    def rss_mb(self) -> float:
        """Return the resident size of the process in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))

    def cpu_s(self) -> float:
        """Return the CPU time that the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path: str) -> Any:
        """Return the JSON response for a path."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise BadConfig(f"the service responded with {answer.status} to {path}; see its log")
            return json.load(answer)
        finally:
            connection.close()


@contextmanager
def served(path: Path, *, first_path: str) -> Iterator[Service]:
    """Run `nefstudy serve`, and measure the time from its start to its first response for `first_path`."""
    command = [sys.executable, "-m", "nefstudy", "serve", "--ledger", str(path), "--root", str(path.parent)]
    environment = {name: value for name, value in os.environ.items() if name != "NEFSTUDY_API_TOKEN"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True, env=environment | {"COLUMNS": "200"}
    )
    try:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "}\n")) + "}"
        host, port = json.loads(said)["url"].removeprefix("http://").rstrip("/").split(":")
        first = Service(process.pid, (host, int(port)), 0.0)
        first.get(first_path)
        yield Service(process.pid, first.address, time.perf_counter() - began)
    finally:
        process.terminate()
        process.communicate(timeout=20)
