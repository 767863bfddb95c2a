"""Tests that every dashboard query and every alert works in a real Prometheus that scrapes the real services."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nefstudy.ledger import Ledger, Owner
from nefstudy.service.app import create_app

from ..e2e.ray_head import ray_head
from ..service.client import TOKEN
from ..service.served import Served
from ..service.small_study import CELLS, STUDY, fill_study, run_trial, trial_config
from .prometheus import ALERTS, REPOSITORY, SCRAPES, Prometheus, queries

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

METRIC = re.compile(r"\b(?:nefstudy|ray)_[a-z_]+(?:\{[^}]*\})?")
EXPRESSIONS = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def metrics(prefix: str) -> list[str]:
    """Return every metric in the alert rules that begins with `prefix`, including its label matchers."""
    return sorted({name for text in EXPRESSIONS for name in METRIC.findall(text) if name.startswith(prefix)})


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[Prometheus]:
    """Yield a Prometheus that scrapes the real status service of a study with a driver."""
    home = tmp_path_factory.mktemp("study")
    with Ledger.open(str(home / "ledger.db"), timeout_s=2.0) as ledger:
        fill_study(ledger)
        ledger.leases.acquire(STUDY, Owner.current(), lease_s=600)
        run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
        with Served(create_app(ledger, token=TOKEN)) as service:
            targets = {"nefstudy": service.url.removeprefix("http://")}
            with Prometheus(home, targets=targets, token=TOKEN) as server:
                server.wait_for("deriv(nefstudy_field_steps[10s])", seconds=120)
                yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Prometheus]:
    """Yield a Prometheus that scrapes a real Ray head."""
    home = tmp_path_factory.mktemp("cluster")
    with ray_head() as head:
        targets = {"ray": f"127.0.0.1:{head.metrics_port}"}
        with Prometheus(home, targets=targets, token=TOKEN) as server:
            for metric in ("ray_resources", "ray_running_jobs", "ray_node_network_send_speed"):
                server.wait_for(metric, seconds=180)
            yield server


@pytest.mark.parametrize("name", queries("study"))
def test_every_panel_of_a_study_has_data(study, name):
    """Each query of the study dashboard returns samples, none of which is NaN."""
    samples = study.query(queries("study", study=STUDY)[name])
    assert samples
    assert all(sample["value"][1] != "NaN" for sample in samples)


def test_panels_of_a_study_agree_with_the_ledger(study):
    """The panel `Complete` shows the share of complete trials in the ledger, 17 of 32.

    For an unknown study, its query returns nothing.
    """
    (complete,) = study.query(queries("study", study=STUDY)["Complete / A"])
    assert float(complete["value"][1]) == 17 / 32
    assert study.query(queries("study", study="another")["Complete / A"]) == []


@pytest.mark.parametrize("metric", metrics("nefstudy"))
def test_every_metric_of_an_alert_about_studies_exists(study, metric):
    """The status service exports each metric that an alert about studies uses."""
    assert study.query(metric)


def test_every_alert_is_loaded_and_none_fires_for_a_healthy_study(study):
    """No alert fires for a study that has just started, and all rules are evaluated without errors."""
    deadline = time.monotonic() + 120
    while any(rule["health"] == "unknown" for rule in study.rules()) and time.monotonic() < deadline:
        time.sleep(0.5)
    rules = study.rules()
    assert len(rules) == len(EXPRESSIONS)
    assert {rule["state"] for rule in rules} == {"inactive"}
    assert {rule["health"] for rule in rules} == {"ok"}


@pytest.mark.ray
def test_every_panel_and_alert_of_the_cluster_has_data(cluster):
    """Each panel of the cluster dashboard and each metric of a cluster alert has samples from Ray."""
    expressions = queries("cluster") | {metric: metric for metric in metrics("ray")}
    assert len(expressions) > 15
    assert [name for name, expression in expressions.items() if not cluster.query(expression)] == []


def test_alerts_fire_when_they_should():
    """promtool accepts the alert rules, and the alerts fire as alerts_test.yml expects."""
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *arguments], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_history():
    """Each alert fires in at least one test case of alerts_test.yml."""
    histories = yaml.safe_load((ALERTS.parent / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in histories for case in test["alert_rule_test"] if case["exp_alerts"]}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert fired == {rule["alert"] for rule in rules}


def test_the_scrape_configuration_is_valid(tmp_path: Path):
    """promtool accepts deploy/prometheus.yml if the files that it names exist."""
    config = SCRAPES.read_text()
    (tmp_path / "token").write_text("token")
    for mounted, local in {
        "/run/secrets/api_token": tmp_path / "token",
        "/etc/nefstudy/prometheus/alerts.yml": ALERTS,
    }.items():
        assert mounted in config
        config = config.replace(mounted, str(local))
    (tmp_path / "prometheus.yml").write_text(config)
    command = [shutil.which("promtool") or "promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
