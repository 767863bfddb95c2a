"""The catalog of initializations, and validation and completion of their parameters."""

from collections.abc import Mapping
from typing import Any

from nefstudy.config import InitConfig
from nefstudy.contract import check_contract
from nefstudy.errors import BadConfig
from nefstudy.fields.hyperparameter import completed
from nefstudy.inits.drawn import RandomInit, SharedInit
from nefstudy.inits.init import Init

INITS: dict[str, type[Any]] = {"random": RandomInit, "shared": SharedInit}


def complete(config: InitConfig, *, inits: Mapping[str, type[Any]] = INITS) -> InitConfig:
    """Return the init configuration with all defaults filled in, so equal experiments have equal digests.

    Raises:
        BadConfig: an unknown init or parameter, a value of the wrong type, or a class that is not an init.
    """
    kind = _kind(config, inits)
    params = completed(kind, config.params, what=f"init {config.name}", noun="parameter")
    check_contract(kind(**params), Init, what=f"init {config.name}")
    return InitConfig(name=config.name, params=params)


def build(config: InitConfig, *, inits: Mapping[str, type[Any]] = INITS) -> Init:
    """Return the configured init.

    Raises:
        BadConfig: as `complete`.
    """
    init: Init = _kind(config, inits)(**complete(config, inits=inits).params)
    return init


def _kind(config: InitConfig, inits: Mapping[str, type[Any]]) -> type[Any]:
    if config.name not in inits:
        raise BadConfig(f"init {config.name!r} is unknown; allowed: {', '.join(sorted(inits))}; correct the name")
    return inits[config.name]
