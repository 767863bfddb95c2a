"""Runs the project's commands as a user would: as processes, from the project's root."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_python():
    """Run `python ARGS` from the project's root and return the finished process."""

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
    """Run `nefstudy ARGS --json` and return what it printed."""

    def run(*args, **options):
        return json.loads(run_python("-m", "nefstudy", *args, "--json", **options).stdout)

    return run


@pytest.fixture(scope="session")
def finished_root(tmp_path_factory, run_python):
    """A root in which the tiny study ran to its end."""
    root = tmp_path_factory.mktemp("study")
    run_python("tests/e2e/tiny_study.py", "--root", root, "--study", "tiny")
    return root


class Service:
    """A running service: call it with a path to GET JSON."""

    def __init__(self, address):
        self.address = address

    def __call__(self, path):
        with urllib.request.urlopen(self.address + path, timeout=20) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="session")
def served():
    """Serve a root by `nefstudy serve`, if need be run `within` another command; yields a function that GETs JSON."""

    @contextmanager
    def serve(root, *, within=()):
        command = [*within, sys.executable, "-m", "nefstudy", "serve", "--root", str(root), "--port", "0"]
        with subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as server:
            try:
                said = server.stderr.readline()
                address = re.search(r"http://[^/ ]+", said)
                assert address, said
                yield Service(address[0])
            finally:
                server.terminate()
                server.communicate(timeout=20)

    return serve
