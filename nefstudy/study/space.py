"""The study's spaces as data: Tables 1 to 3 of Papa et al. 2024 (supplement), and what a point becomes.

A *point* is a flat dict of parameter values, which the task's codec reads: `init`, `lr`, `steps`, the field's own
hyperparameters and more (`tasks/codec.py`). A *space* maps each free parameter to a dimension; the rest of a point is
fixed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar
from nefstudy.tasks.task import Point


@dataclass(frozen=True)
class Real:
    """A real parameter in [low, high]; `log` searches its logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high or (self.log and self.low <= 0):
            raise BadConfig(f"range [{self.low}, {self.high}] is empty or not positive; give low <= high")


@dataclass(frozen=True)
class Whole:
    """A whole parameter in [low, high], in multiples of `multiple`."""

    low: int
    high: int
    log: bool = False
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high or self.low % self.multiple or self.high % self.multiple:
            raise BadConfig(
                f"range [{self.low}, {self.high}] in multiples of {self.multiple} is empty or has uneven ends; "
                "give 0 < low <= high, both multiples"
            )


@dataclass(frozen=True)
class Choice:
    """One of a few values, in the order given."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise BadConfig(f"choices {list(self.values)} are empty or repeat; give each value once")


Dimension = Real | Whole | Choice
Space = Mapping[str, Dimension]


def count(dimension: Dimension) -> int:
    """How many values a dimension has, a range of reals taken as one."""
    if isinstance(dimension, Choice):
        return len(dimension.values)
    return 1 if isinstance(dimension, Real) else (dimension.high - dimension.low) // dimension.multiple + 1


INIT = Choice(("shared", "random"))

OPTIMISATION: Space = {
    "init": INIT,
    "weight_decay": Real(1e-8, 1e-2, log=True),
    "lr": Real(1e-5, 1e-1, log=True),
    "steps": Choice((20, 200, 1000, 5000, 10000, 20000)),
}
"""Table 1: searched for every field."""

ARCHITECTURE: Mapping[str, Space] = {
    "siren": {"hidden": Whole(8, 128, log=True), "layers": Whole(3, 6), "omega_0": Real(1, 100, log=True)},
    "rffnet": {
        "hidden": Whole(4, 128, log=True, multiple=2),
        "layers": Whole(3, 6),
        "std": Real(1e-2, 1e2, log=True),
    },
    "mfn": {"hidden": Whole(8, 128, log=True), "filters": Whole(1, 6)},
}
"""Table 2: searched beside Table 1, per field."""

GRID_STEPS = (5, 15, 25, 50, 75, 1000, 5000, 10000, 20000, 50000)

GRID: Mapping[str, Space] = {
    "siren": {"init": INIT, "hidden": Choice((8, 32, 64)), "steps": Choice(GRID_STEPS)},
    "rffnet": {"init": INIT, "hidden": Choice((16, 32, 64)), "steps": Choice(GRID_STEPS)},
    "mfn": {"init": INIT, "hidden": Choice((16, 32, 64)), "steps": Choice(GRID_STEPS)},
}
"""Table 3, the free part: a full grid per field."""

GRID_FIXED: Mapping[str, Point] = {
    "siren": {"lr": 1e-3, "weight_decay": 0.0, "layers": 3, "omega_0": 9.0},
    "rffnet": {"lr": 1e-4, "weight_decay": 0.0, "layers": 5, "std": 0.1},
    "mfn": {"lr": 5e-3, "weight_decay": 0.0, "filters": 4},
}
"""Table 3, the fixed part."""


def drawn(dimension: Dimension, u: float) -> Scalar:
    """Return the value at quantile u of a dimension, u in [0, 1)."""
    if isinstance(dimension, Choice):
        return dimension.values[min(int(u * len(dimension.values)), len(dimension.values) - 1)]
    if isinstance(dimension, Real):
        return float(_between(dimension.low, dimension.high, u, log=dimension.log))
    low, high = dimension.low // dimension.multiple, dimension.high // dimension.multiple
    found = round(_between(low - 0.5, high + 0.5, u, log=dimension.log))
    return min(max(found, low), high) * dimension.multiple


def _between(low: float, high: float, u: float, *, log: bool) -> float:
    return low * (high / low) ** u if log else low + u * (high - low)


def grid_size(space: Space) -> int:
    """How many points a full grid over the space has.

    Raises:
        BadConfig: a dimension is a range, which a grid cannot enumerate.
    """
    return prod(len(values) for values in _choices(space).values())


def space_size(space: Space) -> int | None:
    """How many points a space holds; None where a parameter is a range of reals."""
    if any(isinstance(dimension, Real) and dimension.low < dimension.high for dimension in space.values()):
        return None
    return prod(count(dimension) for dimension in space.values())


def grid_points(space: Space, fixed: Point) -> Iterator[Point]:
    """Every point of the grid, longest fit first, so that one fit's ladder serves the points after it.

    Within one step count, points keep the order of the space.
    """
    choices = _choices(space)
    free = [name for name in choices if name != "steps"]
    wrong = [steps for steps in choices.get("steps", ()) if isinstance(steps, bool) or not isinstance(steps, int)]
    if wrong:
        raise BadConfig(f"steps {wrong!r} in a grid are not integers; list step counts, as Choice((5, 75, 1000))")
    ladder = [{"steps": steps} for steps in sorted(choices.get("steps", ()), key=int, reverse=True)]
    for rung in ladder or [{}]:
        for values in product(*(choices[name] for name in free)):
            yield {**fixed, **dict(zip(free, values, strict=True)), **rung}


def _choices(space: Space) -> dict[str, tuple[Scalar, ...]]:
    for name, dimension in space.items():
        if not isinstance(dimension, Choice):
            raise BadConfig(f"grid parameter {name!r} is a range; a grid needs listed values, use Choice((...))")
    return {name: dimension.values for name, dimension in space.items() if isinstance(dimension, Choice)}
