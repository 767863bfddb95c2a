"""The flat names of a trial's parameters, the same in filters, tables and MLflow."""

from collections.abc import Iterator, Mapping
from typing import Any

from nefstudy.config import Scalar


def parameters(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Every scalar of a trial's configuration by its shortest name that nothing else has.

    A name is the path without a leading `dataset.` and without `.params`: `dataset.field.params.omega_0` is
    `field.omega_0`, `dataset.optimiser.lr` is `optimiser.lr`; `dataset.seed` keeps its path because `seed` is taken.
    """
    paths = dict(_leaves(config, ()))
    flat: dict[str, Scalar] = {}
    for path in sorted(paths, key=len):  # the shorter path has the first claim on a short name
        short = ".".join(part for part in path[path[0] == "dataset" :] if part != "params")
        flat[".".join(path) if short in flat else short] = paths[path]
    return flat


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    elif isinstance(value, bool | int | float | str):
        yield path, value
