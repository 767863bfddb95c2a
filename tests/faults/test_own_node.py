"""Tests of a driver whose local Ray instance fails.

Its processes are killed, or its node is declared dead.
"""

import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from nefstudy.ledger import Ledger, TrialState

from ..present import present
from .driver import NO_MLFLOW, SLOW_SCRIPT
from .processes import below, ended, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(600)]

# Ray declares an unresponsive node dead after 1.5 seconds instead of minutes
QUICK_HEALTH_CHECK = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}


@pytest.fixture
def webhook():
    """Start a webhook receiver; yield its URL and the list of received messages."""
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Suppress the request log."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_a_driver_whose_ray_was_killed_ends_in_order(start_driver, webhook, tmp_path, part):
    """If Ray's GCS or raylet is killed, the driver exits within 45 s instead of waiting for Ray's own timeout.

    One line names the process that ended, the lease is released, the trials are closed, the webhook is sent, and
    all processes of this Ray instance end.
    """
    url, received = webhook
    driver = start_driver("--replicates", 4, "--webhook", url, script=SLOW_SCRIPT, **NO_MLFLOW)
    driver.wait_for(1, state=TrialState.RUNNING)
    (process,) = below(driver.process.pid, part)
    processes = psutil.Process(driver.process.pid).children(recursive=True)
    process.kill()
    assert driver.end(45) == 1, driver.output()
    assert f"error: study 'quick' stopped: Ray's process {part} (pid {process.pid}) has ended" in driver.output()
    assert "run the same command again" in driver.output()
    assert "Traceback" not in driver.output()
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.leases.holder("quick") is None
        assert present(ledger.studies.get("quick")).state == "stopped"
        assert {row.state for row in ledger.trials.page("quick", limit=None).rows} <= {"INTERRUPTED", "COMPLETE"}
    ((event, error),) = [(message["event"], message["error"]) for message in received]
    assert event == "study.failed"
    assert f"Ray's process {part}" in error
    wait_until(lambda: all(map(ended, processes)), "the end of Ray's processes", timeout=30)


@pytest.mark.parametrize("part", ["dashboard.py", "log_monitor.py", "monitor.py"])
def test_a_driver_does_not_need_rays_monitoring_processes(start_driver, invariants, part):
    """All trials complete even if Ray's dashboard, log monitor or autoscaler is killed."""
    driver = start_driver("--replicates", 2, script=SLOW_SCRIPT, **NO_MLFLOW)
    driver.wait_for(1, state=TrialState.RUNNING)
    children = psutil.Process(driver.process.pid).children()
    (process,) = [p for p in children if any(word.endswith(f"/{part}") for word in p.cmdline())]
    process.kill()
    assert driver.end() == 0, driver.output()
    assert {row.state for row in invariants().check()} == {TrialState.COMPLETE}


def test_a_driver_whose_node_was_declared_dead_ends_with_an_error(start_driver, invariants):
    """If the raylet is suspended for longer than Ray's health check allows, the driver fails instead of hanging.

    No trial can run on that node any more. Rerunning the command completes the study.
    """
    driver = start_driver("--replicates", 6, script=SLOW_SCRIPT, **NO_MLFLOW, **QUICK_HEALTH_CHECK)
    driver.wait_for(1)
    (raylet,) = (p for p in psutil.Process(driver.process.pid).children() if p.name() == "raylet")
    raylet.send_signal(signal.SIGSTOP)
    time.sleep(10)
    raylet.send_signal(signal.SIGCONT)
    assert driver.end(120) == 1, driver.output()
    assert "error: study 'quick' stopped: Ray has declared the node of its driver dead" in driver.output()
    assert "Traceback" not in driver.output()
    acked = {row.key for row in invariants().rows() if row.state.value == "COMPLETE"}
    again = start_driver("--replicates", 6, script=SLOW_SCRIPT, **NO_MLFLOW)
    assert again.end() == 0, again.output()
    assert {row.state.value for row in invariants().check(acked=acked)} == {"COMPLETE"}
