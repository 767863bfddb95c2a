"""Neural fields by name, and the door where their hyperparameters are checked and completed."""

from collections.abc import Mapping
from typing import Any

from nefstudy.config import FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import completed
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

FIELDS: dict[str, type[Any]] = {"siren": Siren, "rffnet": RffNet, "mfn": Mfn}


def complete(config: FieldConfig, *, fields: Mapping[str, type[Any]] = FIELDS) -> FieldConfig:
    """The same field with every hyperparameter written out, so that equal experiments have equal digests.

    Raises:
        BadConfig: an unknown field or hyperparameter, or a value outside what is allowed.
    """
    kind = _kind(config, fields)
    dimensions = ("in_dim", "out_dim")
    params = completed(kind, config.params, what=f"field {config.name}", noun="hyperparameter", without=dimensions)
    kind(in_dim=1, out_dim=1, **params)
    return FieldConfig(name=config.name, params=params)


def build(config: FieldConfig, *, in_dim: int, out_dim: int, fields: Mapping[str, type[Any]] = FIELDS) -> NeuralField:
    """The field a configuration names, for signals of these dimensions.

    Raises:
        BadConfig: as `complete`.
    """
    kind = _kind(config, fields)
    field: NeuralField = kind(in_dim=in_dim, out_dim=out_dim, **complete(config, fields=fields).params)
    return field


def _kind(config: FieldConfig, fields: Mapping[str, type[Any]]) -> type[Any]:
    if config.name not in fields:
        raise BadConfig(f"field {config.name!r} is unknown; allowed: {', '.join(sorted(fields))}; correct the name")
    return fields[config.name]
