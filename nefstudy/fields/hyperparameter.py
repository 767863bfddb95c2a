"""Hyperparameters of fields: defaults, allowed ranges, and their validation."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import cache
from math import isfinite
from typing import Any, get_type_hints

from nefstudy.errors import BadConfig

Scalar = bool | int | float | str

_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)  # called for each of a grid's thousands of trials


def hyperparameter(
    default: Scalar, *, low: int | float, high: int | float, even: bool = False, late: bool = False
) -> Any:
    """Return a dataclass field with a default; `check` enforces its inclusive range and, if `even`, an even value.

    Args:
        late: added after configurations of the class had digests; see `without_late_defaults`.
    """
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "even": even, "late": late})


def choice(default: str, *others: str, late: bool = False) -> Any:
    """Return a dataclass field with a default; `check` allows only the default and `others`."""
    return dataclasses.field(default=default, metadata={"choices": sorted({default, *others}), "late": late})


def switch(default: bool, *, late: bool = False) -> Any:
    """Return a dataclass field for an option that is on or off."""
    return dataclasses.field(default=default, metadata={"late": late})


def without_late_defaults(values: Any) -> dict[str, Scalar]:
    """Return the values of a dataclass, without late ones that have their defaults, so that digests stay the same."""
    kept = [
        item.name
        for item in dataclasses.fields(values)
        if not item.metadata.get("late") or getattr(values, item.name) != item.default
    ]
    return {name: getattr(values, name) for name in kept}


def coerce(name: str, value: Scalar, kind: type) -> Scalar:
    """Convert a value losslessly to its declared type: 9 -> 9.0, 32.0 -> 32.

    Raises:
        BadConfig: the value has another type.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    raise BadConfig(f"{name} = {value!r}: must be of type {kind.__name__}; correct it and run again")


def completed(
    kind: Any, given: Mapping[str, Scalar], *, what: str, noun: str, without: Collection[str] = ()
) -> dict[str, Scalar]:
    """Return the value of every parameter of a dataclass, whether given or default, converted to its declared type.

    Args:
        what: name of the object in errors, such as `field siren`; `noun` is the name of its parameters.
        without: dataclass fields that are not parameters.

    Raises:
        BadConfig: not a dataclass, an unknown parameter, one without a value, or a value of another type.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise BadConfig(
            f"{what}: {kind!r} is not a dataclass; give the class itself, decorated with @dataclass(frozen=True)"
        )
    known = {item.name: item for item in dataclasses.fields(kind) if item.name not in without}
    for name in given:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadConfig(f"{what}: no {noun} {name!r}; allowed: {allowed}; correct the name")
    values: dict[str, Scalar] = {}
    for name, item in known.items():
        value = given.get(name, item.default)
        if value is dataclasses.MISSING:
            raise BadConfig(f"{what}: {name} has no default; set it in params")
        declared = _hints(kind)[name]
        if declared not in (int, float, bool, str):
            raise BadConfig(f"{what}: {name} is annotated {declared}; allowed: int, float, bool, str; use one of these")
        values[name] = coerce(f"{what}: {name}", value, declared)
    return values


def check(field: Any) -> None:
    """Raise an error if a hyperparameter of a field dataclass has a value that is not allowed.

    Raises:
        BadConfig: a value is out of range; the message gives the field, the value and the allowed ones.
    """
    kind = type(field).__name__
    for item in dataclasses.fields(field):
        choices, value = item.metadata.get("choices"), getattr(field, item.name)
        if choices and value not in choices:
            allowed = ", ".join(choices)
            raise BadConfig(f"{kind} {item.name} = {value!r}: must be one of {allowed}; correct it and run again")
        if "low" not in item.metadata:
            continue
        low, high = item.metadata["low"], item.metadata["high"]
        even = item.metadata["even"]
        if not isfinite(value) or not low <= value <= high or (even and value % 2):
            allowed = f"an even number in {low}..{high}" if even else f"in {low}..{high}"
            raise BadConfig(f"{kind} {item.name} = {value!r}: must be {allowed}; correct it and run again")
