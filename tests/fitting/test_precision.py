"""Laws of precision: no setting of the process gives a fit other bytes."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress

import numpy as np
import pytest
import torch

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.fitting import fit as fitting
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.fitting.precision import flushes_denormals, full_precision, get_precisions, set_precisions
from nefstudy.signals.signal import Signals

Fit = Callable[[], Fits]
ACTS: dict[str, Callable[[], object]] = {
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "newer matmul": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "generic": lambda: setattr(torch.backends, "fp32_precision", "bf16"),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "denormals": lambda: torch.set_flush_denormal(True),
}


@pytest.fixture
def fit(signals: Signals) -> Fit:
    """Fit six digits by a field that is wide enough for matrix routines of lower precision."""
    siren = complete(FieldConfig(name="siren", params={"hidden": 32}))
    dataset = NeuralDatasetConfig(signals=SignalsConfig(name="digits8", subset=70), field=siren, init="random")
    config = FitConfig(dataset=dataset, rungs=(12,), engine="eager")
    return lambda: fit_fields(build(siren, in_dim=2, out_dim=1), signals, config, rows=np.arange(6))


def state() -> tuple[object, ...]:
    return get_precisions(), torch.is_autocast_enabled("cpu"), flushes_denormals()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Keep the acts of a test from the next one."""
    precisions, autocast, flushes = get_precisions(), torch.is_autocast_enabled("cpu"), flushes_denormals()
    yield
    set_precisions(precisions)
    torch.set_autocast_enabled("cpu", autocast)
    torch.set_flush_denormal(flushes)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_a_setting_of_the_process_changes_no_byte_of_a_fit(fit: Fit, act: Callable[[], object]) -> None:
    """A fit outside a trial equals one in a fresh process, and the caller's setting is there again after it."""
    fresh = fit()
    act()
    before = state()
    assert fit().parameters.numpy().tobytes() == fresh.parameters.numpy().tobytes()
    assert state() == before


def test_without_the_block_a_setting_changes_bytes(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings matter: autocast alone changes every field."""
    fresh = fit()
    monkeypatch.setattr(fitting, "full_precision", nullcontext)
    torch.set_autocast_enabled("cpu", True)
    assert fit().parameters.numpy().tobytes() != fresh.parameters.numpy().tobytes()


def test_an_error_in_the_block_leaves_the_setting() -> None:
    """The caller's state is restored where the block raises."""
    torch.set_float32_matmul_precision("high")
    with suppress(ZeroDivisionError), full_precision():
        inside = torch.get_float32_matmul_precision()
        raise ZeroDivisionError
    assert (inside, torch.get_float32_matmul_precision()) == ("highest", "high")
