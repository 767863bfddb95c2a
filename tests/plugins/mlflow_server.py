"""A root with an MLflow store, and a real MLflow server for that store."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from nefstudy.tracking.export import Runs
from nefstudy.tracking.store import store_of

from ..present import present


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """Create an empty MLflow store once, because that takes seconds, and return its path for copying."""
    root = tmp_path_factory.mktemp("mlflow")
    Runs(present(store_of(str(root))), root=str(root)).check()
    return root / "mlflow.db"


@pytest.fixture
def mlflow_root(tmp_path, empty_store) -> str:
    """Return a root with an initialized MLflow store."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return str(tmp_path)


def is_ready(port: int) -> bool:
    """Return whether an MLflow server is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


class MlflowServer:
    """A real MLflow server for a root's store; calling it starts the server and returns its address."""

    def __init__(self, root: str) -> None:
        self._log = Path(root, "server.log")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", present(store_of(root))]
        self._command = [*command, "--artifacts-destination", f"{root}/served"]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __call__(self) -> str:
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self._log.open("ab") as log:
            process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self._processes.append(process)
        deadline = time.monotonic() + 90
        while not is_ready(self._port):
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.2)
        return f"http://127.0.0.1:{self._port}"

    def kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def send(self, signal_: signal.Signals) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal_)


@pytest.fixture
def mlflow_server(mlflow_root: str) -> Iterator[MlflowServer]:
    """Yield a real MLflow server for the test's store; the test calls the object to start the server."""
    server = MlflowServer(mlflow_root)
    yield server
    server.kill()
