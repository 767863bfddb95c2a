"""Tests of fits that run out of memory: the chunk is halved, and the bytes stay the same."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest

from nefstudy.errors import TrialFailed
from nefstudy.fitting.engines.catalog import ENGINES

FIT = """
import logging, resource, sys
import numpy as np
import torch
torch.set_num_threads(1)
from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import TrialFailed
from nefstudy.fields.catalog import build
from nefstudy.fitting.fit import fit_fields
from nefstudy.signals.catalog import load_signals

logging.basicConfig(stream=sys.stdout, format="%(message)s")
signals = load_signals(SignalsConfig(name="digits8", subset=70))
field = FieldConfig(name="siren", params={"hidden": 1024})
recipe = NeuralDatasetConfig(signals=SignalsConfig(name="digits8"), field=field, init="random")
network = build(field, in_dim=2, out_dim=1)

def fit(chunk, rows, spare_mb):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = resource.RLIM_INFINITY if spare_mb is None else size + spare_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    config = FitConfig(dataset=recipe, rungs=(1,), engine="eager", chunk=chunk)
    return fit_fields(network, signals, config, rows=np.arange(rows)).parameters

free = fit(2, 5, None)
tight = fit(32, 32, 900)
print("equal", torch.equal(tight[:, :5], free))
del free, tight
try:
    fit(32, 32, 20)
except TrialFailed as error:
    print(error.cause, error)
"""


@pytest.mark.slow
@pytest.mark.fault
def test_running_out_of_memory_halves_the_chunk_and_changes_no_byte() -> None:
    """A fit that runs out of memory continues with smaller chunks and yields the same bytes.

    If no chunk is small enough, the trial fails with the cause `oom`.
    """
    run = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert lines[0] == "out of memory with 32 fields at a time; continuing with 16, which changes no result"
    assert "equal True" in lines
    assert lines[-1].startswith("oom out of memory with 2 fields at a time, the fewest that engine eager computes")


@pytest.mark.parametrize("name", ["siren"], indirect=True)
def test_a_compiled_chunk_has_nothing_to_halve(fit: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled program cannot use smaller chunks, so running out of memory fails the trial at once."""
    tries = 0

    def run_out(*_: object) -> NoReturn:
        nonlocal tries
        tries += 1
        raise MemoryError

    monkeypatch.setitem(ENGINES, "compiled", replace(ENGINES["compiled"], advance=run_out))
    with pytest.raises(TrialFailed, match="engine compiled") as failure:
        fit(engine="compiled", chunk=64)
    assert (failure.value.cause, tries) == ("oom", 1)
