from collections.abc import Callable

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.classifier import count_parameters
from nefstudy.classifiers.gnn import GNN_SIZES, EdgeGnn, Gnn, deviation
from nefstudy.classifiers.mlp import MLP_SIZES, Mlp
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
F = 4
PAPER = Siren(in_dim=2, out_dim=3, hidden=32)


def reader_of(field: NeuralField, rows: torch.Tensor, *, steps: int = 4) -> EdgeGnn:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reader = Gnn(width=8, steps=steps, node_hidden=16, edge_hidden=12).build(field, 5).double()
    reader.calibrate(rows)
    return reader.eval()


def difference(reader: EdgeGnn, rows: torch.Tensor, other: torch.Tensor) -> float:
    with torch.no_grad():
        scores = reader(rows)
        return ((scores - reader(other)).abs().max() / scores.std(dim=0).mean()).item()


def test_permutations_change_no_score_and_flips_do(field: NeuralField, make_rows: MakeRows) -> None:
    """The study's GNN is invariant to permutations of units and sees signs, where the field has flips."""
    rows = make_rows(field, F)
    reader = reader_of(field, rows)
    rng = seeds.stream(0, "test", "element")
    permuted = act(field, rows, random_element(field, F, rng=rng, flip=False, turn=False))
    flipped = act(field, rows, random_element(field, F, rng=rng, permute=False, turn=False))
    assert difference(reader, rows, permuted) < 1e-10
    assert difference(reader, rows, flipped) > 1e-8


def test_every_parameter_matters(field: NeuralField, make_rows: MakeRows) -> None:
    """With a step for every block of the field, scores depend on every single weight."""
    rows = make_rows(field, F).requires_grad_(True)
    reader = reader_of(field, rows.detach(), steps=len(field.symmetry.nodes))
    (gradient,) = torch.autograd.grad(reader(rows)[:, 0].sum(), rows)
    assert (gradient.abs().amax(dim=0) > 0).all()


def test_the_presets_have_the_published_sizes() -> None:
    """Parameter counts on a 2-32-32-3 SIREN are those of the study's figure, to the digits it gives."""
    gnn = {name: count_parameters(Gnn(**p).build(PAPER, 10)) for name, p in GNN_SIZES.items()}
    assert {name: f"{round(count / 1e6, 1)}M" for name, count in gnn.items()} == {name: name for name in GNN_SIZES}
    mlp = {name: count_parameters(Mlp(**p).build(PAPER, 10)) for name, p in MLP_SIZES.items()}
    assert {name: f"{round(count / 1e3)}k" for name, count in mlp.items()} == {name: name for name in MLP_SIZES}
    assert Gnn() == Gnn(**GNN_SIZES["1.2M"])


def test_the_deviation_of_a_constant_has_a_finite_gradient() -> None:
    """Where all edges agree, the deviation is zero and its gradient is not NaN."""
    variance = torch.tensor([0.0, -1e-18, 4.0], requires_grad=True)
    deviation(variance).sum().backward()
    assert torch.equal(deviation(variance).detach(), torch.tensor([0.0, 0.0, 2.0]))
    assert variance.grad is not None
    assert torch.isfinite(variance.grad).all()


@pytest.mark.parametrize("steps", [1, 3])
def test_more_steps_are_more_parameters(steps: int) -> None:
    """Steps do not share weights."""
    one, more = (count_parameters(Gnn(steps=n).build(PAPER, 10)) for n in (steps, steps + 1))
    assert more - one == 192 * 256 + 256 + 256 * 64 + 64 + 576 * 256 + 256 + 256 * 256 + 256 + 256 * 64 + 64
