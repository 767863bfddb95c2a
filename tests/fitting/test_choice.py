"""Which engine a fit gets."""

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
from nefstudy.fitting import choice as choosing
from nefstudy.fitting import compiled, engines
from nefstudy.fitting.choice import choose
from nefstudy.fitting.cost import RATES, Work, fit_seconds
from nefstudy.signals.signal import Signals

Configure = Callable[..., FitConfig]


@pytest.fixture(autouse=True)
def unrehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices by estimates alone: nothing is compiled for them."""
    monkeypatch.setattr(choosing, "hindrance", lambda engine, _config, field, _signals: engine.why_not(field))
    choosing._warned.clear()


def test_little_work_is_not_worth_compiling_for(configure: Configure, field: NeuralField, signals: Signals) -> None:
    """`auto` takes eager for a handful of steps, compiled for very many, and says what it expected of each."""
    few = choose(configure(engine="auto", rungs=(5,)), field, signals, fields=20)
    many = choose(configure(engine="auto", rungs=(5, 50_000)), field, signals, fields=50_000)
    assert few.engine.name == "eager"
    assert many.engine.name == "compiled"
    assert "eager" in few.reason
    assert "compiled" in few.reason


def test_what_is_ready_is_used_for_less_work(field: NeuralField) -> None:
    """The break-even lies lower once the program has been compiled before."""
    work = Work(fields=1000, steps=100, points=64)
    cold, warm = (fit_seconds(field, work, engine="compiled", lanes=16, ready=ready) for ready in (False, True))
    assert cold - warm == pytest.approx(RATES["compiled"].ready - RATES["compiled"].ready_again)


def test_fits_of_one_shape_share_what_compiling_costs(field: NeuralField) -> None:
    """Each pays its part of compiling, and loads what was compiled; ever more fits come down to loading alone."""
    work = Work(fields=1000, steps=100, points=64)

    def seconds(fits: int) -> float:
        return fit_seconds(field, work, engine="compiled", lanes=16, ready=False, fits=fits)

    once = RATES["compiled"].ready - RATES["compiled"].ready_again
    assert seconds(1) - seconds(4) == pytest.approx(0.75 * once)
    loaded = fit_seconds(field, work, engine="compiled", lanes=16, ready=True)
    assert seconds(10**6) == pytest.approx(loaded, rel=1e-3)


def test_ranks_and_fits_of_a_study_choose_alike(
    configure: Configure, field: NeuralField, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one machine has compiled before counts for a fit alone, not for one of several ranks or of a study."""
    config = configure(engine="auto", rungs=(1,))
    free = replace(RATES["compiled"], ready_again=0.0, call=0.0, activation=0.0, wave=0.0)
    monkeypatch.setitem(RATES, "compiled", free)
    ready = replace(engines.ENGINES["compiled"], is_ready=lambda *_: True)
    monkeypatch.setitem(engines.ENGINES, "compiled", ready)
    assert choose(config, field, signals, fields=50).engine.name == "compiled"
    assert choose(config, field, signals, fields=50, ranks=2).engine.name == "eager"
    of_study = config.model_copy(update={"fits": 1})
    assert choose(of_study, field, signals, fields=50).engine.name == "eager"
    assert choose(of_study.model_copy(update={"fits": 10**9}), field, signals, fields=50).engine.name == "compiled"


def test_an_engine_that_is_not_there_is_refused(
    configure: Configure, field: NeuralField, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named engine this build lacks is refused with those it has, not replaced in silence."""
    monkeypatch.delitem(engines.ENGINES, "fused")
    with pytest.raises(BadConfig, match="engine 'fused' is not available here; allowed: auto, eager, compiled"):
        choose(configure(engine="fused"), field, signals, fields=5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("engine", ["auto", "fused"])
def test_without_a_device_another_engine_takes_over_and_says_so(
    configure: Configure, field: NeuralField, signals: Signals, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    """A machine without a CUDA device fits by another engine, with the reason in the log."""
    with caplog.at_level(logging.INFO):
        choice = choose(configure(engine=engine), field, signals, fields=50)
    assert choice.engine.name == "eager"
    assert "there is no CUDA device" in choice.reason
    assert "there is no CUDA device" in caplog.text


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_without_a_compiler_eager_takes_over_and_says_so(
    configure: Configure, field: NeuralField, signals: Signals, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    """A machine without a C++ compiler fits by the eager engine, with the reason in the log."""
    assert compiled.why_not(field) is None
    with inductor.patch({"cpp.cxx": (None, "/nowhere/g++")}), caplog.at_level(logging.INFO):
        choice = choose(configure(engine=engine, rungs=(50_000,)), field, signals, fields=50_000)
    assert choice.engine.name == "eager"
    assert "no C++ compiler /nowhere/g++" in choice.reason
    assert "no C++ compiler /nowhere/g++" in caplog.text


def test_a_field_without_written_gradient_is_fitted_eagerly(configure: Configure, signals: Signals) -> None:
    """A field of one's own need not write its gradient out; the reason says that it could."""

    class Bare:
        in_dim, out_dim = 2, 1
        layout: tuple[Any, ...] = ()
        symmetry = None

        def init(self, rng: object) -> None: ...

        def forward(self, params: object, points: object) -> None: ...

    choice = choose(configure(engine="auto"), Bare(), signals, fields=5)  # type: ignore[arg-type]  # bare on purpose
    assert choice.engine.name == "eager"
    assert "Bare has no written loss_gradient" in choice.reason
