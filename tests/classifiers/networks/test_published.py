"""Tests of the settings that `gnn` and `transformer` have from the code of neural graphs, each of them alone."""

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch

from nefstudy import seeds
from nefstudy.classifiers.catalog import build
from nefstudy.classifiers.networks.gnn import GnnNetwork
from nefstudy.classifiers.networks.graph_network import GraphNetwork
from nefstudy.classifiers.networks.sparse import graphs, score_graphs
from nefstudy.config import ClassifierConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import flatten, unflatten
from nefstudy.fields.siren import Siren
from nefstudy.scalars import Scalar

MakeRows = Callable[..., torch.Tensor]
SMALL: dict[str, dict[str, Scalar]] = {
    "gnn": {"width": 8, "steps": 3, "node_hidden": 12, "edge_hidden": 8},
    "transformer": {"width": 8, "edge_width": 6, "heads": 2, "rounds": 2},
}
SETTINGS: dict[str, dict[str, Scalar]] = {
    "lift": {"lift": 5, "sigma": 2.0},
    "norm": {"norm": "after"},
    "modulate": {"modulate": True},
    "read_out": {"read_out": "concatenate"},
}
EACH = [(name, setting) for name in SMALL for setting in SETTINGS]
FIELD = Siren(in_dim=2, out_dim=3, hidden=5, layers=3)


def network_of(name: str, rows: torch.Tensor, **settings: Scalar) -> GraphNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build(ClassifierConfig(name=name, params=SMALL[name] | settings), FIELD, classes=4).double()
    network.calibrate(rows)
    assert isinstance(network, GraphNetwork)
    return network.eval()


@pytest.mark.parametrize(("name", "setting"), EACH)
def test_each_setting_changes_the_scores_but_not_their_invariance(make_rows: MakeRows, name: str, setting: str) -> None:
    """Each setting changes the scores of a network; permuting hidden units does not.

    Permuting output units, which is not a symmetry of a field, changes them.
    """
    rows = make_rows(FIELD, 4)
    network = network_of(name, rows, **SETTINGS[setting])
    element = random_element(FIELD, len(rows), rng=seeds.stream(5, "test", "element"), flip=False, turn=False)
    params = unflatten(FIELD, rows)
    rolled = flatten(FIELD, params | {key: params[key].roll(1, dims=-1) for key in ("bias_2", "kernel_2")})
    with torch.no_grad():
        scores, size = network(rows), network(rows).std()
        assert (scores - network_of(name, rows)(rows)).abs().max() > 1e-3 * size
        assert (scores - network(act(FIELD, rows, element))).abs().max() < 1e-10 * size
        assert (scores - network(rolled)).abs().max() > 1e-6 * size


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_the_sparse_path_has_each_setting(make_rows: MakeRows, setting: str) -> None:
    """A torch-geometric batch yields the dense path's scores and gradients with each setting of `gnn`."""
    rows = make_rows(FIELD, 4)
    network = network_of("gnn", rows, **SETTINGS[setting])
    assert isinstance(network, GnnNetwork)
    batch = Batch.from_data_list(graphs(network, network.graph, rows, scales=network.scales))
    dense, sparse = network(rows), score_graphs(network, batch)
    assert (dense - sparse).abs().max() < 1e-6 * dense.std()
    weights = list(network.parameters())
    pairs = (torch.autograd.grad(scores.square().sum(), weights) for scores in (dense, sparse))
    for one, two in zip(*pairs, strict=True):
        assert (one - two).abs().max() <= 1e-6 * one.abs().max() + 1e-12


@pytest.mark.parametrize("name", list(SMALL))
def test_a_read_out_keeps_output_units_apart_or_averages_them(make_rows: MakeRows, name: str) -> None:
    """The last hidden layer reads all states of the output units if they are concatenated.

    The mean of `gnn` has the width of one state, that of `transformer` one state for each layer except the input.
    """
    rows = make_rows(FIELD, 2)
    sizes = {
        how: network_of(name, rows, read_out=how).get_parameter("hidden.weight").shape[1]
        for how in ("mean", "concatenate")
    }
    assert sizes == {"mean": 8 if name == "gnn" else 3 * 8, "concatenate": 3 * 8}


def test_a_unit_is_normalized_alone(make_rows: MakeRows) -> None:
    """With `norm` the scores of a field do not depend on the other fields of the batch."""
    rows = make_rows(FIELD, 4)
    for name in SMALL:
        network = network_of(name, rows, norm="after").train()
        with torch.no_grad():
            assert torch.allclose(network(rows)[:2], network(rows[:2]), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("gnn", {"lift": -1}, r"Gnn lift = -1: .*0\.\.4096"),
        ("gnn", {"sigma": -0.5}, r"Gnn sigma = -0.5: .*0.0\.\.1000"),
        ("gnn", {"norm": "before"}, "Gnn norm = 'before': .*after, none"),
        ("gnn", {"modulate": 1}, "modulate = 1: .*bool"),
        ("transformer", {"norm": "none"}, "Transformer norm = 'none': .*after, before"),
        ("transformer", {"read_out": "max"}, "Transformer read_out = 'max': .*concatenate, mean"),
        ("gnn-sign", {"lift": 8}, "gnn-sign: no parameter 'lift'"),
    ],
)
def test_an_invalid_setting_is_refused(name: str, params: dict[str, Scalar], message: str) -> None:
    """The error for an invalid setting is one line with the value and what is allowed."""
    with pytest.raises(BadConfig, match=message) as caught:
        build(ClassifierConfig(name=name, params=params), FIELD, classes=4)
    assert "\n" not in str(caught.value)
