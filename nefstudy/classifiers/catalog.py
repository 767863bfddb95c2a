"""Classifiers and presets by name, and the functions that complete a configuration and build its network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from inspect import signature
from typing import Any, get_type_hints

from nefstudy.classifiers.classifier import ClassifierSpec, WeightClassifier
from nefstudy.classifiers.networks.committee import Committee
from nefstudy.classifiers.networks.dws import Dws
from nefstudy.classifiers.networks.gnn import Gnn
from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.classifiers.networks.sign_gnn import GnnSign, GnnThin
from nefstudy.classifiers.networks.transformer import Transformer
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import coerce, without_late_defaults
from nefstudy.scalars import Scalar

CLASSIFIERS: dict[str, type[Any]] = {
    "mlp": Mlp,
    "gnn": Gnn,
    "gnn-thin": GnnThin,
    "gnn-sign": GnnSign,
    "transformer": Transformer,
    "dws": Dws,
}


@dataclass(frozen=True)
class Preset:
    """A name for a classifier with some hyperparameters, any of which a configuration may override."""

    classifier: str
    params: Mapping[str, Scalar]


_PUBLISHED: Mapping[str, Scalar] = {
    "dropout": 0.2,
    "lift": 128,
    "norm": "after",
    "modulate": True,
    "read_out": "concatenate",
}

PRESETS: dict[str, Preset] = {
    "gnn-published": Preset("gnn", {**_PUBLISHED, "width": 32, "node_hidden": 32, "edge_hidden": 32, "sigma": 3.0}),
    "transformer-published": Preset("transformer", {**_PUBLISHED, "heads": 8, "sigma": 1.0}),
}
"""Hyperparameters with which the public code of neural graphs classifies MNIST digits (Kofinas et al. 2024)."""


def classifier_names(classifiers: Mapping[str, type[Any]] = CLASSIFIERS) -> list[str]:
    """Return the names that a configuration may have: of classifiers, then of presets of these classifiers."""
    presets = [name for name, preset in PRESETS.items() if preset.classifier in classifiers]
    return list(dict.fromkeys([*classifiers, *presets]))


def complete(config: ClassifierConfig, *, classifiers: Mapping[str, type[Any]] = CLASSIFIERS) -> ClassifierConfig:
    """Return the configuration with every hyperparameter filled in and converted to its declared type.

    A preset becomes its classifier. Hyperparameters that were added later are left out while they have their defaults.
    So equal experiments have equal digests, no matter which defaults were written out.

    Raises:
        BadConfig: the classifier or a hyperparameter is unknown, or a value is not allowed.
    """
    spec = _spec(config, classifiers)
    if config.reading == "centered" and not _can_center(spec):
        raise BadConfig(
            f"classifier {config.name}: reading 'centered': its `build` has no argument `centered`; "
            "add it, or use 'plain'"
        )
    name = _without_preset(config, classifiers).name
    return config.model_copy(update={"name": name, "params": without_late_defaults(spec)})


def with_reading(
    config: ClassifierConfig, *, shared: bool, classifiers: Mapping[str, type[Any]] = CLASSIFIERS
) -> ClassifierConfig:
    """Return the configuration with the reading that `auto` chooses for fields with a shared init, or without one."""
    if config.reading != "auto":
        return config
    centered = shared and _can_center(_spec(config, classifiers))
    return config.model_copy(update={"reading": "centered" if centered else "plain"})


def build(
    config: ClassifierConfig,
    field: NeuralField,
    *,
    classes: int,
    classifiers: Mapping[str, type[Any]] = CLASSIFIERS,
) -> WeightClassifier:
    """Return an untrained network, or a committee, for rows of this field, initialized from torch's random state."""
    spec = _spec(config, classifiers)
    options = {"centered": True} if config.reading == "centered" else {}
    networks: list[WeightClassifier] = [spec.build(field, classes, **options) for _ in range(config.members)]
    return networks[0] if len(networks) == 1 else Committee(networks)


def _can_center(spec: ClassifierSpec) -> bool:
    return "centered" in signature(spec.build).parameters


_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)  # called for each of a grid's thousands of trials


def _without_preset(config: ClassifierConfig, classifiers: Mapping[str, type[Any]]) -> ClassifierConfig:
    """Return the configuration with a preset replaced by its classifier and the hyperparameters that are not given."""
    preset = PRESETS.get(config.name)
    if preset is None or config.name in classifiers:
        return config
    return config.model_copy(update={"name": preset.classifier, "params": {**preset.params, **config.params}})


def _spec(config: ClassifierConfig, classifiers: Mapping[str, type[Any]]) -> Any:
    names = classifier_names(classifiers)
    if config.name not in names:
        near = get_close_matches(config.name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "choose one of these"
        raise BadConfig(f"classifier {config.name!r} is unknown; allowed: {', '.join(names)}; {hint}")
    config = _without_preset(config, classifiers)
    kind = classifiers[config.name]
    known = {item.name: item for item in fields(kind)}
    for name in config.params:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadConfig(f"classifier {config.name}: no parameter {name!r}; allowed: {allowed}; correct the name")
    hints = _hints(kind)
    where = f"classifier {config.name}"
    return kind(**{name: coerce(f"{where}: {name}", value, hints[name]) for name, value in config.params.items()})
