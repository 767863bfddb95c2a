"""Fixtures that run the project's commands as a user would: as processes in the repository's root."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from ..present import present

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_python():
    """Return a function that runs `python ARGS` in the repository's root and returns the finished process."""

    def run(*args, timeout=240, expect=0, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_", "RAY_"))}
        clean |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200"} | environment
        done = subprocess.run(
            [sys.executable, *map(str, args)],
            cwd=PROJECT,
            env=clean,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    return run


@pytest.fixture(scope="session")
def nefstudy(run_python):
    """Return a function that runs `nefstudy ARGS --json` and returns the parsed output."""

    def run(*args, **options):
        return json.loads(run_python("-m", "nefstudy", *args, "--json", **options).stdout)

    return run


@pytest.fixture(scope="session")
def finished_root(tmp_path_factory, run_python, worker_id):
    """Return a root that contains the finished tiny study; if tests run in parallel, each process has its own copy."""

    def run(root):
        run_python("tests/e2e/tiny_study.py", "--root", root, "--study", "tiny")
        return root

    if worker_id == "master":
        return run(tmp_path_factory.mktemp("study"))
    first = tmp_path_factory.getbasetemp().parent / "finished"
    with FileLock(f"{first}.lock"):
        if not first.exists():
            run(first.with_suffix(".new")).rename(first)
    return shutil.copytree(first, tmp_path_factory.mktemp("study") / "root")


class Service:
    """A running service; calling it with a path returns the JSON response."""

    def __init__(self, address):
        self.address = address

    def __call__(self, path):
        with urllib.request.urlopen(self.address + path, timeout=20) as response:
            return json.loads(response.read())


@pytest.fixture(scope="session")
def served():
    """Return a context manager that runs `nefstudy serve`, optionally wrapped in a command, and yields a client."""

    @contextmanager
    def serve(root, *, within=()):
        command = [*within, sys.executable, "-m", "nefstudy", "serve", "--root", str(root), "--port", "0"]
        with subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as server:
            try:
                line = present(server.stderr).readline()
                address = re.search(r"http://[^/ ]+", line)
                assert address, line
                yield Service(address[0])
            finally:
                server.terminate()
                server.communicate(timeout=20)

    return serve
