"""What is the study's GNN's own: its published sizes and its deviation. Its invariance: see test_laws."""

import pytest
import torch

from nefstudy.classifiers.classifier import count_parameters
from nefstudy.classifiers.gnn import GNN_SIZES, Gnn, deviation
from nefstudy.classifiers.mlp import MLP_SIZES, Mlp
from nefstudy.fields.siren import Siren

PAPER = Siren(in_dim=2, out_dim=3, hidden=32)


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
