"""Tests of user code that raises, exits or returns garbage.

Such a trial fails without affecting other trials.
"""

import errno
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.config import ClassifierConfig
from nefstudy.fields.field import NeuralField
from nefstudy.ledger import TrialState
from nefstudy.outside_text import ERROR_LENGTH, printable
from nefstudy.study.driver.rules import RULES
from nefstudy.study.space import Categorical
from nefstudy.tasks.classification import run_classification
from nefstudy.tasks.result import TrialResult

from ..stub_tasks import tasks_with
from .invariants import values_of

pytestmark = [pytest.mark.fault, pytest.mark.ray, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(2400)]

NOT_UTF8 = os.fsdecode(b"/data/caf\xe9.png")
HEALTHY = {f"healthy{width}": {"width": width, "depth": 1} for width in (4, 6, 8, 10)}


class MuteError(Exception):
    """An error that cannot be converted to text."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no words")


class Unknown(BaseException):
    """An error that derives directly from BaseException, so `except Exception` does not catch it."""


class UnpicklableError(Exception):
    """An error that cannot be sent to the driver."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("not to be pickled")


def throw(error: BaseException) -> NoReturn:
    raise error


def recurse() -> NoReturn:
    recurse()


def be_terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)  # ends with the process


def leave_a_child() -> None:
    if os.fork() == 0:
        time.sleep(3)
        os._exit(0)


def work_in_a_removed_directory() -> None:
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    folder.rmdir()


def with_metrics(result: TrialResult, **more: Any) -> TrialResult:
    return replace(result, metrics={**result.metrics, **more})


FAILS: dict[str, tuple[Callable[[], object], str]] = {
    "not UTF-8": (lambda: throw(ValueError(f"cannot read {NOT_UTF8}")), "bug"),
    "NUL": (lambda: throw(ValueError("bad header \x00\x01")), "bug"),
    "markup": (lambda: throw(ValueError("[/red] [bold]no such [/nothing] \x1b[2J")), "bug"),
    "30 MB": (lambda: throw(ValueError("x" * 30_000_000)), "bug"),
    "SystemExit": (lambda: sys.exit(0), "bug"),
    "SystemExit with a text": (lambda: sys.exit("gone"), "bug"),
    "KeyboardInterrupt": (lambda: throw(KeyboardInterrupt()), "bug"),
    "GeneratorExit": (lambda: throw(GeneratorExit()), "bug"),
    "a BaseException": (lambda: throw(Unknown("base")), "bug"),
    "mute": (lambda: throw(MuteError()), "bug"),
    "unpicklable": (lambda: throw(UnpicklableError("x")), "bug"),
    "recursion": (recurse, "bug"),
    "no memory": (lambda: throw(MemoryError()), "oom"),
    "EIO": (lambda: throw(OSError(errno.EIO, "Input/output error", NOT_UTF8)), "machine"),
    "_exit": (lambda: os._exit(0), "worker_lost"),
    "SIGTERM": (be_terminated, "worker_lost"),
}
LEAVES: dict[str, Callable[[], object]] = {
    "prints 20 MB": lambda: print("y" * 20_000_000),  # noqa: T201
    "child": leave_a_child,
    "thread": lambda: threading.Thread(target=time.sleep, args=(600,)).start(),
    "directory": work_in_a_removed_directory,
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
}
RETURNS: dict[str, Callable[[TrialResult], object]] = {
    "None": lambda _: None,
    "no accuracy": lambda result: replace(result, metrics={"n": 1.0}),
    "text": lambda result: with_metrics(result, val_accuracy="high"),
    "None as a metric": lambda result: with_metrics(result, test_n=None),
    "10**400": lambda result: with_metrics(result, n=10**400),
    "half a surrogate": lambda result: with_metrics(result, **{"caf\udce9": 1.0}),
    "20,000 metrics": lambda result: with_metrics(result, **{f"n{i}": 1.0 for i in range(20_000)}),
    "None in a curve": lambda result: replace(result, curves={"c": [(0, None)]}),  # type: ignore[list-item]
    "a long curve": lambda result: replace(result, curves={"c": [(i, 1.0) for i in range(2_000_000)]}),
    "a number in the fingerprint": lambda result: replace(result, fingerprint={"n": 5}),  # type: ignore[dict-item]
    "a file elsewhere": lambda result: replace(result, artifacts={"passwd": "../../../etc/passwd"}),
}


