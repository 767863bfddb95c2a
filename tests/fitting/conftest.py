from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, SignalsConfig
from nefstudy.fields.catalog import build
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

from .small_fits import SMALL, fit_config

Fit = Callable[..., Fits]


@pytest.fixture(scope="session")
def signals() -> Signals:
    """Return seventy 8x8 digits."""
    return load_signals(SignalsConfig(name="digits8", subset=70))


@pytest.fixture(params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def field(name: str) -> NeuralField:
    return build(FieldConfig(name=name, params=SMALL[name]), in_dim=2, out_dim=1)


@pytest.fixture
def configure(name: str) -> Callable[..., FitConfig]:
    """Return a function that configures a fit of the tested field."""
    return partial(fit_config, name)


@pytest.fixture
def fit(name: str, field: NeuralField, signals: Signals) -> Fit:
    """Return a function that fits the given rows of the digits, by default the first six, with the tested field."""

    def run(rows: list[int] | None = None, *, view: int = 0, of: Signals = signals, **changes: object) -> Fits:
        chosen = np.arange(6) if rows is None else np.array(rows)
        return fit_fields(field, of, fit_config(name, **changes), rows=chosen, view=view)

    return run
