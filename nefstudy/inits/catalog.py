"""Initializations by name, and the door where their parameters are checked and completed."""

from collections.abc import Mapping
from typing import Any

from nefstudy.config import InitConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.hyperparameter import completed
from nefstudy.inits.drawn import Random, Shared
from nefstudy.inits.init import Init

INITS: dict[str, type[Any]] = {"random": Random, "shared": Shared}


def complete(config: InitConfig, *, inits: Mapping[str, type[Any]] = INITS) -> InitConfig:
    """Return the same init with every parameter written out, so that equal experiments have equal digests.

    Raises:
        BadConfig: an unknown init or parameter, or a value of the wrong type.
    """
    kind = _kind(config, inits)
    params = completed(kind, config.params, what=f"init {config.name}", noun="parameter")
    kind(**params)
    return InitConfig(name=config.name, params=params)


def build(config: InitConfig, *, inits: Mapping[str, type[Any]] = INITS) -> Init:
    """Return the init that a configuration names.

    Raises:
        BadConfig: as `complete`.
    """
    init: Init = _kind(config, inits)(**complete(config, inits=inits).params)
    return init


def _kind(config: InitConfig, inits: Mapping[str, type[Any]]) -> type[Any]:
    if config.name not in inits:
        raise BadConfig(f"init {config.name!r} is unknown; allowed: {', '.join(sorted(inits))}; correct the name")
    return inits[config.name]
