"""The classifiers by name, and how a configuration is completed and built."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, get_type_hints

from nefstudy.classifiers.classifier import Classifier, WeightReader
from nefstudy.classifiers.committee import Committee
from nefstudy.classifiers.dws import Dws
from nefstudy.classifiers.gnn import Gnn
from nefstudy.classifiers.mlp import Mlp
from nefstudy.classifiers.sign_gnn import GnnSign, GnnThin
from nefstudy.classifiers.transformer import Transformer
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import coerce

CLASSIFIERS: dict[str, type[Any]] = {
    "mlp": Mlp,
    "gnn": Gnn,
    "gnn-thin": GnnThin,
    "gnn-sign": GnnSign,
    "transformer": Transformer,
    "dws": Dws,
}


def complete(config: ClassifierConfig, *, classifiers: Mapping[str, type[Any]] = CLASSIFIERS) -> ClassifierConfig:
    """The same configuration with every hyperparameter written out in its own type.

    Equal experiments then have equal digests, whichever defaults were spelled out.

    Raises:
        BadConfig: a classifier or hyperparameter nobody knows, or a value outside what is allowed.
    """
    return config.model_copy(update={"params": asdict(_choice(config, classifiers))})


def build(
    config: ClassifierConfig,
    field: NeuralField,
    *,
    classes: int,
    classifiers: Mapping[str, type[Any]] = CLASSIFIERS,
) -> WeightReader:
    """A fresh reader of this field's rows, or a committee, initialised from torch's current random state."""
    choice: Classifier = _choice(config, classifiers)
    readers = [choice.build(field, classes) for _ in range(config.members)]
    return readers[0] if len(readers) == 1 else Committee(readers)


_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)  # a grid of thousands of trials asks for each


def _choice(config: ClassifierConfig, classifiers: Mapping[str, type[Any]]) -> Any:
    if config.name not in classifiers:
        near = get_close_matches(config.name, classifiers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "choose one of these"
        raise BadConfig(f"classifier {config.name!r} is unknown; allowed: {', '.join(classifiers)}; {hint}")
    kind = classifiers[config.name]
    known = {item.name: item for item in fields(kind)}
    for name in config.params:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadConfig(f"classifier {config.name}: no parameter {name!r}; allowed: {allowed}; correct the name")
    hints = _hints(kind)
    where = f"classifier {config.name}"
    return kind(**{name: coerce(f"{where}: {name}", value, hints[name]) for name, value in config.params.items()})
