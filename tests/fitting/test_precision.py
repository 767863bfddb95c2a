"""Tests of precision: torch's process-wide settings do not change the bytes of a fit."""

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
SETTINGS: dict[str, Callable[[], object]] = {
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "newer matmul": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),  # type: ignore[attr-defined]  # missing in torch's annotations
    "generic": lambda: setattr(torch.backends, "fp32_precision", "bf16"),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "denormals": lambda: torch.set_flush_denormal(True),
}


@pytest.fixture
def fit(signals: Signals) -> Fit:
    """Return a function that fits six digits with a field wide enough to use low-precision matrix routines."""
    siren = complete(FieldConfig(name="siren", params={"hidden": 32}))
    dataset = NeuralDatasetConfig(signals=SignalsConfig(name="digits8", subset=70), field=siren, init="random")
    config = FitConfig(dataset=dataset, rungs=(12,), engine="eager")
    return lambda: fit_fields(build(siren, in_dim=2, out_dim=1), signals, config, rows=np.arange(6))


def state() -> tuple[object, ...]:
    return get_precisions(), torch.is_autocast_enabled("cpu"), flushes_denormals()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore torch's settings after each test."""
    precisions, autocast, flushes = get_precisions(), torch.is_autocast_enabled("cpu"), flushes_denormals()
    yield
    set_precisions(precisions)
    torch.set_autocast_enabled("cpu", autocast)
    torch.set_flush_denormal(flushes)


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_setting_of_the_process_changes_no_byte_of_a_fit(fit: Fit, change: Callable[[], object]) -> None:
    """A changed setting of torch does not change a fit's bytes, and it is still in effect after the fit."""
    fresh = fit()
    change()
    before = state()
    assert fit().parameters.numpy().tobytes() == fresh.parameters.numpy().tobytes()
    assert state() == before


def test_without_the_block_a_setting_changes_bytes(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `full_precision`, autocast changes a fit's bytes."""
    fresh = fit()
    monkeypatch.setattr(fitting, "full_precision", nullcontext)
    torch.set_autocast_enabled("cpu", True)
    assert fit().parameters.numpy().tobytes() != fresh.parameters.numpy().tobytes()


def test_an_error_in_the_block_leaves_the_setting() -> None:
    """If the code under `full_precision` raises an error, the caller's settings are still restored."""
    torch.set_float32_matmul_precision("high")
    with suppress(ZeroDivisionError), full_precision():
        inside = torch.get_float32_matmul_precision()
        raise ZeroDivisionError
    assert (inside, torch.get_float32_matmul_precision()) == ("highest", "high")
