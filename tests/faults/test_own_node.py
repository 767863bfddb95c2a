"""A driver whose own node is lost to the cluster."""

import signal
import time

import psutil
import pytest

from .conftest import NO_MLFLOW, SLOW_SCRIPT

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(600)]

# Ray gives a silent node up after a second and a half instead of minutes
QUICKLY = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}


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
