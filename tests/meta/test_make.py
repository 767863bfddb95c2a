"""The Makefile says what it can do, and what is wrong when it cannot."""

import os
import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def make(*arguments: str, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make with extra environment and return what it said."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_plain_make_lists_every_target() -> None:
    """`make` alone prints each documented target and runs nothing."""
    told = make()
    assert told.returncode == 0
    documented = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"study", "test", "faults", "check", "serve", "help"} <= set(documented)
    assert all(f"make {target} " in told.stdout for target in documented)


def test_an_old_python_is_refused_by_name(tmp_path: Path) -> None:
    """With no Python of 3.11 or newer, one line names what was found, what is needed and what to type."""
    old = tmp_path / "python2"
    old.write_text('#!/bin/sh\ncase "$2" in *platform*) echo 3.9.2;; *) exit 1;; esac\n')
    old.chmod(0o755)
    (tmp_path / "Makefile").write_bytes((REPOSITORY / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    told = make("study", f"PYTHON={old}", cwd=tmp_path)
    assert told.returncode == 2
    assert "error: nefstudy needs Python 3.11 or newer" in told.stderr
    assert "3.9.2" in told.stderr
    assert not (tmp_path / ".venv").exists()


def test_serving_without_a_study_says_what_to_do(tmp_path: Path) -> None:
    """`make serve` on an empty root names it and the way out."""
    told = make("serve", "--assume-old=.venv/.installed", f"ROOT={tmp_path}/none", NEFSTUDY_LEDGER="")
    assert told.returncode == 2
    assert "none/ledger.db; run 'make study' first" in told.stderr


def test_a_part_without_a_test_fails_only_a_run_that_is_not_narrowed(tmp_path: Path) -> None:
    """With PYTEST_ARGS pytest's exit code 5 (no test matched) is not a failure; without them it is, as 1 always is."""
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
    """.ci/run can be executed and is `make lint test`."""
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert "make lint test </dev/null" in script.read_text()
