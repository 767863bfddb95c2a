"""Neural fields by name, and the door where their hyperparameters are checked and completed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nefstudy.config import FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.hyperparameter import Scalar, coerce
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
    known = {item.name: item for item in dataclasses.fields(kind) if item.name not in ("in_dim", "out_dim")}
    for name in config.params:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadConfig(f"field {config.name}: no hyperparameter {name!r}; allowed: {allowed}; correct the name")
    params: dict[str, Scalar] = {}
    for name, item in known.items():
        value = config.params.get(name, item.default)
        if value is dataclasses.MISSING:
            raise BadConfig(f"field {config.name}: {name} has no default; give it in the field's params")
        assert isinstance(item.type, type), f"{name}: annotate a hyperparameter with int, float, bool or str itself"
        params[name] = coerce(f"field {config.name}: {name}", value, item.type)
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
