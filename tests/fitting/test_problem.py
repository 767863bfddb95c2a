"""Laws of drawn points: as many from every stratum, from the signal's own stream, with their values."""

import numpy as np
import pytest
import torch

from nefstudy.fitting.problem import DrawnPoints, WholeGrid

SIZE, FIELDS = 40, 3


def own_points() -> WholeGrid:
    """Three fields with points of their own, the first half inside; a target names its point."""
    points = torch.arange(FIELDS * SIZE * 3, dtype=torch.float32).reshape(FIELDS, SIZE, 3)
    return WholeGrid(points, points[..., :1].clone())


def draw(grid: WholeGrid, **more) -> tuple[torch.Tensor, torch.Tensor]:
    given = {"count": 12, "seed": 0, "ids": [7, 8, 9], "view": 0, **more}
    return DrawnPoints(grid, **given).at(0)


@pytest.mark.parametrize("strata", [1, 2, 4])
def test_every_stratum_gives_the_same_number(strata: int):
    """Twelve points of four strata are three from each quarter of a signal's points."""
    points, _ = draw(own_points(), strata=strata)
    place = (points[..., 0] / 3 % SIZE).long()
    counts = torch.stack([torch.bincount(row // (SIZE // strata), minlength=strata) for row in place])
    assert (counts == 12 // strata).all()


def test_targets_belong_to_the_points_drawn():
    """Each field's targets are those of its own points, and no other field's."""
    points, targets = draw(own_points(), strata=2)
    torch.testing.assert_close(points[..., :1], targets)
    assert (points[0] != points[1]).any()


def test_a_shared_grid_is_drawn_from_as_before():
    """One grid for all fields: points are its rows, and one stratum is the plain draw of the stream."""
    shared = WholeGrid(
        torch.arange(SIZE * 2.0).reshape(SIZE, 2), torch.arange(FIELDS * SIZE * 1.0).reshape(FIELDS, SIZE, 1)
    )
    points, targets = draw(shared)
    index = (points[..., 0] / 2).long()
    np.testing.assert_array_equal(targets[..., 0], index + torch.arange(FIELDS).unsqueeze(1) * SIZE)


def test_a_field_draws_the_same_whoever_its_neighbours_are():
    """Field 8 alone draws what it draws among others; under another view it does not."""
    grid = own_points()
    alone = WholeGrid(grid.points[1:2], grid.targets[1:2])
    among, _ = draw(grid, strata=2)
    torch.testing.assert_close(draw(alone, ids=[8], strata=2)[0][0], among[1])
    assert (draw(alone, ids=[8], strata=2, view=1)[0][0] != among[1]).any()
