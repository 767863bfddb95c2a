"""Laws of the process that trials share: what one leaves behind is named and undone."""

import gc
import locale
import os
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nefstudy import seeds
from nefstudy.trial.process_state import kept


def fold(tmp: Path) -> None:
    """Leave the process in a directory that is gone."""
    folder = tmp / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


def setup_hook() -> None:
    torch.nn.modules.module.register_module_forward_hook(lambda *_: None)


def lambda_for(owner: object, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, lambda *_: None)


ACTS: dict[str, tuple[Callable[[], object], str]] = {
    "dtype": (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), "float32 precision"),
    "newer matmul": (lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"), "float32 precision"),
    "grad": (lambda: torch.set_grad_enabled(False), "grad mode"),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), "autocast"),
    "device": (lambda: torch.set_default_device("meta"), "default device"),
    "denormals": (lambda: torch.set_flush_denormal(True), "flushing of denormals"),
    "deterministic": (lambda: torch.use_deterministic_algorithms(True), "deterministic algorithms"),
    "mkldnn": (lambda: setattr(torch.backends.mkldnn, "enabled", False), "mkldnn"),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), "anomaly detection"),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "threads of torch"),
    "recursion": (lambda: sys.setrecursionlimit(200), "recursion limit"),
    "numpy": (lambda: np.seterr(all="raise"), "NumPy's error state"),
    "locale": (
        lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(0) != "C.UTF-8" else "C"),
        "locale",
    ),
    "umask": (lambda: os.umask(0o007), "umask"),
    "collection": (gc.disable, "garbage collection"),
    "hook": (setup_hook, "hooks of all modules"),
    "method": (lambda_for(torch.nn.Linear, "reset_parameters"), "Linear.reset_parameters"),
    "hidden method": (lambda_for(torch.nn.Linear, "__call__"), "Linear.__call__"),
    "function": (lambda_for(torch.nn.functional, "gelu"), "torch.nn.functional.gelu"),
    "own function": (lambda_for(seeds, "integer"), "nefstudy.seeds.integer"),
    "thread": (lambda: threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start(), "thread "),
}


@pytest.fixture(autouse=True)
def locale_kept():
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_what_a_trial_changes_is_named_and_undone(act: tuple[Callable[[], object], str]) -> None:
    """After the trial the same check finds nothing; also where the trial raises."""
    do, name = act
    changes: list[str] = []
    with pytest.raises(ZeroDivisionError), kept(changes, seed=0):  # noqa: PT012
        do()
        raise ZeroDivisionError
    assert [change for change in changes if change.startswith(name)], changes
    again: list[str] = []
    with kept(again, seed=0):
        pass
    assert again == []


def test_a_removed_working_directory_is_left(tmp_path, monkeypatch) -> None:
    """The next trial runs where this one began."""
    monkeypatch.chdir(tmp_path)
    changes: list[str] = []
    with kept(changes, seed=0):
        fold(tmp_path)
    assert changes == ["working directory"]
    assert Path.cwd() == tmp_path


def test_what_libraries_change_late_is_undone_and_not_counted() -> None:
    """Warnings filters and environment are restored; the process may be used again."""
    changes: list[str] = []
    before = list(warnings.filters), dict(os.environ)
    with kept(changes, seed=0):
        warnings.simplefilter("error")
        os.environ["NEFSTUDY_LEFT"] = "1"
        del os.environ["PATH"]
    assert changes == []
    assert (list(warnings.filters), dict(os.environ)) == before


def test_every_trial_starts_with_the_state_of_a_fresh_torch() -> None:
    """What was set before a trial does not reach it, also within another one, and is there again after it."""
    torch.set_default_dtype(torch.float64)
    try:
        with kept(seed=0):
            assert torch.get_default_dtype() is torch.float32
            torch.set_float32_matmul_precision("medium")
            with kept(seed=0):
                assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def drawn() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002


def test_global_generators_depend_on_the_trials_seed_alone_and_continue_after_it() -> None:
    """User code that draws from them is repeatable; the caller's own numbers are not touched."""
    found = []
    for seed in (1, 1, 2):
        with kept(seed=seed):
            found.append(drawn())
        drawn()
    assert found[0] == found[1] != found[2]
    state = random.getstate()
    with kept(seed=3):
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
from nefstudy.trial.process_state import kept
root = tempfile.mkdtemp()
signals = pin(SignalsConfig(name="digits8", subset=120))
for name in ("siren", "mfn"):
    siren = field(FieldConfig(name=name, params={"hidden": 8}))
    data = NeuralDatasetConfig(signals=signals, field=siren, init="shared")
    reader = classifier(ClassifierConfig(name="gnn-sign", epochs=1))
    trial = ClassificationConfig(dataset=data, steps=2, classifier=reader)
    changes = []
    with kept(changes, seed=0):
        run_classification(trial, setting=Setting(root=root, clock=time.monotonic, engine=sys.argv[1]))
    print(changes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["eager", pytest.param("compiled", marks=pytest.mark.compiled)])
def test_a_healthy_trial_changes_nothing(engine: str, tmp_path) -> None:
    """Also the first one of a process, in which libraries load what they need: its process is used again."""
    command = [sys.executable, "-W", "ignore", "-c", HEALTHY, engine]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=280)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
