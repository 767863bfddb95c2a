"""A driver whose own Ray dies: as a whole, in part, or only for the rest of the cluster."""

import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from nefstudy.ledger import Ledger, TrialState

from .conftest import NO_MLFLOW, SLOW_SCRIPT
from .processes import below, ended, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(600)]

# Ray gives a silent node up after a second and a half instead of minutes
QUICKLY = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}


@pytest.fixture
def webhook():
    """The URL of a receiver, and what it received."""
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_a_driver_whose_ray_was_killed_ends_in_order(start_driver, webhook, tmp_path, part):
    """kill -9 of Ray's GCS or raylet: within seconds, not after Ray's minute, one line says what ended, the lease is
    released, the trials are closed, the webhook is sent, and no process of this Ray is left.
    """
    url, received = webhook
    driver = start_driver("--replicates", 4, "--webhook", url, script=SLOW_SCRIPT, **NO_MLFLOW)
    driver.wait_for(1, state=TrialState.RUNNING)
    (process,) = below(driver.process.pid, part)
    processes = psutil.Process(driver.process.pid).children(recursive=True)
    process.kill()
    assert driver.end(45) == 1, driver.said()
    assert f"error: study 'quick' stopped: Ray's process {part} (pid {process.pid}) has ended" in driver.said()
    assert "run the same command again" in driver.said()
    assert "Traceback" not in driver.said()
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", read_only=True) as ledger:
        assert ledger.leases.holder("quick") is None
        assert ledger.studies.get("quick").state == "stopped"
        assert {row.state for row in ledger.trials.page("quick", limit=None).rows} <= {"INTERRUPTED", "COMPLETE"}
    ((event, error),) = [(message["event"], message["error"]) for message in received]
    assert event == "study.failed"
    assert f"Ray's process {part}" in error
    wait_until(lambda: all(map(ended, processes)), "the end of Ray's processes", timeout=30)


@pytest.mark.parametrize("part", ["dashboard.py", "log_monitor.py", "monitor.py"])
def test_a_driver_needs_no_helper_of_ray_that_only_shows(start_driver, invariants, part):
    """kill -9 of Ray's dashboard, log monitor or autoscaler: every trial is completed all the same."""
    driver = start_driver("--replicates", 2, script=SLOW_SCRIPT, **NO_MLFLOW)
    driver.wait_for(1, state=TrialState.RUNNING)
    children = psutil.Process(driver.process.pid).children()
    (process,) = [p for p in children if any(word.endswith(f"/{part}") for word in p.cmdline())]
    process.kill()
    assert driver.end() == 0, driver.said()
    assert {row.state for row in invariants().check()} == {TrialState.COMPLETE}


def test_a_driver_whose_node_was_given_up_says_so_and_ends(start_driver, invariants):
    """Its raylet is suspended for longer than Ray waits: no trial can run any more, so the driver ends with an error
    instead of waiting for ever; the same command does the rest.
    """
    driver = start_driver("--replicates", 6, script=SLOW_SCRIPT, **NO_MLFLOW, **QUICKLY)
    driver.wait_for(1)
    (raylet,) = (p for p in psutil.Process(driver.process.pid).children() if p.name() == "raylet")
    raylet.send_signal(signal.SIGSTOP)
    time.sleep(10)
    raylet.send_signal(signal.SIGCONT)
    assert driver.end(120) == 1, driver.said()
    assert "error: study 'quick' stopped: Ray has given up the node of its driver" in driver.said()
    assert "Traceback" not in driver.said()
    acked = {row.key for row in invariants().rows() if row.state.value == "COMPLETE"}
    again = start_driver("--replicates", 6, script=SLOW_SCRIPT, **NO_MLFLOW)
    assert again.end() == 0, again.said()
    assert {row.state.value for row in invariants().check(acked=acked)} == {"COMPLETE"}
