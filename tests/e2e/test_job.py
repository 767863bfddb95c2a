"""`ray job submit -- python studies/phase1.py` on a running cluster that asks for a token."""

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
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


def free_ports(count: int) -> list[int]:
    ears = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [ear.getsockname()[1] for ear in ears]
    for ear in ears:
        ear.close()
    return ports


@pytest.fixture(scope="module")
def cluster():
    """A head started as an operator would, with token authentication; gives (dashboard address, environment)."""
    folder = tempfile.mkdtemp(prefix="nj", dir="/tmp")
    gcs, dashboard, client, agent, agent_grpc, metrics = free_ports(6)
    token = secrets.token_hex(32)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "NEFSTUDY_", "MLFLOW_"))} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(RAY), "start", "--head", "--block", "--num-cpus=2", f"--port={gcs}", f"--temp-dir={folder}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    command += [f"--metrics-export-port={metrics}", "--disable-usage-stats"]
    log = Path(folder) / "head.log"
    with log.open("w") as out:
        head = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait_for(address, head, log)
        yield address, environment
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        try:
            head.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(address: str, head: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert head.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(address + "/api/version", timeout=2).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            if refused.code == 401:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the head did not come up:\n{log.read_text()[-3000:]}")


def submit(cluster, *arguments, timeout=280):
    address, environment = cluster
    command = [str(RAY), "job", "submit", "--address", address, "--working-dir", ".", "--", "python", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def test_jobs_without_the_token_are_refused(cluster):
    """The jobs API answers 401 to whoever has no token: an open one would run anybody's code."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(cluster[0] + "/api/jobs/", timeout=10)
    refused.value.close()
    assert refused.value.code == 401


def test_a_relative_root_in_a_job_is_refused(cluster):
    """The job fails with one line that says why, and starts nothing."""
    done = submit(cluster, "studies/phase1.py", "--scale", "smoke", "--root", "runs")
    assert done.returncode != 0
    assert "is relative, but a Ray job runs in a copy" in done.stdout + done.stderr


def test_a_submitted_study_runs_and_resubmitting_continues_it(cluster, tmp_path, nefstudy):
    """Two trials of a cell by `ray job submit`; a second submission with a larger budget runs only the third."""
    arguments = ["studies/phase1.py", "--scale", "smoke", "--cells", "mnist5k/siren", "--root", str(tmp_path)]
    first = submit(cluster, *arguments, "--trials", "2")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert _complete(nefstudy, tmp_path) == 2
    second = submit(cluster, *arguments, "--trials", "3")
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
    assert _complete(nefstudy, tmp_path) == 3


def _complete(nefstudy, root) -> int:
    (study,) = nefstudy("status", "--root", root)["studies"]
    return sum(phase["complete"] for phase in study["phases"])
