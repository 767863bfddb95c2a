"""Tests that the Makefile lists its targets and explains its failures."""

import os
import re
import signal
import socket
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from nefstudy.ledger import Ledger

from ..faults.processes import wait_until

REPOSITORY = Path(__file__).parents[2]


def free_ports(count: int) -> list[int]:
    """Return unused ports on loopback."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def answers(port: int) -> bool:
    """Return whether an HTTP server on loopback serves its front page."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def make(*arguments: str, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make with extra environment variables and return the finished process."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_plain_make_lists_every_target() -> None:
    """`make` alone prints every documented target and runs nothing."""
    run = make()
    assert run.returncode == 0
    documented = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"study", "data", "test", "faults", "check", "serve", "help"} <= set(documented)
    assert all(f"make {target} " in run.stdout for target in documented)


def test_an_old_python_is_refused_by_name(tmp_path: Path) -> None:
    """If Python 3.11 or newer is missing, the error names the version found and the required version."""
    old = tmp_path / "python2"
    old.write_text('#!/bin/sh\ncase "$2" in *platform*) echo 3.9.2;; *) exit 1;; esac\n')
    old.chmod(0o755)
    (tmp_path / "Makefile").write_bytes((REPOSITORY / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    run = make("study", f"PYTHON={old}", cwd=tmp_path)
    assert run.returncode == 2
    assert "error: nefstudy needs Python 3.11 or newer" in run.stderr
    assert "3.9.2" in run.stderr
    assert not (tmp_path / ".venv").exists()


def answers_or_ended(port: int, process: subprocess.Popen[bytes]) -> bool:
    return answers(port) or process.poll() is not None


def test_serving_without_a_study_says_what_to_do(tmp_path: Path) -> None:
    """Without a ledger, the error of `make serve` names the missing file and the command to run first."""
    run = make("serve", "--assume-old=.venv/.installed", f"ROOT={tmp_path}/none", NEFSTUDY_LEDGER="")
    assert run.returncode == 2
    assert "none/ledger.db; run 'make study' first" in run.stderr


@pytest.mark.slow
@pytest.mark.mlflow
def test_serving_a_root_answers_as_page_and_as_mlflow(tmp_path: Path) -> None:
    """`make serve` starts both the study page and the MLflow server of a root.

    SIGTERM to the process group ends both servers.
    """
    Ledger.open(f"sqlite:///{tmp_path}/ledger.db").close()
    ports = free_ports(2)
    command = ["make", "serve", "--assume-old=.venv/.installed", f"ROOT={tmp_path}"]
    command += [f"PORT={ports[0]}", f"MLFLOW_PORT={ports[1]}"]
    environment = os.environ | {"NEFSTUDY_LEDGER": ""}
    with (tmp_path / "log").open("w") as log:
        serving = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for port in ports:
            wait_until(partial(answers_or_ended, port, serving), f"port {port} answers")
        assert serving.poll() is None, (tmp_path / "log").read_text()
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(30)
    wait_until(lambda: not any(map(answers, ports)), "both servers end")


def fake_commands(folder: Path, **outputs: str) -> str:
    """Return a PATH whose first folder has fake commands that log their arguments to `calls` and print given text."""
    for name, output in outputs.items():
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{folder}/calls\necho {output}\n')
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_data_is_installed_as_root_and_else_explained(tmp_path: Path) -> None:
    """When run as root, `make data` installs the package of a missing data set.

    For other users, it prints the command to run. If the data exists, nothing is installed.
    """
    root, user = tmp_path / "root", tmp_path / "user"
    root.mkdir()
    user.mkdir()
    missing = f"FASHION_FOLDER={tmp_path}/nowhere"
    refused = make("data", missing, PATH=fake_commands(user, id="1000"))
    assert refused.returncode == 2
    assert "sudo apt-get install dataset-fashion-mnist" in refused.stderr
    assert "--data fashion-mnist=PATH" in refused.stderr
    path = fake_commands(root, **{"id": "0", "apt-get": ""})
    assert make("data", missing, PATH=path).returncode == 0
    assert (root / "calls").read_text().endswith("--no-install-recommends dataset-fashion-mnist\n")
    (root / "calls").unlink()
    assert make("data", f"FASHION_FOLDER={tmp_path}", PATH=path).returncode == 0
    assert not (root / "calls").exists()


def test_a_part_without_a_test_fails_only_a_run_that_is_not_narrowed(tmp_path: Path) -> None:
    """If pytest finds no test, `make test` fails unless `PYTEST_ARGS` narrows the run.

    A run with a failing test always fails.
    """
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nexit "$CODE"\n')
    python.chmod(0o755)
    (tmp_path / "Makefile").write_bytes((REPOSITORY / "Makefile").read_bytes())
    old = ("--assume-old=.venv/.installed-dev", "SKIP_SYSTEM=1")
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed-dev"):
        (tmp_path / name).touch()
    for target in ("test", "faults"):
        ends = [make(target, *old, f"PYTEST_ARGS={a}", cwd=tmp_path, CODE=c) for a in ("", "-k 'x y'") for c in "015"]
        assert [bool(end.returncode) for end in ends] == [False, True, True, False, True, False]


def test_ci_runs_the_gate_without_input() -> None:
    """The script .ci/run is executable and runs `make lint test` without input."""
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert "make lint test </dev/null" in script.read_text()
