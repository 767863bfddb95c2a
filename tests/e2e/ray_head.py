"""A Ray cluster with token authentication and its own ports and directory, for tests."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")


@dataclass(frozen=True)
class RayHead:
    """A running head node of a Ray cluster.

    Attributes:
        address: the address that its nodes and drivers connect to.
        pid: process id of `ray start`, the parent of all the head's processes.
    """

    dashboard: str
    environment: dict[str, str]
    metrics_port: int
    address: str = ""
    pid: int = 0


def free_ports(count: int) -> list[int]:
    """Return free ports below those that the system and Ray choose, so that no other test takes one before its use."""
    ports: list[int] = []
    with ExitStack() as opened:
        for port in secrets.SystemRandom().sample(range(20_000, 32_000), 100):
            if len(ports) < count:
                with suppress(OSError):
                    opened.enter_context(socket.create_server(("127.0.0.1", port)))
                    ports.append(port)
    return ports


@contextmanager
def ray_head(*, cpus: int = 2) -> Iterator[RayHead]:
    """Run the head node of a Ray cluster; remove the node and its directory afterwards."""
    folder = tempfile.mkdtemp(prefix="nj", dir="/tmp")  # socket paths must be short
    gcs, dashboard, client, agent, agent_grpc, metrics = free_ports(6)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "NEFSTUDY_", "MLFLOW_"))} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(RAY), "start", "--head", "--block", f"--num-cpus={cpus}", f"--port={gcs}", f"--temp-dir={folder}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    command += [f"--metrics-export-port={metrics}", "--disable-usage-stats"]
    log = Path(folder) / "head.log"
    with log.open("w") as out:
        head = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait_for(address, head, log)
        yield RayHead(address, environment, metrics, address=f"127.0.0.1:{gcs}", pid=head.pid)
    finally:
        _end(head)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_node(head: RayHead, *, cpus: int = 1) -> Iterator[int]:
    """Run another node of the cluster, yield the pid of its `ray start`, and remove the node afterwards."""
    agent, agent_grpc, metrics, environments = free_ports(4)
    command = [str(RAY), "start", f"--address={head.address}", "--block", f"--num-cpus={cpus}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    command += [f"--metrics-export-port={metrics}", f"--runtime-env-agent-port={environments}"]
    command += ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"]
    # A separate directory, as on another machine: a dying node deletes the jobs' working directory in a shared one.
    folder = tempfile.mkdtemp(prefix="nk", dir="/tmp")
    command += [f"--temp-dir={folder}"]
    quiet = subprocess.DEVNULL
    node = subprocess.Popen(command, env=head.environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield node.pid
    finally:
        _end(node)
        shutil.rmtree(folder, ignore_errors=True)


def _end(started: subprocess.Popen) -> None:
    """Terminate a `ray start` process and its children, first with SIGTERM, then with SIGKILL."""
    for signal_, timeout_s in ((signal.SIGTERM, 30), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal_)
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=timeout_s)
            return


def _wait_for(address: str, head: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert head.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(address + "/api/version", timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 401:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the head did not start:\n{log.read_text()[-3000:]}")
