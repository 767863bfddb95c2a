"""The catalog of neural fields, and validation and completion of their hyperparameters."""

from collections.abc import Mapping
from typing import Any

from nefstudy.config import FieldConfig
from nefstudy.contract import check_contract
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, WrittenGradient
from nefstudy.fields.hyperparameter import completed
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

FIELDS: dict[str, type[Any]] = {"siren": Siren, "rffnet": RffNet, "mfn": Mfn}


def complete(config: FieldConfig, *, fields: Mapping[str, type[Any]] = FIELDS) -> FieldConfig:
    """Return the field configuration with all defaults filled in, so equal experiments have equal digests.

    Raises:
        BadConfig: an unknown field or hyperparameter, a value that is not allowed, or a class that is not a field.
    """
    kind = _kind(config, fields)
    dimensions = ("in_dim", "out_dim")
    params = completed(kind, config.params, what=f"field {config.name}", noun="hyperparameter", without=dimensions)
    field = kind(in_dim=1, out_dim=1, **params)
    check_contract(field, NeuralField, what=f"field {config.name}")
    if hasattr(kind, "loss_gradient") or hasattr(kind, "unit"):
        check_contract(field, WrittenGradient, what=f"field {config.name}")
    return FieldConfig(name=config.name, params=params)


def build(config: FieldConfig, *, in_dim: int, out_dim: int, fields: Mapping[str, type[Any]] = FIELDS) -> NeuralField:
    """Build the configured field for signals with `in_dim` coordinates and `out_dim` channels.

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
