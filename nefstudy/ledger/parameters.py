"""The flat names of a trial's parameters, the same in filters, tables and MLflow."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any

from nefstudy.config import Scalar

Path = tuple[str, ...]

# A scalar after a key. The quote with a colon behind it ends the key: one that opens a string stands after one of {,[:
# and one inside a string after a backslash. (A key that ends in such a character keeps its scalar uncut.)
_SCALAR = re.compile(r'(?<=[^\\{,\[:]":)("(?:[^"\\]|\\.)*"|-?[0-9][^,}]*|true|false)')
_MARK = "0E"  # and a number stand for a scalar that was cut out; numbers of Python's have a small e


class _Place(int):
    """Which of the scalars stood here."""


def parameters(config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Every scalar of a trial's configuration by its shortest name that nothing else has.

    A name is the path without a leading `dataset.` and without `.params`: `dataset.field.params.omega_0` is
    `field.omega_0`, `dataset.optimizer.lr` is `optimizer.lr`; `dataset.seed` keeps its path because `seed` is taken.
    """
    found: dict[Path, Scalar] = {}
    _collect(config, (), found)
    return {name: found[path] for name, path in _named(tuple(found))}


def parameters_text(config: str) -> str:
    """The JSON of `parameters` cut from a configuration's compact JSON, several times as fast as decoding it.

    The scalars are cut out of the text; what is left over is the same for thousands of trials, and says which of
    them goes under which name.
    """
    parts = _SCALAR.split(config)
    return _cut(tuple(parts[::2]))(parts[1::2])


@lru_cache(maxsize=256)
def _cut(around: tuple[str, ...]) -> Callable[[list[str]], str]:
    """What makes the flat JSON of the scalars that stood between these pieces of text."""
    marked = "".join(f"{piece}{_MARK}{number}" for number, piece in enumerate(around[:-1])) + around[-1]
    flat = parameters(json.loads(marked, parse_float=_number))
    places: list[int] = []
    fields: list[str] = []
    for name, value in flat.items():
        text = json.dumps(value).replace("%", "%%")
        if isinstance(value, _Place):
            places.append(value)
            text = "%s"
        fields.append(json.dumps(name).replace("%", "%%") + ":" + text)
    template = "{" + ",".join(fields) + "}"
    if len(places) < 2:
        return lambda scalars: template % tuple(scalars[place] for place in places)
    chosen = itemgetter(*places)
    return lambda scalars: template % chosen(scalars)


def _number(text: str) -> float:
    return _Place(text.removeprefix(_MARK)) if text.startswith(_MARK) else float(text)


@lru_cache(maxsize=256)
def _named(paths: tuple[Path, ...]) -> tuple[tuple[str, Path], ...]:
    """Each path with its name; a study has a few sets of paths and thousands of trials."""
    flat: dict[str, Path] = {}
    for path in sorted(paths, key=len):  # the shorter path has the first claim on a short name
        short = ".".join(part for part in path[path[0] == "dataset" :] if part != "params")
        flat[".".join(path) if short in flat else short] = path
    return tuple(flat.items())


def _collect(value: Any, path: Path, found: dict[Path, Scalar]) -> None:
    if isinstance(value, bool | int | float | str):
        found[path] = value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _collect(inner, (*path, str(name)), found)
