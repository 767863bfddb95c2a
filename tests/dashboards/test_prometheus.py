"""Every query of a dashboard and every alert, asked of a real Prometheus that scrapes the real thing."""

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
from ..service.conftest import CELLS, STUDY, TOKEN, fill_study, run_trial, trial_config
from ..service.served import Served
from .prometheus import ALERTS, REPOSITORY, SCRAPES, Prometheus, queries

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

METRIC = re.compile(r"\b(?:nefstudy|ray)_[a-z_]+(?:\{[^}]*\})?")
EXPRESSIONS = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def metrics(prefix: str) -> list[str]:
    """Every metric that an alert looks at, with its selection."""
    return sorted({found for text in EXPRESSIONS for found in METRIC.findall(text) if found.startswith(prefix)})


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[Prometheus]:
    """Prometheus over the real service, which asks for its token, with a driver at work."""
    home = tmp_path_factory.mktemp("study")
    with Ledger.open(str(home / "ledger.db"), patience_s=2.0) as ledger:
        fill_study(ledger)
        ledger.leases.acquire(STUDY, Owner.here(), lease_s=600)
        run_trial(ledger, "phase2", trial_config(CELLS[1], steps=500))
        with Served(create_app(ledger, token=TOKEN)) as service:
            targets = {"nefstudy": service.url.removeprefix("http://")}
            with Prometheus(home, targets=targets, token=TOKEN) as server:
                server.wait_for("deriv(nefstudy_field_steps[10s])", seconds=120)
                yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Prometheus]:
    """Prometheus over the metrics of a real Ray head."""
    home = tmp_path_factory.mktemp("cluster")
    with ray_head() as head:
        targets = {"ray": f"127.0.0.1:{head.metrics_port}"}
        with Prometheus(home, targets=targets, token=TOKEN) as server:
            for late in ("ray_resources", "ray_running_jobs", "ray_node_network_send_speed"):
                server.wait_for(late, seconds=180)
            yield server


@pytest.mark.parametrize("name", queries("study"))
def test_every_panel_of_a_study_has_data(study, name):
    """The query returns samples, all of them numbers."""
    found = study.query(queries("study", study=STUDY)[name])
    assert found
    assert all(sample["value"][1] != "NaN" for sample in found)


def test_panels_of_a_study_say_what_the_ledger_holds(study):
    """Seventeen of thirty-two trials are complete; a study of another name has no data."""
    (complete,) = study.query(queries("study", study=STUDY)["Complete / A"])
    assert float(complete["value"][1]) == 17 / 32
    assert study.query(queries("study", study="another")["Complete / A"]) == []


@pytest.mark.parametrize("metric", metrics("nefstudy"))
def test_every_metric_of_an_alert_about_studies_exists(study, metric):
    """The service gives what the alert looks at."""
    assert study.query(metric)


def test_every_alert_is_loaded_and_none_fires_for_a_healthy_study(study):
    """Prometheus has evaluated all rules without an error, and none of them says anything of a study just begun."""
    deadline = time.monotonic() + 120
    while any(rule["health"] == "unknown" for rule in study.rules()) and time.monotonic() < deadline:
        time.sleep(0.5)
    rules = study.rules()
    assert len(rules) == len(EXPRESSIONS)
    assert {rule["state"] for rule in rules} == {"inactive"}
    assert {rule["health"] for rule in rules} == {"ok"}


@pytest.mark.ray
def test_every_panel_and_alert_of_the_cluster_has_data(cluster):
    """Each query of the cluster's dashboard, and each metric of its alerts, returns samples from Ray itself."""
    asked = queries("cluster") | {metric: metric for metric in metrics("ray")}
    assert len(asked) > 15
    assert [name for name, expression in asked.items() if not cluster.query(expression)] == []


def test_alerts_fire_when_they_should():
    """promtool finds the rules well formed and plays the histories of alerts_test.yml."""
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *arguments], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_history():
    """Each alert is shown firing at least once."""
    played = yaml.safe_load((ALERTS.parent / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in played for case in test["alert_rule_test"] if case["exp_alerts"]}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert fired == {rule["alert"] for rule in rules}


def test_the_scrape_configuration_is_valid(tmp_path: Path):
    """promtool accepts deploy/prometheus.yml with its files where compose mounts them."""
    config = SCRAPES.read_text()
    (tmp_path / "token").write_text("token")
    for there, here in {
        "/run/secrets/api_token": tmp_path / "token",
        "/etc/nefstudy/prometheus/alerts.yml": ALERTS,
    }.items():
        assert there in config
        config = config.replace(there, str(here))
    (tmp_path / "prometheus.yml").write_text(config)
    command = [shutil.which("promtool") or "promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
