"""Tests of the study's search spaces: they match Tables 1 to 3 of the paper."""

import pytest

from nefstudy.errors import BadConfig
from nefstudy.study.space import (
    ARCHITECTURE,
    GRID,
    GRID_FIXED,
    GRID_STEPS,
    OPTIMIZATION,
    Categorical,
    Real,
    Whole,
    grid_points,
    grid_size,
)


@pytest.mark.parametrize("field", ["siren", "rffnet", "mfn"])
def test_grid_has_sixty_points_a_cell(field):
    """The grid has 2 inits x 3 hidden dimensions x 10 step counts, each combination once."""
    points = list(grid_points(GRID[field], GRID_FIXED[field]))
    assert grid_size(GRID[field]) == len(points) == 60
    assert len({tuple(sorted(point.items())) for point in points}) == 60


def test_grid_comes_longest_rung_first():
    """The grid lists the longest rungs first, so that one fit serves all later points of its ladder."""
    steps = [point["steps"] for point in grid_points(GRID["siren"], GRID_FIXED["siren"])]
    assert steps == sorted(steps, reverse=True)
    assert set(steps) == set(GRID_STEPS)


def test_a_ladder_costs_50000_steps_instead_of_86170():
    """A ladder takes 50,000 steps, while ten separate fits would take 86,170."""
    assert max(GRID_STEPS) == 50_000
    assert sum(GRID_STEPS) == 86_170


def test_search_spaces_are_those_of_tables_1_and_2():
    """The search spaces have the ranges and kinds printed in the paper. RFFNet's width is even."""
    assert OPTIMIZATION["lr"] == Real(1e-5, 1e-1, log=True)
    assert OPTIMIZATION["weight_decay"] == Real(1e-8, 1e-2, log=True)
    assert OPTIMIZATION["steps"] == Categorical((20, 200, 1000, 5000, 10000, 20000))
    assert ARCHITECTURE["siren"]["omega_0"] == Real(1, 100, log=True)
    assert ARCHITECTURE["rffnet"]["hidden"] == Whole(4, 128, log=True, multiple=2)
    assert ARCHITECTURE["mfn"]["filters"] == Whole(1, 6)


def test_a_range_is_no_grid():
    """A grid over a continuous range is rejected with an error that names the parameter."""
    with pytest.raises(BadConfig, match=r"'lr' .*range"):
        grid_size({"lr": Real(0.1, 1.0)})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Real(1.0, 0.5),
        lambda: Real(0.0, 1.0, log=True),
        lambda: Whole(5, 4),
        lambda: Whole(3, 8, multiple=2),
        lambda: Categorical(()),
        lambda: Categorical((1, 1)),
    ],
)
def test_empty_dimensions_are_refused(make):
    """A dimension that has no values or a repeated value is rejected."""
    with pytest.raises(BadConfig):
        make()
