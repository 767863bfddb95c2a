"""A real Prometheus server that runs the configuration from deploy/ on the targets of a test."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
ALERTS = REPOSITORY / "dashboards" / "prometheus" / "alerts.yml"
GRAFANA = REPOSITORY / "dashboards" / "grafana"
SCRAPES = REPOSITORY / "deploy" / "prometheus.yml"
SCRAPE_S = 1


class Prometheus:
    """A server that scrapes every second and runs PromQL queries."""

    def __init__(self, home: Path, *, targets: dict[str, str], token: str) -> None:
        (home / "token").write_text(token)
        config = configured(targets, token_file=home / "token")
        (home / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [shutil.which("prometheus") or "prometheus", f"--config.file={home}/prometheus.yml"]
        command += [f"--storage.tsdb.path={home}/data", f"--web.listen-address=127.0.0.1:{port}"]
        self._log = (home / "log").open("w")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def __enter__(self) -> "Prometheus":
        self.wait_for("up", seconds=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(15)
        self._log.close()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query."""
        parameters = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{parameters}", timeout=10) as response:
            result = json.load(response)["data"]["result"]
        return result if isinstance(result, list) else [result]

    def rules(self) -> list[dict[str, Any]]:
        """Return the loaded rules and their health."""
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=10) as response:
            return [rule for group in json.load(response)["data"]["groups"] for rule in group["rules"]]

    def wait_for(self, expression: str, *, seconds: float) -> list[dict[str, Any]]:
        """Wait until a query returns samples, and return them."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._process.poll() is None, Path(self._log.name).read_text()[-3000:]
            try:
                if samples := self.query(expression):
                    return samples
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"{expression} returned nothing for {seconds} s; up: {self.query('up')}")


def configured(targets: dict[str, str], *, token_file: Path) -> dict[str, Any]:
    """Return the configuration from deploy/ with only the jobs in `targets`, their addresses and short intervals."""
    config: dict[str, Any] = yaml.safe_load(SCRAPES.read_text())
    config["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    config["rule_files"] = [str(ALERTS)]
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(token_file)
    return config


def queries(board: str, **variables: str) -> dict[str, str]:
    """Return the queries of a Grafana dashboard, keyed by `panel title / letter`, with variables filled in."""
    expressions = {}
    for panel in json.loads((GRAFANA / f"{board}.json").read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in {"__rate_interval": f"{10 * SCRAPE_S}s", **variables}.items():
                expression = expression.replace(f"${name}", value)
            expressions[f"{panel['title']} / {target['refId']}"] = expression
    return expressions
