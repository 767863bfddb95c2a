"""Tests of drawn points: equal numbers from every stratum, separate streams per signal, and matching targets."""

import numpy as np
import pytest
import torch

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fitting.problem import REUSED, DrawnPoints, PooledPoints, WholeGrid, step_points
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.kinds import STEP_POINTS
from nefstudy.signals.samples import Pool, Samples, Sides
from nefstudy.signals.shape_set import FITTED

SIZE, FIELDS = 40, 3


def own_points() -> WholeGrid:
    """Return a grid with separate points for three fields, where each target is the first coordinate of its point."""
    coords = torch.arange(FIELDS * SIZE * 3, dtype=torch.float32).reshape(FIELDS, SIZE, 3)
    return WholeGrid(coords, coords[..., :1].clone())


def draw(grid: WholeGrid, **more) -> tuple[torch.Tensor, torch.Tensor]:
    given = {"count": 12, "seed": 0, "ids": [7, 8, 9], "view": 0, **more}
    return DrawnPoints(grid, **given).at(0)


@pytest.mark.parametrize("strata", [1, 2, 4])
def test_every_stratum_gives_the_same_number(strata: int):
    """Every stratum of a signal's points contributes the same number of drawn points."""
    coords, _ = draw(own_points(), strata=strata)
    indices = (coords[..., 0] / 3 % SIZE).long()
    counts = torch.stack([torch.bincount(row // (SIZE // strata), minlength=strata) for row in indices])
    assert (counts == 12 // strata).all()


def test_targets_belong_to_the_points_drawn():
    """Each field's targets belong to its own points, and the points differ between fields."""
    coords, targets = draw(own_points(), strata=2)
    torch.testing.assert_close(coords[..., :1], targets)
    assert (coords[0] != coords[1]).any()


def test_a_shared_grid_is_drawn_from_as_before():
    """When all fields share a grid, each field's targets match the points drawn for it."""
    shared = WholeGrid(
        torch.arange(SIZE * 2.0).reshape(SIZE, 2), torch.arange(FIELDS * SIZE * 1.0).reshape(FIELDS, SIZE, 1)
    )
    coords, targets = draw(shared)
    index = (coords[..., 0] / 2).long()
    np.testing.assert_array_equal(targets[..., 0], index + torch.arange(FIELDS).unsqueeze(1) * SIZE)


def test_a_field_draws_the_same_points_among_any_others():
    """A signal's drawn points do not depend on the other signals. Another view draws different points."""
    grid = own_points()
    alone = WholeGrid(grid.coords[1:2], grid.targets[1:2])
    among, _ = draw(grid, strata=2)
    torch.testing.assert_close(draw(alone, ids=[8], strata=2)[0][0], among[1])
    assert (draw(alone, ids=[8], strata=2, view=1)[0][0] != among[1]).any()


class NumberedBlocks:
    """A pool of numbered points, 1, 2, ... inside and -1, -2, ... outside, that counts the blocks that it makes."""

    def __init__(self, *, blocks: int = 4, sizes: tuple[int, int] = (8, 8)) -> None:
        self.made: list[int] = []
        self.pool = Pool("numbered", blocks, sizes, self._block)

    def _block(self, number: int) -> Sides:
        self.made.append(number)
        inside, outside = (1 + np.arange(number * size, (number + 1) * size) for size in self.pool.sizes)
        return _points(inside), _points(-outside)


def _points(numbers: np.ndarray) -> np.ndarray:
    return np.repeat(numbers[:, None], 3, axis=1).astype(np.float16)


STORED, COUNT = 16, 8
FIRST = REUSED * STORED // COUNT
"""Number of steps with the stored points, and with each new block."""


def pooled(pools: list[Pool], **more) -> PooledPoints:
    """Return the sampler of shapes with 16 stored points, numbered 1001 to 1008 inside and -1001 to -1008 outside."""
    stored = _points(np.concatenate([np.arange(1001, 1009), -np.arange(1001, 1009)]))
    held_out, occupied = np.zeros((len(pools), 1, 3), dtype=np.float16), np.zeros((len(pools), 1), dtype=bool)
    samples = Samples(np.stack([stored] * len(pools)), held_out, occupied, np.array(pools))
    targets = torch.tensor([1.0] * 8 + [0.0] * 8).repeat(len(pools), 1).unsqueeze(2)
    return PooledPoints(samples, targets, **{"count": COUNT, "seed": 0, "ids": range(len(pools)), "view": 0, **more})


def test_the_first_steps_use_the_stored_points():
    """The first steps take every stored point equally often, and no block of the pool is made."""
    numbered = NumberedBlocks()
    sampler = pooled([numbered.pool])
    taken = torch.cat([sampler.at(step)[0][0, :, 0] for step in range(FIRST)])
    points, counts = taken.unique(return_counts=True)
    assert (len(points), set(counts.tolist())) == (STORED, {REUSED})
    assert points.abs().min() > 1000
    assert numbered.made == []


@pytest.mark.parametrize(("blocks", "sizes"), [(3, (8, 8)), (1, (24, 12)), (1, (24, 3)), (4, (6, 9))])
def test_steps_take_every_point_of_a_complete_pool_in_turn(blocks: int, sizes: tuple[int, int]):
    """Once a pool is complete, every point of a side is taken once before any is repeated.

    Half of the points of each step are inside.
    """
    sampler = pooled([NumberedBlocks(blocks=blocks, sizes=sizes).pool])
    steps = [sampler.at(FIRST * blocks + step) for step in range(blocks * max(sizes))]
    for side, size in enumerate(sizes):
        taken = torch.cat([coords[0, 4 * side : 4 * side + 4, 0] for coords, _ in steps])
        every = 1 + np.arange(blocks * size) if side == 0 else -1 - np.arange(blocks * size)
        for turn in taken[: len(taken) // len(every) * len(every)].reshape(-1, len(every)):
            np.testing.assert_array_equal(np.sort(turn), np.sort(every))
    assert all((targets[0, :, 0] == torch.tensor([1.0] * 4 + [0.0] * 4)).all() for _, targets in steps)


def test_a_block_is_made_once_when_it_is_needed():
    """A pool grows by one block each time a fit has used it enough. A signal in two lanes has each block made once."""
    numbered = NumberedBlocks(blocks=4)
    sampler = pooled([numbered.pool] * 2, ids=[5, 5])
    made = []
    for step in range(8 * FIRST):
        sampler.at(step)
        made.append(len(numbered.made))
    assert [made[FIRST * part + FIRST - 1] for part in range(8)] == [0, 1, 2, 3, 4, 4, 4, 4]
    assert sorted(numbered.made) == list(range(4))


@pytest.mark.parametrize("step", [3, 100])
def test_a_pool_gives_a_field_the_same_points_among_any_others(step: int):
    """The points of a signal's steps depend on its own pool, the seed, its id and the view, not on other signals.

    They do not depend on which steps were taken before either.
    """
    pools = [NumberedBlocks(sizes=(64, 64)).pool for _ in range(3)]
    sampler = pooled(pools, ids=[7, 8, 9])
    for earlier in range(step):
        sampler.at(earlier)
    among, alone = sampler.at(step)[0], pooled(pools[1:2], ids=[8]).at(step)[0]
    torch.testing.assert_close(alone[0], among[1], rtol=0, atol=0)
    assert (among[0] != among[1]).any()
    for change in ({"view": 1}, {"seed": 1}):
        assert (pooled(pools[1:2], ids=[8], **change).at(step)[0] != alone).any()


def test_steps_of_a_shape_see_more_points_than_are_stored():
    """After 96 steps, six steps of a fit of a solid see 24,576 points, nearly all distinct; only 8,192 are stored.

    Half of the points of each step are inside.
    """
    config = SignalsConfig(name="shapes10", options={"per_class": 3})
    recipe = NeuralDatasetConfig(signals=config, field=FieldConfig(name="siren"), init="shared")
    _, sampler = step_points(load_signals(config), recipe, rows=np.array([4]), view=0)
    coords, targets = (torch.cat(parts, dim=1)[0] for parts in zip(*map(sampler.at, range(96, 102)), strict=True))
    assert len(coords) == 6 * STEP_POINTS == 3 * FITTED
    assert len(torch.unique(coords, dim=0)) > 2.9 * FITTED
    assert targets.mean() == 0.5
