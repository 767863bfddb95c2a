from collections.abc import Callable

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.transformer import RelationalReader, Transformer
from nefstudy.errors import BadConfig
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import NeuralField

MakeRows = Callable[..., torch.Tensor]
F = 4


def reader_of(field: NeuralField, rows: torch.Tensor) -> RelationalReader:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reader = Transformer(width=8, edge_width=6, heads=2, rounds=2).build(field, 5).double()
    reader.calibrate(rows)
    return reader.eval()


def difference(reader: RelationalReader, rows: torch.Tensor, other: torch.Tensor) -> float:
    with torch.no_grad():
        scores = reader(rows)
        return ((scores - reader(other)).abs().max() / scores.std(dim=0).mean()).item()


def test_permutations_change_no_score_and_flips_do(field: NeuralField, make_rows: MakeRows) -> None:
    """Attention is invariant to permutations of units and sees signs, where the field has flips."""
    rows = make_rows(field, F)
    reader = reader_of(field, rows)
    rng = seeds.stream(0, "test", "element")
    permuted = act(field, rows, random_element(field, F, rng=rng, flip=False, turn=False))
    flipped = act(field, rows, random_element(field, F, rng=rng, permute=False, turn=False))
    assert difference(reader, rows, permuted) < 1e-10
    assert difference(reader, rows, flipped) > 1e-4


def test_every_parameter_matters(field: NeuralField, make_rows: MakeRows) -> None:
    """Scores depend on every single weight."""
    rows = make_rows(field, F).requires_grad_(True)
    (gradient,) = torch.autograd.grad(reader_of(field, rows.detach())(rows)[:, 0].sum(), rows)
    assert (gradient.abs().amax(dim=0) > 1e-9).all()


def test_heads_must_divide_the_width() -> None:
    """A width that cannot be shared out among heads is refused."""
    with pytest.raises(BadConfig, match="width = 10: must be a multiple of heads = 4"):
        Transformer(width=10)
