"""Laws of starts."""

import torch

from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.fitting.start import start_rows
from nefstudy.seeds import stream


def test_a_random_start_depends_on_seed_signal_and_view_only(field: NeuralField) -> None:
    """Not on position or neighbours; another seed, signal or view starts elsewhere."""
    rows = start_rows(field, start="random", seed=1, ids=[7, 2, 9], view=0)
    assert torch.equal(start_rows(field, start="random", seed=1, ids=[9], view=0), rows[2:])
    assert not torch.equal(rows[0], rows[1])
    assert not torch.equal(start_rows(field, start="random", seed=2, ids=[9], view=0), rows[2:])
    assert not torch.equal(start_rows(field, start="random", seed=1, ids=[9], view=1), rows[2:])


def test_a_shared_start_depends_on_the_seed_only(field: NeuralField) -> None:
    """All signals and views begin at one set of parameters."""
    rows = start_rows(field, start="shared", seed=1, ids=[7, 2], view=0)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(start_rows(field, start="shared", seed=1, ids=[5], view=3), rows[:1])
    assert not torch.equal(start_rows(field, start="shared", seed=2, ids=[7], view=0), rows[:1])


def test_rows_are_the_fields_own_start(field: NeuralField) -> None:
    """A row is what `start` draws from the stream (seed, "start", id, view)."""
    rows = start_rows(field, start="random", seed=1, ids=[7], view=2)
    expected = {k: torch.from_numpy(v)[None] for k, v in field.start(stream(1, "start", 7, 2)).items()}
    assert torch.equal(flatten(field, expected), rows)
    assert list(unflatten(field, rows)) == list(expected)
