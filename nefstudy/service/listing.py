"""A stored trial as it is shown: as values, or as JSON spliced from the texts that the ledger holds as JSON already.

Decoding and encoding those texts took nine tenths of a page's time; what is spliced equals what the model writes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from nefstudy.insight.failures import presentable
from nefstudy.ledger.rows import TEXTS
from nefstudy.ledger.texts import load
from nefstudy.service.answers import encode, finite
from nefstudy.service.models import Trial

Stored = Mapping[str, Any]
"""Columns of a trial by name, those of `TEXTS` as JSON text."""

SUMMARY = tuple(Trial.model_fields)
PLAIN = frozenset(SUMMARY) - {"metrics", "parameters", "error"}  # columns that are shown as they are


def described(row: Stored, names: Sequence[str]) -> dict[str, Any]:
    """Return the named values of a trial: columns first, then parameters, then metrics; None where it has none."""
    return {name: _value(row, name) for name in names}


def json_of(row: Stored, names: Sequence[str]) -> str:
    """Return the JSON object of the named values, with null for numbers that JSON cannot hold."""
    fields = [
        f'"{name}":{_WRITE[type(row[name])](row[name])}'
        if name in PLAIN
        else f"{encode_basestring_ascii(name)}:{_text(row, name)}"
        for name in names
    ]
    return "{" + ",".join(fields) + "}"


def _value(row: Stored, name: str) -> Any:
    if name == "error":
        return presentable(row["error"])
    if name in TEXTS:
        return load(row[name])
    return row[name] if name in SUMMARY else _measured(row, name)


def _measured(row: Stored, name: str) -> Any:
    kind, _, bare = name.partition(".")
    if kind in ("metrics", "parameters"):
        return load(row[kind]).get(bare)
    given = load(row["parameters"]).get(name)
    return load(row["metrics"]).get(name) if given is None else given


def _text(row: Stored, name: str) -> str:
    if name in TEXTS:
        text: str = row[name]
        return encode(finite(load(text))).decode() if "NaN" in text or "Infinity" in text else text
    value = _value(row, name)
    return _WRITE[type(value)](value)


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else "null"


_WRITE: dict[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: repr,
    float: _number,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _none: "null",
}
