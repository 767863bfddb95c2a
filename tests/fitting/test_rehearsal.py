"""Laws of the rehearsal: an engine that cannot work here is replaced before anything is written, and says so."""

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nefstudy.config import FitConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting import choice, compiled, rehearsal
from nefstudy.fitting.choice import choose
from nefstudy.fitting.compile_cache import why_no_place
from nefstudy.fitting.engines import ENGINES
from nefstudy.fitting.fingerprint import fingerprint
from nefstudy.fitting.fit import fit_fields
from nefstudy.signals.signal import Signals

FitOf = Callable[..., tuple[FitConfig, NeuralField, Signals]]


@pytest.fixture
def fit_of(configure: Callable[..., FitConfig], field: NeuralField, signals: Signals) -> FitOf:
    """A configuration with the field and the signals it is for."""
    return lambda **given: (configure(**given), field, signals)


@pytest.fixture
def break_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[Callable[[Exception], list[object]]]:
    """Make every compilation in this process fail with an error; gives the calls."""

    def broken(error: Exception) -> list[object]:
        calls: list[object] = []

        def fail(*given: object) -> None:
            calls.append(given)
            raise error

        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
        monkeypatch.setattr(compiled, "_inductor", fail)
        monkeypatch.setattr(compiled, "_programs", {})
        monkeypatch.setattr(rehearsal, "_hindrances", {})
        choice._warned.clear()
        why_no_place.cache_clear()
        return calls

    yield broken
    why_no_place.cache_clear()


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_a_machine_that_cannot_compile_fits_eagerly_and_warns_once(
    fit_of: FitOf, caplog, break_compiler, engine: str
) -> None:
    """The bytes and the fingerprint are eager's; the reason is in every fit's log, the warning once a process."""
    calls = break_compiler(OSError("/tmp/x.so: failed to map segment from shared object"))
    config, field, signals = fit_of(engine=engine, rungs=(50_000,))
    with caplog.at_level(logging.INFO):
        choices = [choose(config, field, signals, fields=50_000) for _ in range(3)]
    assert {choice.engine.name for choice in choices} == {"eager"}
    assert fingerprint(config, choices[0].engine)["engine"] == "eager"
    assert all("failed to map segment" in choice.reason for choice in choices)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert len(calls) == 1, "or each fit tries in vain"
    few = fit_of(engine="compiled", rungs=(3,))[0]
    fits = fit_fields(field, signals, few, rows=np.arange(5))
    eager = fit_fields(field, signals, few.model_copy(update={"engine": "eager"}), rows=np.arange(5))
    assert fits.parameters.numpy().tobytes() == eager.parameters.numpy().tobytes()


def test_a_full_disk_chooses_no_engine(fit_of: FitOf, break_compiler) -> None:
    """What may pass fails the attempt by its cause: a retry compiles, and the study keeps its engine."""
    calls = break_compiler(OSError(errno.ENOSPC, "No space left on device"))
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            choose(*fit_of(engine="compiled"), fields=5)
    assert len(calls) == 2


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_without_a_place_for_its_cache_nothing_is_compiled(
    fit_of: FitOf, break_compiler, monkeypatch, engine: str
) -> None:
    """A cache directory that cannot be made is a reason like any other."""
    break_compiler(AssertionError("never reached"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nocache")
    found = choose(*fit_of(engine=engine, rungs=(50_000,)), fields=50_000)
    assert found.engine.name == "eager"
    assert "/proc/nocache" in found.reason


def test_engines_that_compile_nothing_are_not_rehearsed(fit_of: FitOf, break_compiler) -> None:
    """Eager is chosen without a step."""
    break_compiler(AssertionError("never reached"))
    assert rehearsal.hindrance(ENGINES["eager"], *fit_of()) is None


WITHOUT_PLACE = """
import torch
from nefstudy.fitting.compile_cache import why_no_place
print(why_no_place())
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.AdamW([weight])
weight.sum().backward()
optimizer.step()
print(bool((weight < 1).all()))
"""


@pytest.mark.slow
def test_without_a_place_for_compiled_programs_optimizers_still_step() -> None:
    """torch imports its compiler at an optimizer's first step, and that needs a directory."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": "/proc/nocache"}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_PLACE], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1] == "True"
    assert "set TORCHINDUCTOR_CACHE_DIR" in run.stdout
