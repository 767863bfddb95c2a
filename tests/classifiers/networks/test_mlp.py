"""Tests of the calibration of `mlp`: invariance to shared offsets and to the scale of parameter tensors."""

from collections.abc import Callable

import pytest
import torch

from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
FIELD = Siren(in_dim=2, out_dim=1, hidden=6)


def scores(rows: torch.Tensor, *, centered: bool = False) -> torch.Tensor:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = Mlp().build(FIELD, 3, centered=centered).double()
        network.calibrate(rows)
        return network.eval()(rows)


def test_a_centered_network_ignores_a_shared_offset(make_rows: MakeRows) -> None:
    """With a mean per entry, an offset shared by all rows changes no score.

    With one mean per tensor, such an offset changes the scores.
    """
    rows = make_rows(FIELD, 20)
    moved = rows + torch.linspace(-3, 3, rows.shape[1]).to(rows)
    assert torch.allclose(scores(moved, centered=True), scores(rows, centered=True), atol=1e-9)
    assert (scores(moved) - scores(rows)).abs().max() > 1e-3


@pytest.mark.parametrize("centered", [False, True])
def test_the_size_of_a_tensor_changes_no_score(make_rows: MakeRows, centered: bool) -> None:
    """Scaling a parameter tensor of all fields changes no score. Scaling it in only some fields changes the scores."""
    rows = make_rows(FIELD, 20)
    factors = torch.cat([torch.full((p.size,), 2.0 + i) for i, p in enumerate(FIELD.layout)]).to(rows)
    assert torch.allclose(scores(rows * factors, centered=centered), scores(rows, centered=centered), atol=1e-9)
    some = rows.clone()
    some[::2] *= factors
    assert (scores(some, centered=centered) - scores(rows, centered=centered)).abs().max() > 1e-3


def test_a_row_brings_the_mean_that_it_is_compared_with(make_rows: MakeRows) -> None:
    """A centered network subtracts the mean next to a row, by default that of the training rows."""
    rows = make_rows(FIELD, 20)
    network = Mlp().build(FIELD, 3, centered=True).double()
    network.calibrate(rows)
    network.eval()
    framed = network.framed(rows)
    assert torch.equal(framed[:, rows.shape[1] :], network.mean.expand_as(rows))
    assert torch.equal(network(framed), network(rows))
    assert torch.allclose(network(framed + 1.0), network(rows), atol=1e-9)
    assert (network(rows + 1.0) - network(rows)).abs().max() > 1e-3
    assert Mlp().build(FIELD, 3).double().framed(rows) is rows
