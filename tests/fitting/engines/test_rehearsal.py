"""Tests of the rehearsal, which tries an engine before anything is written and falls back to another if it fails."""

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import FitConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.engines import choice as choosing
from nefstudy.fitting.engines import compiled, rehearsal
from nefstudy.fitting.engines.catalog import ENGINES
from nefstudy.fitting.engines.choice import choose
from nefstudy.fitting.engines.compile_cache import cache_unusable_reason
from nefstudy.fitting.fingerprint import fingerprint
from nefstudy.fitting.fit import fit_fields
from nefstudy.signals.signal import Signals

FitOf = Callable[..., tuple[FitConfig, NeuralField, Signals]]


@pytest.fixture
def fit_of(configure: Callable[..., FitConfig], field: NeuralField, signals: Signals) -> FitOf:
    """Return a function that returns a fit configuration, its field and its signals."""
    return lambda **given: (configure(**given), field, signals)


@pytest.fixture
def break_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[Callable[[Exception], list[object]]]:
    """Return a function that makes every compilation in this process fail and returns the list of calls."""

    def broken(error: Exception) -> list[object]:
        calls: list[object] = []

        def fail(*given: object) -> None:
            calls.append(given)
            raise error

        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
        monkeypatch.setattr(compiled, "_inductor", fail)
        monkeypatch.setattr(compiled, "_programs", {})
        monkeypatch.setattr(rehearsal, "_unusable_reasons", {})
        choosing._warned.clear()
        cache_unusable_reason.cache_clear()
        return calls

    yield broken
    cache_unusable_reason.cache_clear()


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_a_machine_that_cannot_compile_fits_eagerly_and_warns_once(
    fit_of: FitOf, caplog, break_compiler, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """If compilation fails, every fit uses the eager engine and states the reason. Only one warning appears.

    The bytes and the fingerprint equal the eager engine's.
    """
    calls = break_compiler(OSError("/tmp/x.so: failed to map segment from shared object"))
    monkeypatch.delitem(ENGINES, "native")
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


def test_a_library_torn_at_every_attempt_is_replaced_by_eager(
    fit_of: FitOf, caplog, break_compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If every compilation leaves a truncated library, compilation is retried a limited number of times.

    After that, fits use the eager engine and state the reason.
    """
    library = tmp_path / "ab/abc.main.so"
    library.parent.mkdir()

    def tear(*given: object) -> None:
        calls.append(given)
        library.write_bytes(b"")
        raise ImportError(f"{library}: file too short")

    calls = break_compiler(AssertionError("never reached"))
    monkeypatch.setattr(compiled, "_inductor", tear)
    choices = [choose(*fit_of(engine="compiled"), fields=5) for _ in range(2)]
    assert len(calls) == compiled.TRIES
    assert {choice.engine.name for choice in choices} == {"eager"}
    assert all("file too short" in choice.reason for choice in choices)
    assert len([record for record in caplog.records if "cannot be used" in record.message]) == 1


def test_a_full_disk_chooses_no_engine(fit_of: FitOf, break_compiler) -> None:
    """A temporary error, such as a full disk, fails the attempt without switching the engine. The retry compiles."""
    calls = break_compiler(OSError(errno.ENOSPC, "No space left on device"))
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            choose(*fit_of(engine="compiled"), fields=5)
    assert len(calls) == 2


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_without_a_place_for_its_cache_nothing_is_compiled(
    fit_of: FitOf, break_compiler, monkeypatch, engine: str
) -> None:
    """If the cache directory cannot be created, fits run eagerly and the reason names the directory."""
    break_compiler(AssertionError("never reached"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/nocache")
    choice = choose(*fit_of(engine=engine, rungs=(50_000,)), fields=50_000)
    assert choice.engine.name == "eager"
    assert "/proc/nocache" in choice.reason


def test_engines_that_compile_nothing_are_not_rehearsed(fit_of: FitOf, break_compiler) -> None:
    """The eager engine needs no rehearsal, because it compiles nothing."""
    break_compiler(AssertionError("never reached"))
    assert rehearsal.unusable_reason(ENGINES["eager"], *fit_of()) is None


WITHOUT_PLACE = """
import torch
from nefstudy.fitting.engines.compile_cache import cache_unusable_reason
print(cache_unusable_reason())
weight = torch.nn.Parameter(torch.ones(2))
optimizer = torch.optim.AdamW([weight])
weight.sum().backward()
optimizer.step()
print(bool((weight < 1).all()))
"""


@pytest.mark.slow
def test_without_a_place_for_compiled_programs_optimizers_still_step() -> None:
    """Optimizers, which import the compiler at their first step, work without a cache directory."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": "/proc/nocache"}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_PLACE], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[1] == "True"
    assert "set TORCHINDUCTOR_CACHE_DIR" in run.stdout
