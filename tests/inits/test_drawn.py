"""Tests of the inits `random` and `shared`, which are drawn from the field's initial distribution."""

import torch

from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.inits.drawn import RandomInit, SharedInit
from nefstudy.seeds import stream


def test_a_random_init_depends_on_seed_signal_and_view_only(field: NeuralField) -> None:
    """A field's draw depends on seed, signal and view, but not on its position in a batch or on its neighbors."""
    rows = RandomInit().rows(field, seed=1, ids=[7, 2, 9], view=0)
    assert torch.equal(RandomInit().rows(field, seed=1, ids=[9], view=0), rows[2:])
    assert not torch.equal(rows[0], rows[1])
    assert not torch.equal(RandomInit().rows(field, seed=2, ids=[9], view=0), rows[2:])
    assert not torch.equal(RandomInit().rows(field, seed=1, ids=[9], view=1), rows[2:])


def test_a_shared_init_depends_on_the_seed_only(field: NeuralField) -> None:
    """A shared init depends only on the seed, so all signals and views have the same initial parameters."""
    rows = SharedInit().rows(field, seed=1, ids=[7, 2], view=0)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(SharedInit().rows(field, seed=1, ids=[5], view=3), rows[:1])
    assert not torch.equal(SharedInit().rows(field, seed=2, ids=[7], view=0), rows[:1])


def test_rows_are_the_fields_own_draw(field: NeuralField) -> None:
    """A row is the field's own draw from the random stream (seed, "start", id, view)."""
    rows = RandomInit().rows(field, seed=1, ids=[7], view=2)
    expected = {k: torch.from_numpy(v)[None] for k, v in field.init(stream(1, "start", 7, 2)).items()}
    assert torch.equal(flatten(field, expected), rows)
    assert list(unflatten(field, rows)) == list(expected)
