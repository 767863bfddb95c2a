from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

SMALL = {
    "siren": {"hidden": 8},
    "rffnet": {"hidden": 8, "layers": 3},
    "mfn": {"hidden": 8, "filters": 3},
}
Fit = Callable[..., Fits]


@pytest.fixture(scope="session")
def signals() -> Signals:
    """Seventy 8x8 digits."""
    return load_signals(SignalsConfig(name="digits8", subset=70))


@pytest.fixture(params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def field(name: str) -> NeuralField:
    return build(FieldConfig(name=name, params=SMALL[name]), in_dim=2, out_dim=1)


def fit_config(name: str, **changes: object) -> FitConfig:
    """A fit of digits8 by a small field; recipe keys and fit keys alike can be changed by name."""
    recipe = {key: changes.pop(key) for key in list(changes) if key in NeuralDatasetConfig.model_fields}
    optimizer = {key: changes.pop(key) for key in ("lr", "weight_decay") if key in changes}
    if optimizer:
        recipe["optimizer"] = OptimizerConfig(**optimizer)
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8", subset=70),
        field=complete(FieldConfig(name=name, params=SMALL[name])),
        **{"init": "random", **recipe},
    )
    return FitConfig(dataset=dataset, **{"rungs": (12,), "engine": "eager", **changes})


@pytest.fixture
def configure(name: str) -> Callable[..., FitConfig]:
    """Configurations of fits of the current field."""
    return partial(fit_config, name)


@pytest.fixture
def fit(name: str, field: NeuralField, signals: Signals) -> Fit:
    """Fits the given rows (the first six by default) of the digits under any changes of the configuration."""

    def run(rows: list[int] | None = None, *, view: int = 0, of: Signals = signals, **changes: object) -> Fits:
        places = np.arange(6) if rows is None else np.array(rows)
        return fit_fields(field, of, fit_config(name, **changes), rows=places, view=view)

    return run
