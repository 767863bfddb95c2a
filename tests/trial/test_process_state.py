"""Tests of trials that share a process: the changes made by each trial are named and undone."""

import locale
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nefstudy.trial.process_state import isolated

from .acts import ACTS


def fold(tmp: Path) -> None:
    """Create a directory, change into it and remove it."""
    folder = tmp / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


@pytest.fixture(autouse=True)
def restored_locale():
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_changes_of_a_trial_are_named_and_undone(act: tuple[Callable[[], object], str]) -> None:
    """A trial's change to its process is reported and undone, even if the trial raises an error."""
    do, name = act
    changes: list[str] = []
    with pytest.raises(ZeroDivisionError), isolated(changes, seed=0):  # noqa: PT012
        do()
        raise ZeroDivisionError
    assert [change for change in changes if change.startswith(name)], changes
    later: list[str] = []
    with isolated(later, seed=0):
        pass
    assert later == []


def test_a_removed_working_directory_is_restored(tmp_path, monkeypatch) -> None:
    """After a trial removes its working directory, the process is back in the original directory."""
    monkeypatch.chdir(tmp_path)
    changes: list[str] = []
    with isolated(changes, seed=0):
        fold(tmp_path)
    assert changes == ["working directory"]
    assert Path.cwd() == tmp_path


def test_late_changes_of_libraries_are_undone_and_not_reported() -> None:
    """A trial's changes to warning filters and environment variables are undone, but not reported.

    They do not prevent reuse of the process.
    """
    changes: list[str] = []
    before = list(warnings.filters), dict(os.environ)
    with isolated(changes, seed=0):
        warnings.simplefilter("error")
        os.environ["NEFSTUDY_LEFT"] = "1"
        del os.environ["PATH"]
    assert changes == []
    assert (list(warnings.filters), dict(os.environ)) == before


def test_every_trial_starts_with_the_defaults_of_torch() -> None:
    """Every trial, even a nested one, starts with torch's default settings.

    Earlier settings are restored after the trial.
    """
    torch.set_default_dtype(torch.float64)
    try:
        with isolated(seed=0):
            assert torch.get_default_dtype() is torch.float32
            torch.set_float32_matmul_precision("medium")
            with isolated(seed=0):
                assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def drawn() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002


def test_global_generators_depend_on_the_trials_seed_only() -> None:
    """Random draws in user code depend only on the trial's seed.

    The caller's random generators are restored.
    """
    draws = []
    for seed in (1, 1, 2):
        with isolated(seed=seed):
            draws.append(drawn())
        drawn()
    assert draws[0] == draws[1] != draws[2]
    state = random.getstate()
    with isolated(seed=3):
        drawn()
    assert random.getstate() == state


HEALTHY = """
import tempfile, time, sys, torch
torch.set_num_threads(1)
from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.classifiers.catalog import complete as classifier
from nefstudy.fields.catalog import complete as field
from nefstudy.signals.catalog import pin
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.setting import Setting
from nefstudy.trial.process_state import isolated
root = tempfile.mkdtemp()
signals = pin(SignalsConfig(name="digits8", subset=120))
for name in ("siren", "mfn"):
    siren = field(FieldConfig(name=name, params={"hidden": 8}))
    data = NeuralDatasetConfig(signals=signals, field=siren, init="shared")
    reader = classifier(ClassifierConfig(name="gnn-sign", epochs=1))
    trial = ClassificationConfig(dataset=data, steps=2, classifier=reader)
    changes = []
    with isolated(changes, seed=0):
        run_classification(trial, setting=Setting(root=root, clock=time.monotonic, engine=sys.argv[1]))
    print(changes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["eager", "native", pytest.param("compiled", marks=pytest.mark.compiled)])
def test_a_healthy_trial_changes_nothing(engine: str, tmp_path) -> None:
    """A healthy trial reports no change, even if it is the first in its process and thus initializes the libraries."""
    command = [sys.executable, "-W", "ignore", "-c", HEALTHY, engine]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=280)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
