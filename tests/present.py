"""A check for values that are never None in a test, although their annotation allows it."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return the given value after checking that it is not None."""
    assert value is not None
    return value
