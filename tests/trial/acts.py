"""Actions that change the state of a trial's process."""

import gc
import locale
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable

import numpy as np
import torch

from nefstudy import seeds


def setup_hook() -> None:
    torch.nn.modules.module.register_module_forward_hook(lambda *_: None)


def lambda_for(owner: object, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, lambda *_: None)


def seed_all() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  # the global generator is what a trial may change
    random.seed(1)


ACTS: dict[str, tuple[Callable[[], object], str]] = {
    "dtype": (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), "float32 precision"),
    "newer matmul": (
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),  # type: ignore[attr-defined]  # missing in torch's annotations
        "float32 precision",
    ),
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
"""Each act with the name under which its change is reported."""

QUIET_ACTS: dict[str, Callable[[], object]] = {
    "none": lambda: None,
    "seed": seed_all,
    "warnings": lambda: warnings.simplefilter("error"),
}
"""Acts that are undone without being reported."""
