"""Tests of the choice of an engine for a fit."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._inductor import config as inductor

from nefstudy.config import FitConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren
from nefstudy.fitting.cost import RATES, FitWork, fit_seconds
from nefstudy.fitting.engines import catalog as engines
from nefstudy.fitting.engines import choice as choosing
from nefstudy.fitting.engines.choice import choose
from nefstudy.fitting.engines.native import engine as native
from nefstudy.signals.signal import Signals

Configure = Callable[..., FitConfig]


@pytest.fixture(autouse=True)
def unrehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the rehearsal that tries an engine, so that nothing is compiled."""
    monkeypatch.setattr(choosing, "unusable_reason", lambda engine, _, field, __: engine.unsupported_reason(field))
    choosing._warned.clear()


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the native engine, as for a field that it does not cover."""
    monkeypatch.delitem(engines.ENGINES, "native")


@pytest.mark.parametrize(("fields", "steps"), [(2, 1), (50_000, 50_000)])
def test_native_is_chosen_for_what_it_covers(
    configure: Configure, field: NeuralField, signals: Signals, fields: int, steps: int
) -> None:
    """`auto` chooses the native engine for a field that it covers, however small or large the fit is."""
    choice = choose(configure(engine="auto", rungs=(steps,)), field, signals, fields=fields)
    assert choice.engine.name == "native"
    assert choice.reason.startswith("fastest by estimate (eager ")


def test_other_fields_are_fitted_by_another_engine(
    configure: Configure, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` chooses another engine for a field or a loss that the native engine does not cover, and says why."""
    config = configure(engine="auto", rungs=(50_000,))
    wide = choose(config, Siren(2, 1, hidden=300), signals, fields=50_000)
    assert wide.engine.name == "compiled"
    assert "not native: hidden = 300 is more than the 256 that it covers" in wide.reason
    monkeypatch.setattr(native, "LOSSES", {"bce": 1})
    other = choose(config, Siren(2, 1), signals, fields=50_000)
    assert other.engine.name == "compiled"
    assert "not native: loss 'mse' is not covered, only bce" in other.reason


@pytest.mark.usefixtures("no_native")
def test_little_work_is_not_worth_compiling_for(configure: Configure, field: NeuralField, signals: Signals) -> None:
    """`auto` chooses the eager engine for few steps and the compiled engine for many steps.

    The reason states the estimates of both.
    """
    few = choose(configure(engine="auto", rungs=(5,)), field, signals, fields=20)
    many = choose(configure(engine="auto", rungs=(5, 50_000)), field, signals, fields=50_000)
    assert few.engine.name == "eager"
    assert many.engine.name == "compiled"
    assert "eager" in few.reason
    assert "compiled" in few.reason


def test_what_is_ready_is_used_for_less_work(field: NeuralField) -> None:
    """An existing compiled program lowers the estimated time of a fit by the compile time minus the load time."""
    work = FitWork(fields=1000, steps=100, points=64)
    cold, warm = (fit_seconds(field, work, engine="compiled", lanes=16, ready=ready) for ready in (False, True))
    assert cold - warm == pytest.approx(RATES["compiled"].compile_s - RATES["compiled"].load_s)


def test_fits_of_one_shape_share_what_compiling_costs(field: NeuralField) -> None:
    """The compile time is divided among the fits of one shape. With very many fits, only the load time remains."""
    work = FitWork(fields=1000, steps=100, points=64)

    def seconds(fits: int) -> float:
        return fit_seconds(field, work, engine="compiled", lanes=16, ready=False, fits=fits)

    once = RATES["compiled"].compile_s - RATES["compiled"].load_s
    assert seconds(1) - seconds(4) == pytest.approx(0.75 * once)
    loaded = fit_seconds(field, work, engine="compiled", lanes=16, ready=True)
    assert seconds(10**6) == pytest.approx(loaded, rel=1e-3)


@pytest.mark.usefixtures("no_native")
def test_ranks_and_fits_of_a_study_choose_alike(
    configure: Configure, field: NeuralField, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing compiled program affects the engine choice of a single fit only, not of ranks or fits of a study."""
    config = configure(engine="auto", rungs=(1,))
    free = replace(RATES["compiled"], load_s=0.0, call=0.0, activation=0.0, sincos=0.0)
    monkeypatch.setitem(RATES, "compiled", free)
    ready = replace(engines.ENGINES["compiled"], is_ready=lambda *_: True)
    monkeypatch.setitem(engines.ENGINES, "compiled", ready)
    assert choose(config, field, signals, fields=50).engine.name == "compiled"
    assert choose(config, field, signals, fields=50, ranks=2).engine.name == "eager"
    of_study = config.model_copy(update={"fits_per_shape": 1})
    assert choose(of_study, field, signals, fields=50).engine.name == "eager"
    many = of_study.model_copy(update={"fits_per_shape": 10**9})
    assert choose(many, field, signals, fields=50).engine.name == "compiled"


def test_an_engine_that_is_not_there_is_refused(
    configure: Configure, field: NeuralField, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuring an unavailable engine raises an error that lists the available engines."""
    monkeypatch.delitem(engines.ENGINES, "fused")
    with pytest.raises(BadConfig, match=r"'fused'.*: auto, eager, compiled"):
        choose(configure(engine="fused"), field, signals, fields=5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("engine", ["auto", "fused"])
def test_without_a_device_another_engine_takes_over_and_says_so(
    configure: Configure, field: NeuralField, signals: Signals, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    """On a machine without a CUDA device, another engine is used and the reason is logged."""
    with caplog.at_level(logging.INFO):
        choice = choose(configure(engine=engine), field, signals, fields=50)
    assert choice.engine.name == ("native" if engine == "auto" else "eager")
    assert "there is no CUDA device" in choice.reason
    assert "there is no CUDA device" in caplog.text


@pytest.mark.parametrize("engine", ["auto", "compiled", "native"])
def test_without_a_compiler_eager_takes_over_and_says_so(  # noqa: PLR0917  # fixtures
    configure: Configure,
    field: NeuralField,
    signals: Signals,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    """On a machine without a C++ compiler, the eager engine is used and the reason is logged."""
    assert all(engines.ENGINES[name].unsupported_reason(field) is None for name in ("compiled", "native"))
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with inductor.patch({"cpp.cxx": (None, "/nowhere/g++")}), caplog.at_level(logging.INFO):
        choice = choose(configure(engine=engine, rungs=(50_000,)), field, signals, fields=50_000)
    assert choice.engine.name == "eager"
    assert "no C++ compiler /nowhere/g++" in choice.reason
    assert "no C++ compiler /nowhere/g++" in caplog.text


def test_a_field_without_written_gradient_is_fitted_eagerly(configure: Configure, signals: Signals) -> None:
    """A user-defined field without `loss_gradient` is fitted eagerly, and the reason names the missing method."""

    class Bare:
        in_dim, out_dim = 2, 1
        layout: tuple[Any, ...] = ()
        symmetry = None

        def init(self, rng: object) -> None: ...

        def forward(self, params: object, points: object) -> None: ...

    choice = choose(configure(engine="auto"), Bare(), signals, fields=5)  # type: ignore[arg-type]  # bare on purpose
    assert choice.engine.name == "eager"
    assert "Bare has no written loss_gradient" in choice.reason
