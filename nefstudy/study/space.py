"""Spaces, their dimensions and points, with Tables 1 to 3 of Papa et al. 2024 (supplement) as data.

A *point* is a flat dict of parameter values, which the task's codec reads: `init`, `lr`, `steps`, the field's own
hyperparameters and more (`tasks/codec.py`). A *space* maps each free parameter to a dimension; the rest of a point is
fixed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import isfinite, prod

from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar, is_scalar
from nefstudy.tasks.task import Point


@dataclass(frozen=True)
class Real:
    """A real parameter in [low, high], searched on a logarithmic scale if `log` is set."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        numbers = all(isinstance(end, int | float) and isfinite(end) for end in (self.low, self.high))
        if not numbers or not self.low <= self.high or (self.log and self.low <= 0):
            raise BadConfig(
                f"range [{self.low!r}, {self.high!r}] is empty or not positive; use finite numbers, low <= high"
            )


@dataclass(frozen=True)
class Whole:
    """An integer parameter in [low, high], in multiples of `multiple`."""

    low: int
    high: int
    log: bool = False
    multiple: int = 1

    def __post_init__(self) -> None:
        whole = all(isinstance(number, int) for number in (self.low, self.high, self.multiple))
        is_range = whole and self.multiple > 0 and 0 < self.low <= self.high
        if not is_range or self.low % self.multiple or self.high % self.multiple:
            raise BadConfig(
                f"range [{self.low!r}, {self.high!r}] is empty or its ends are not multiples of {self.multiple!r}; "
                "use whole numbers with 0 < low <= high, both multiples of it"
            )


@dataclass(frozen=True)
class Categorical:
    """A parameter with a few listed values, in the given order."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        listed = isinstance(self.values, tuple | list) and all(map(is_scalar, self.values))
        if not listed or not self.values or len(set(self.values)) != len(self.values):
            raise BadConfig(
                f"choices {self.values!r} are empty, repeat or are not plain numbers and strings; "
                'list each value once, as Categorical(("random", "shared"))'
            )


Dimension = Real | Whole | Categorical
Space = Mapping[str, Dimension]


def count(dimension: Dimension) -> int:
    """Return the number of values of a dimension; 1 for a real range."""
    if isinstance(dimension, Categorical):
        return len(dimension.values)
    return 1 if isinstance(dimension, Real) else (dimension.high - dimension.low) // dimension.multiple + 1


INIT = Categorical(("shared", "random"))

OPTIMIZATION: Space = {
    "init": INIT,
    "weight_decay": Real(1e-8, 1e-2, log=True),
    "lr": Real(1e-5, 1e-1, log=True),
    "steps": Categorical((20, 200, 1000, 5000, 10000, 20000)),
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
"""Table 2: searched in addition to Table 1, per field."""

GRID_STEPS = (5, 15, 25, 50, 75, 1000, 5000, 10000, 20000, 50000)

GRID: Mapping[str, Space] = {
    "siren": {"init": INIT, "hidden": Categorical((8, 32, 64)), "steps": Categorical(GRID_STEPS)},
    "rffnet": {"init": INIT, "hidden": Categorical((16, 32, 64)), "steps": Categorical(GRID_STEPS)},
    "mfn": {"init": INIT, "hidden": Categorical((16, 32, 64)), "steps": Categorical(GRID_STEPS)},
}
"""The free part of Table 3: a full grid per field."""

GRID_FIXED: Mapping[str, Point] = {
    "siren": {"lr": 1e-3, "weight_decay": 0.0, "layers": 3, "omega_0": 9.0},
    "rffnet": {"lr": 1e-4, "weight_decay": 0.0, "layers": 5, "std": 0.1},
    "mfn": {"lr": 5e-3, "weight_decay": 0.0, "filters": 4},
}
"""The fixed part of Table 3."""


def drawn(dimension: Dimension, u: float) -> Scalar:
    """Return the value of a dimension at quantile u in [0, 1)."""
    if isinstance(dimension, Categorical):
        return dimension.values[min(int(u * len(dimension.values)), len(dimension.values) - 1)]
    if isinstance(dimension, Real):
        return float(_between(dimension.low, dimension.high, u, log=dimension.log))
    low, high = dimension.low // dimension.multiple, dimension.high // dimension.multiple
    units = round(_between(low - 0.5, high + 0.5, u, log=dimension.log))
    return min(max(units, low), high) * dimension.multiple


def _between(low: float, high: float, u: float, *, log: bool) -> float:
    return low * (high / low) ** u if log else low + u * (high - low)


def grid_size(space: Space) -> int:
    """Return the number of points in a full grid over the space.

    Raises:
        BadConfig: a dimension is a range, which a grid cannot enumerate.
    """
    return prod(len(values) for values in _choices(space).values())


def space_size(space: Space) -> int | None:
    """Return the number of points in a space; None if a parameter is a real range."""
    if any(isinstance(dimension, Real) and dimension.low < dimension.high for dimension in space.values()):
        return None
    return prod(count(dimension) for dimension in space.values())


def grid_points(space: Space, fixed: Point) -> Iterator[Point]:
    """Yield every point of the grid, longest fits first, because their ladders also serve the shorter fits.

    Within one step count, points keep the order of the space.
    """
    choices = _choices(space)
    free = [name for name in choices if name != "steps"]
    wrong = [steps for steps in choices.get("steps", ()) if isinstance(steps, bool) or not isinstance(steps, int)]
    if wrong:
        raise BadConfig(f"steps {wrong!r} in a grid are not integers; list step counts, as Categorical((5, 75, 1000))")
    ladder = [{"steps": steps} for steps in sorted(choices.get("steps", ()), key=int, reverse=True)]
    for rung in ladder or [{}]:
        for values in product(*(choices[name] for name in free)):
            yield {**fixed, **dict(zip(free, values, strict=True)), **rung}


def _choices(space: Space) -> dict[str, tuple[Scalar, ...]]:
    for name, dimension in space.items():
        if not isinstance(dimension, Categorical):
            raise BadConfig(f"grid parameter {name!r} is a range; a grid needs listed values: use Categorical((...))")
    return {name: dimension.values for name, dimension in space.items() if isinstance(dimension, Categorical)}
