"""Tests of the check that user-defined code has the members required by its protocol."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import pytest

from nefstudy.contract import check_contract
from nefstudy.errors import BadConfig


class Shape(Protocol):
    """A protocol that has every kind of member."""

    sides: ClassVar[int]

    @property
    def area(self) -> float: ...

    def scale(self, factor: float) -> "Shape": ...


@dataclass(frozen=True)
class Square:
    """A value that has all members of `Shape`; evaluating its `area` raises an error."""

    side: float
    sides: ClassVar[int] = 4

    @property
    def area(self) -> float:
        raise AttributeError("is evaluated")

    def scale(self, factor: float) -> "Square":
        return Square(self.side * factor)


@dataclass(frozen=True)
class Dot:
    """A value that lacks two members of `Shape`; the third is an attribute of the instance."""

    area: float = 0.0


def test_a_whole_value_passes_without_being_evaluated() -> None:
    """The check does not evaluate properties of a valid value."""
    check_contract(Square(1.0), Shape, what="shape mine")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Dot(), "shape mine: Dot lacks sides, scale; Shape requires sides, area, scale: add what is missing"),
        (Dot, "shape mine: Dot is a class; pass an instance, such as Dot()"),
        ("square", "shape mine: str lacks sides, area, scale"),
    ],
)
def test_what_is_missing_is_named(value: object, message: str) -> None:
    """The error for an incomplete value names the missing members and all required ones."""
    with pytest.raises(BadConfig) as caught:
        check_contract(value, Shape, what="shape mine")
    assert str(caught.value).startswith(message)
