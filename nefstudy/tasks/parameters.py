"""Flat names for a configuration's parameters, as used in points, filters, tables, MLflow and REST."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nefstudy.scalars import Scalar

Path = tuple[str, ...]
SHORTENED = ("field", "optimizer")  # names below these lose the prefix if the shorter name is free


def parameters(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return every scalar of a configuration under its shortest unambiguous name.

    A name is the path without a leading `dataset.`, without `.params` and without a trailing `.name`; names below
    `field` or `optimizer` also lose that prefix. So `dataset.field.name` is `field`, `dataset.field.params.omega_0` is
    `omega_0`, `dataset.optimizer.lr` is `lr`; `classifier.lr` and `dataset.seed` keep their paths. Shorter paths
    take precedence. A value that is None is left out, but its name stays taken.
    """
    values: dict[Path, Scalar | None] = {}
    _collect(config, (), values)
    named = ((name, values[path]) for name, path in _named(tuple(values)))
    return {name: value for name, value in named if value is not None}


@lru_cache(maxsize=256)
def _named(paths: tuple[Path, ...]) -> tuple[tuple[str, Path], ...]:
    """Return each parameter path with its name.

    The result is cached, because thousands of trials share few sets of paths.
    """
    flat: dict[str, Path] = {}
    for path in sorted(paths, key=len):
        flat[next(name for name in _names(path) if name not in flat)] = path
    return tuple(flat.items())


def _names(path: Path) -> tuple[str, ...]:
    """Return the possible names of a path, in order of preference."""
    inner = path[1:] if path[0] == "dataset" and len(path) > 1 else path
    if inner[-1] == "name" and len(inner) > 1 and inner[-2] != "params":
        inner = inner[:-1]
    parts = tuple(part for part in inner if part != "params") or inner
    short = (".".join(parts[1:]),) if parts[0] in SHORTENED and len(parts) > 1 else ()
    return (*short, ".".join(parts), ".".join(path))


def _collect(value: Any, path: Path, values: dict[Path, Scalar | None]) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _collect(inner, (*path, str(name)), values)
    elif value is None or isinstance(value, bool | int | float | str):
        values[path] = value
