"""Tests of the files under deploy/, which are checked by offline validators."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES = "1.33"
# Top-level names of the ray.io/v1 specs that these manifests use, as the KubeRay reference lists them.
CLUSTER_NAMES = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
HEAD_NAMES = {"rayStartParams", "template"}
WORKER_NAMES = HEAD_NAMES | {"groupName", "replicas", "minReplicas", "maxReplicas"}
JOB_NAMES = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}


def documents(name: str) -> list[dict[str, Any]]:
    """Return the YAML documents of a file under deploy/."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def cluster_spec(name: str) -> dict[str, Any]:
    """Return the Ray cluster that a manifest requests."""
    (document,) = documents(name)
    spec: dict[str, Any] = document["spec"]
    return spec.get("rayClusterSpec", spec)


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command-line validator that is installed in this environment."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_dockerfile_is_clean() -> None:
    """hadolint reports no problems with the Dockerfile."""
    done = tool("hadolint", "deploy/Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_compose_file_follows_the_schema() -> None:
    """The compose file satisfies the schema of the compose specification."""
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")
    assert done.returncode == 0, done.stdout


def test_compose_publishes_on_loopback_and_has_no_default_secret() -> None:
    """Compose publishes every port on loopback only.

    Secrets have no defaults: each must be set in the environment.
    """
    text = (DEPLOY / "compose.yaml").read_text()
    (compose,) = documents("compose.yaml")
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)
    named = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "example.env").read_text(), flags=re.MULTILINE))
    for secret in ("POSTGRES_PASSWORD", "RAY_AUTH_TOKEN", "NEFSTUDY_API_TOKEN", "GRAFANA_PASSWORD"):
        assert secret in named
        assert f"${{{secret}:?" in text
        assert f"${{{secret}}}" not in text
        assert f"${{{secret}:-" not in text


def test_every_file_that_compose_mounts_is_there() -> None:
    """Every file that compose mounts exists.

    Docker would create a directory in place of a missing file. Grafana's configuration refers to the mounted files.
    """
    (compose,) = documents("compose.yaml")
    mounts = [
        volume.split(":")
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert len(mounts) == 6
    assert all((DEPLOY / source).exists() and mode == "ro" for source, _, mode in mounts)
    inside = {target for _, target, _ in mounts}
    grafana = REPOSITORY / "dashboards" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((grafana / "datasources" / "nefstudy.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((grafana / "dashboards" / "nefstudy.yaml").read_text())["providers"]
    assert {f"{provider['options']['path']}/{name}.json" for name in ("study", "cluster")} <= inside
    assert source["url"].strip("${}") in compose["services"]["grafana"]["environment"]
    for name in ("study", "cluster"):
        assert f'"{source["uid"]}"' in (REPOSITORY / "dashboards" / "grafana" / f"{name}.json").read_text()


def test_prometheus_scrapes_services_that_compose_runs() -> None:
    """Prometheus scrapes compose services at the ports given on their command lines."""
    (compose,) = documents("compose.yaml")
    (scrapes,) = documents("prometheus.yml")
    jobs = {job["job_name"]: job for job in scrapes["scrape_configs"]}
    (target,) = jobs["nefstudy"]["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert f"--port={port}" in compose["services"][name]["command"]
    for found in jobs["ray"]["dns_sd_configs"]:
        for name in found["names"]:
            assert f"--metrics-export-port={found['port']}" in compose["services"][name]["command"]
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert jobs["nefstudy"]["authorization"]["credentials_file"] == f"/run/secrets/{secret}"


@pytest.mark.parametrize(
    "document", documents("kuberay/platform.yaml"), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_platform_manifests_are_valid(document: dict[str, Any]) -> None:
    """Each object in platform.yaml satisfies the Kubernetes schema in strict mode."""
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["kuberay/raycluster.yaml", "kuberay/rayjob.yaml"])
def test_ray_pods_are_valid_and_guarded(name: str) -> None:
    """Each Ray pod satisfies the Kubernetes schema and does not run as root.

    The cluster requires token authentication.
    """
    spec = cluster_spec(name)
    assert set(spec) <= CLUSTER_NAMES
    assert spec["authOptions"] == {"mode": "token"}
    assert set(spec["headGroupSpec"]) <= HEAD_NAMES
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert set(group) <= WORKER_NAMES
        # the operator rejects start parameters that are numbers, and replicas that are not
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert all(isinstance(value, int) for name, value in group.items() if name.endswith(("replicas", "Replicas")))
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_a_wrong_pod_is_refused() -> None:
    """The validator rejects a misspelled field, which shows that the tests above would detect an invalid manifest."""
    pod = copy.deepcopy(cluster_spec("kuberay/raycluster.yaml")["headGroupSpec"]["template"]["spec"])
    pod["containers"][0]["volumeMount"] = []
    broken = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": pod}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_ray_versions_agree() -> None:
    """The two Ray manifests use the pinned Ray version and describe the same cluster."""
    (pinned,) = re.findall(r"^ray==(.*)$", (REPOSITORY / "constraints.txt").read_text(), flags=re.MULTILINE)
    specs = [cluster_spec(name) for name in ("kuberay/raycluster.yaml", "kuberay/rayjob.yaml")]
    assert [spec["rayVersion"] for spec in specs] == [pinned, pinned]
    assert specs[0] == specs[1]


def test_the_job_retries_and_names_an_absolute_root() -> None:
    """The Ray job is retried after a failure, with the shared directory as its root."""
    (job,) = documents("kuberay/rayjob.yaml")
    assert set(job["spec"]) <= JOB_NAMES
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["entrypoint"].count("--root /data/runs") == 2
    assert "studies/phase1.py" in job["spec"]["entrypoint"]


def test_secret_keys_are_those_the_guide_creates() -> None:
    """The manifests read exactly those Secret keys that the command in the README creates."""
    read = set()
    for path in (DEPLOY / "kuberay").glob("*.yaml"):
        read |= set(re.findall(r"secretKeyRef: \{name: nefstudy-keys, key: ([a-z-]+)\}", path.read_text()))
    made = set(re.findall(r"--from-literal=([a-z-]+)=", (DEPLOY / "README.md").read_text()))
    assert read == made == {"postgres-password", "api-token", "ledger", "mlflow-store"}


@pytest.mark.slow
def test_the_cluster_file_passes_rays_own_check() -> None:
    """Ray's own validation accepts ray-cluster.yaml, whose nodes start with token authentication."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    (config,) = documents("ray-cluster.yaml")
    prepared = prepare_config(config)
    validate_config(prepared)
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("RAY_AUTH_MODE=token" in line for line in prepared[commands])
