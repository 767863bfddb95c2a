"""Fits of small fields to digits8."""

from typing import Any

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.fields.catalog import complete

SMALL = {
    "siren": {"hidden": 8},
    "rffnet": {"hidden": 8, "layers": 3},
    "mfn": {"hidden": 8, "filters": 3},
}


def fit_config(name: str, **changes: Any) -> FitConfig:
    """Return the configuration of a fit of a small field to digits8, with changes to the recipe or the fit."""
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
