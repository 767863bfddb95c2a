"""Tests of the paper's GNN: its published sizes and its aggregation by standard deviation."""

from typing import Any

import pytest
import torch

from nefstudy.classifiers.classifier import count_parameters
from nefstudy.classifiers.networks.gnn import GNN_SIZES, Gnn, deviation
from nefstudy.classifiers.networks.mlp import MLP_SIZES, Mlp
from nefstudy.fields.siren import Siren

PAPER = Siren(in_dim=2, out_dim=3, hidden=32)


def test_the_presets_have_the_published_sizes() -> None:
    """For a 2-32-32-3 SIREN, each preset has the parameter count printed in the paper's figure."""
    gnn_sizes: dict[str, dict[str, Any]] = GNN_SIZES
    mlp_sizes: dict[str, dict[str, Any]] = MLP_SIZES
    gnn = {name: count_parameters(Gnn(**p).build(PAPER, 10)) for name, p in gnn_sizes.items()}
    assert {name: f"{round(count / 1e6, 1)}M" for name, count in gnn.items()} == {name: name for name in GNN_SIZES}
    mlp = {name: count_parameters(Mlp(**p).build(PAPER, 10)) for name, p in mlp_sizes.items()}
    assert {name: f"{round(count / 1e3)}k" for name, count in mlp.items()} == {name: name for name in MLP_SIZES}
    assert Gnn() == Gnn(**gnn_sizes["1.2M"])


def test_the_deviation_of_a_constant_has_a_finite_gradient() -> None:
    """The standard deviation of equal values is zero and has a finite gradient."""
    variance = torch.tensor([0.0, -1e-18, 4.0], requires_grad=True)
    deviation(variance).sum().backward()
    assert torch.equal(deviation(variance).detach(), torch.tensor([0.0, 0.0, 2.0]))
    assert variance.grad is not None
    assert torch.isfinite(variance.grad).all()


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_do_not_share_weights(steps: int) -> None:
    """Each additional message-passing step adds a full set of parameters."""
    one, more = (count_parameters(Gnn(steps=n).build(PAPER, 10)) for n in (steps, steps + 1))
    assert more - one == 192 * 256 + 256 + 256 * 64 + 64 + 576 * 256 + 256 + 256 * 256 + 256 + 256 * 64 + 64
