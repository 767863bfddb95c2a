"""Hyperparameters of a field: a default, what is allowed, and the check every field runs when built."""

import dataclasses
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from nefstudy.errors import BadConfig

Scalar = bool | int | float | str


def hyperparameter(default: Scalar, *, low: int | float, high: int | float, even: bool = False) -> Any:
    """A dataclass field with a default and an inclusive range (and evenness) that `check` enforces."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "even": even})


def coerce(name: str, value: Scalar, kind: type) -> Scalar:
    """The value as the declared type, where no information is lost: 9 -> 9.0, 32.0 -> 32.

    Raises:
        BadConfig: the value is of another kind.
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
    kind: type[Any], given: Mapping[str, Scalar], *, what: str, noun: str, without: Collection[str] = ()
) -> dict[str, Scalar]:
    """Return every parameter of a dataclass, given or by default, in its declared type.

    Args:
        what: names the thing in errors, such as `field siren`; `noun` names its parameters.
        without: dataclass fields that are not parameters.

    Raises:
        BadConfig: an unknown parameter, one without a value, or a value of another type.
    """
    known = {item.name: item for item in dataclasses.fields(kind) if item.name not in without}
    for name in given:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadConfig(f"{what}: no {noun} {name!r}; allowed: {allowed}; correct the name")
    values: dict[str, Scalar] = {}
    for name, item in known.items():
        value = given.get(name, item.default)
        if value is dataclasses.MISSING:
            raise BadConfig(f"{what}: {name} has no default; give it in the params")
        assert isinstance(item.type, type), f"{name}: annotate a {noun} with int, float, bool or str itself"
        values[name] = coerce(f"{what}: {name}", value, item.type)
    return values


def check(field: Any) -> None:
    """Refuse a field dataclass with a hyperparameter outside its declared range.

    Raises:
        BadConfig: names the field, the value and what is allowed.
    """
    kind = type(field).__name__
    for item in dataclasses.fields(field):
        if "low" not in item.metadata:
            continue
        value, low, high = getattr(field, item.name), item.metadata["low"], item.metadata["high"]
        even = item.metadata["even"]
        if not isfinite(value) or not low <= value <= high or (even and value % 2):
            allowed = f"an even number in {low}..{high}" if even else f"in {low}..{high}"
            raise BadConfig(f"{kind} {item.name} = {value!r}: must be {allowed}; correct it and run again")
