"""A ledger with results in it, and a real MLflow store to export them to."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.ledger import Ledger
from nefstudy.tasks.classification import ClassificationConfig
from nefstudy.tracking import Runs, store_of

from ..ledger.records import as_record


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow store without runs: creating one takes seconds, copying it none."""
    root = tmp_path_factory.mktemp("mlflow")
    Runs(store_of(str(root)), root=str(root)).check()
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, empty_store) -> str:
    """A root whose MLflow store is ready."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return str(tmp_path)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("digits", {}, cells={})
        yield ledger


@pytest.fixture
def runs(root):
    """All active runs of an experiment of the test's store."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_of(root))

    def search(experiment: str = "digits/digits8/siren/phase1", where: str = "") -> list:
        found = client.get_experiment_by_name(experiment)
        return client.search_runs([found.experiment_id], filter_string=where) if found else []

    search.client, search.root = client, root
    return search


@pytest.fixture
def make() -> Callable[..., ClassificationConfig]:
    """Makes trials that differ by seed or field."""

    def made(seed: int = 0, *, field: str = "siren") -> ClassificationConfig:
        signals = SignalsConfig(name="digits8", content="c0ffee")
        of_field = FieldConfig(name=field, params={"hidden": 16, "omega_0": 9.0})
        dataset = NeuralDatasetConfig(signals=signals, field=of_field, init="shared")
        return ClassificationConfig(dataset=dataset, steps=75, seed=seed)

    return made


@pytest.fixture
def finish(make) -> Callable[..., ClassificationConfig]:
    """Takes a trial of phase 1 through its whole life."""

    def run(ledger: Ledger, seed: int = 0, **options) -> ClassificationConfig:
        made = make(seed)
        token = ledger.trials.request("digits", "phase1", record=as_record(made))
        ledger.trials.start("digits", "phase1", key=made.key, token=token)
        metrics = {"val_accuracy": 0.1 + seed / 100, "test_accuracy": 0.1, "all_psnr": 20.0 + seed}
        ledger.trials.complete("digits", "phase1", key=made.key, token=token, **({"metrics": metrics} | options))
        return made

    return run


@pytest.fixture
def picture(root) -> Callable[[], dict[str, str]]:
    """Leaves a picture under the root, as a trial does, and a file that is none."""

    def leave() -> dict[str, str]:
        Path(root, "trials").mkdir(exist_ok=True)
        Path(root, "trials", "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        return {"reconstruction.png": "trials/a.png", "weights.safetensors": "trials/a.safetensors"}

    return leave


def answers(port: int) -> bool:
    """Whether an MLflow server is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture
def server(root):
    """A real MLflow server on the test's store, which can be killed and started again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store_of(root), "--artifacts-destination", f"{root}/served"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    processes: list[subprocess.Popen] = []

    def start() -> str:
        with Path(root, "server.log").open("ab") as log:
            options = {"env": environment, "stdout": log, "stderr": log, "start_new_session": True}
            processes.append(subprocess.Popen(command, **options))
        deadline = time.monotonic() + 90
        while not answers(port):
            assert time.monotonic() < deadline, Path(root, "server.log").read_text()
            time.sleep(0.2)
        return f"http://127.0.0.1:{port}"

    def kill() -> None:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def send(how: signal.Signals) -> None:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, how)

    start.kill, start.send = kill, send
    yield start
    kill()
