"""A real Prometheus with the configuration of deploy/, its targets replaced by a test's."""

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
    """A server that scrapes every second and is asked by PromQL."""

    def __init__(self, home: Path, *, targets: dict[str, str], token: str) -> None:
        (home / "token").write_text(token)
        config = configured(targets, token_file=home / "token")
        (home / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as ear:
            port = ear.getsockname()[1]
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
        """The samples an instant query returns."""
        asked = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
        return found if isinstance(found, list) else [found]

    def rules(self) -> list[dict[str, Any]]:
        """The rules it has loaded, with their health."""
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=10) as answer:
            return [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]

    def wait_for(self, expression: str, *, seconds: float) -> list[dict[str, Any]]:
        """What the query returns once it returns anything."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._process.poll() is None, Path(self._log.name).read_text()[-3000:]
            try:
                if found := self.query(expression):
                    return found
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"{expression} returned nothing for {seconds} s; up: {self.query('up')}")


def configured(targets: dict[str, str], *, token_file: Path) -> dict[str, Any]:
    """The configuration of deploy/ for these jobs: everything as it is there but addresses, paths and intervals."""
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
    """`panel title / letter` -> query, of a Grafana dashboard with its variables filled in."""
    found = {}
    for panel in json.loads((GRAFANA / f"{board}.json").read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in {"__rate_interval": f"{10 * SCRAPE_S}s", **variables}.items():
                expression = expression.replace(f"${name}", value)
            found[f"{panel['title']} / {target['refId']}"] = expression
    return found
