"""A stored trial as values, or as JSON spliced from the JSON text in the ledger.

Decoding and encoding that text took nine tenths of the time of a page. The spliced JSON equals the model's output.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from nefstudy.insight.questions.failures import presentable
from nefstudy.ledger.sql.fetch import load
from nefstudy.ledger.sql.rows import TEXTS
from nefstudy.service.models import Trial
from nefstudy.service.responses import encode, finite

Stored = Mapping[str, Any]
"""A trial's columns by name; the columns in `TEXTS` are JSON text."""

SUMMARY = tuple(Trial.model_fields)
PLAIN = frozenset(SUMMARY) - {"metrics", "parameters", "error"}  # columns passed through unchanged


def values_of(row: Stored, names: Sequence[str]) -> dict[str, Any]:
    """Return the values of a trial by name, with None for unknown names.

    Each name is looked up among the columns, then the parameters, then the metrics.
    """
    return {name: _value(row, name) for name in names}


def json_of(row: Stored, names: Sequence[str]) -> str:
    """Return the named values as a JSON object, with null for NaN and infinities."""
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
    return row[name] if name in SUMMARY else _parameter_or_metric(row, name)


def _parameter_or_metric(row: Stored, name: str) -> Any:
    kind, _, bare = name.partition(".")
    if kind in ("metrics", "parameters"):
        return load(row[kind]).get(bare)
    parameter = load(row["parameters"]).get(name)
    return load(row["metrics"]).get(name) if parameter is None else parameter


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