@dataclass(frozen=True)
class Hostile:
    """A small MLP that performs a hostile act when it is built."""

    act: str

    def build(self, field: NeuralField, classes: int) -> WeightClassifier:
        if self.act in FAILS:
            FAILS[self.act][0]()
        if self.act in LEAVES:
            LEAVES[self.act]()
        return Mlp(width=8, depth=1).build(field, classes)


def hostile_work(config, *, setting) -> object:
    """Run a trial; if RETURNS contains its hostile act, replace the result with a hostile value."""
    result = run_classification(config, setting=setting)
    replacement = RETURNS.get(config.classifier.params.get("act"))
    return result if replacement is None else replacement(result)


def files_of(root) -> dict[str, bytes]:
    """Return the content of each neural dataset file under a root, by path."""
    folder = root / "neural_datasets"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def plan_of(quick_plan):
    """Return a function that makes a plan with two cells, one with hostile trials and one without.

    The mixed cell has one trial per hostile act among healthy trials.
    """

    def make(acts):
        plan = quick_plan()
        hostile = {
            f"hostile{n}": ClassifierConfig(name="hostile", params={"act": act}, epochs=1) for n, act in enumerate(acts)
        }
        healthy = {name: ClassifierConfig(name="mlp", params=params, epochs=1) for name, params in HEALTHY.items()}
        names = [*hostile, *healthy]
        mixed = sorted(names, key=lambda name: names.index(name) * 7 % (len(names) + 1))
        cell = replace(
            plan.cells[0],
            space={
                "init": Categorical(("shared",)),
                "steps": Categorical((1,)),
                "classifier": Categorical(tuple(mixed)),
            },
            fixed={**plan.cells[0].fixed, "hidden": 4},
            classifiers=hostile | healthy,
        )
        return replace(
            plan,
            cells=(cell, plan.cells[1]),
            classifiers={**CLASSIFIERS, "hostile": Hostile},
            tasks=tasks_with(hostile_work),
        )

    return make


def test_hostile_trials_fail_alone(plan_of, run_here, invariants, tmp_path, monkeypatch):
    """Hostile trials fail without affecting the files and results of healthy trials.

    The study finishes.
    """
    monkeypatch.setitem(RULES, "machine", replace(RULES["machine"], pause_s=0.1, attempts=2))
    run = partial(run_here, max_equal_failures=1000)
    acts = [*FAILS, *LEAVES, *RETURNS]
    run_result = run(plan_of(acts))
    (tmp_path / "healthy").mkdir()
    run(plan_of([]), root=tmp_path / "healthy")
    reference = invariants(tmp_path / "healthy").check(plan=plan_of([]))

    rows = invariants().check()
    assert run_result.state == "finished"
    assert files_of(tmp_path) == files_of(tmp_path / "healthy")
    assert values_of([row for row in rows if row.config["classifier"]["name"] == "mlp"]) == values_of(reference)
    hostile = {
        row.config["classifier"]["params"]["act"]: row for row in rows if row.config["classifier"]["name"] == "hostile"
    }
    assert set(hostile) == set(acts)
    causes = {act: (row.state, row.cause) for act, row in hostile.items() if act not in LEAVES}
    expected = {act: cause for act, (_, cause) in FAILS.items()} | dict.fromkeys(RETURNS, "bug")
    assert causes == {act: (TrialState.FAILED, cause) for act, cause in expected.items()}
    for error in (row.error or "" for row in rows):
        assert len(error) < ERROR_LENGTH + 100
        assert printable(error) == error
