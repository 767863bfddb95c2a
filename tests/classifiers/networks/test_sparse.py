from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import pad
from torch_geometric.data import Batch

from nefstudy.classifiers.networks.gnn import Gnn, GnnNetwork
from nefstudy.classifiers.networks.graph import weight_graph
from nefstudy.classifiers.networks.sparse import graphs, score_graphs
from nefstudy.classifiers.scores import embeddings_of, logits_of
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData, concatenate
from nefstudy.config import AugmentConfig, ClassifierConfig
from nefstudy.errors import BadConfig, FitDiverged
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren

from ...present import present

MakeRows = Callable[..., torch.Tensor]
MakeData = Callable[..., WeightData]
SMALL = ClassifierConfig(
    name="gnn", params={"width": 8, "steps": 2, "node_hidden": 16, "edge_hidden": 16}, epochs=3, batch_size=16, lr=1e-2
)
NARROW, DEEP = Siren(2, 1, hidden=4), Siren(2, 1, hidden=3, layers=4)


def network_of(field: NeuralField, rows: torch.Tensor, *, centered: bool = False) -> GnnNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        spec = Gnn(width=8, steps=3, node_hidden=16, edge_hidden=12)
        network = spec.build(field, 5, centered=centered).double()
    network.calibrate(rows)
    return network.eval()


@pytest.mark.parametrize("centered", [False, True])
def test_the_sparse_path_equals_the_dense_one(field: NeuralField, make_rows: MakeRows, centered: bool) -> None:
    """A torch-geometric batch yields the dense path's scores and gradients, up to a relative error of 1e-6."""
    rows = make_rows(field, 4)
    network = network_of(field, rows, centered=centered)
    batch = Batch.from_data_list(graphs(network, network.graph, rows, scales=network.scales, mean=network.mean))
    dense, sparse = network(rows), score_graphs(network, batch)
    assert (dense - sparse).abs().max() < 1e-6 * dense.std()
    weights = list(network.parameters())
    one = torch.autograd.grad(dense.square().sum(), weights)
    two = torch.autograd.grad(sparse.square().sum(), weights)
    for a, b in zip(one, two, strict=True):
        assert (a - b).abs().max() <= 1e-6 * a.abs().max() + 1e-12


def test_architectures_mix_in_one_batch(make_rows: MakeRows) -> None:
    """In a batch of narrow, wide and deep fields, each field has the same scores as in a separate batch."""
    known = Siren(in_dim=2, out_dim=1, hidden=6, layers=4)
    rows = make_rows(known, 2)
    network = network_of(known, rows)
    lone, mixed = [], []
    for other in (known, Siren(2, 1, hidden=4, layers=4), Siren(2, 1, hidden=5, layers=6), Siren(2, 1, layers=2)):
        graph, own = weight_graph(other, signs=False), make_rows(other, 2)
        data = graphs(network, graph, own, scales=graph.scales(own))
        lone.append(score_graphs(network, Batch.from_data_list(data)))
        mixed += data
    together = score_graphs(network, Batch.from_data_list(mixed))
    assert together.shape == (8, 5)
    assert torch.allclose(together, torch.cat(lone), rtol=0, atol=1e-10)
    assert (together[:2] - network(rows)).abs().max() < 1e-6 * together.std()
    assert (together[2:4] - together[4:6]).abs().max() > 1e-3 * together.std()


def test_other_kinds_of_field_are_refused(make_rows: MakeRows) -> None:
    """A network trained on fields with two coordinates rejects graphs of fields with three coordinates."""
    known, other = Siren(2, 1, hidden=4), Siren(3, 1, hidden=4)
    network, rows = network_of(known, make_rows(known, 2)), make_rows(other, 2)
    graph = weight_graph(other, signs=False)
    with pytest.raises(BadConfig, match=r"Siren\(in_dim=2.*Siren\(in_dim=3"):
        graphs(network, graph, rows, scales=graph.scales(rows))


@pytest.mark.parametrize("shared", [False, True])
def test_training_on_one_architecture_equals_the_dense_path(make_data: MakeData, shared: bool) -> None:
    """Training on graphs of a single architecture yields the same scores, features and metrics as the dense path."""
    data = replace(make_data(NARROW, dtype=torch.float64), shared=shared)
    mixed = replace(data, parameters=pad(data.parameters, (1, 0)), architectures=(NARROW,))
    dense, sparse = (train_classifier(SMALL, each, seed=0) for each in (data, mixed))
    assert (logits_of(dense.network, data.parameters) - logits_of(sparse.network, mixed.parameters)).abs().max() < 1e-5
    features = embeddings_of(dense.network, data.parameters), embeddings_of(sparse.network, mixed.parameters)
    assert (features[0] - features[1]).abs().max() < 1e-5
    assert dense.metrics == pytest.approx(sparse.metrics, abs=1e-5)
    assert dense.parameters == sparse.parameters


def test_one_network_learns_fields_of_several_architectures(make_data: MakeData) -> None:
    """A network trained on fields of two architectures beats chance on both.

    Its training is reproducible, and its scores do not depend on the order of rows.
    """
    parts = make_data(NARROW), make_data(DEEP)
    data = concatenate(parts)
    assert (data.field, data.architectures, len(data)) == (DEEP, (NARROW, DEEP), 120)
    assert len(torch.unique(data.signals)) == 120
    trained, again = (train_classifier(SMALL.model_copy(update={"epochs": 8}), data, seed=1) for _ in range(2))
    assert trained.epochs == again.epochs
    scores = logits_of(trained.network, data.parameters)
    correct = (scores.argmax(dim=1) == data.labels).float()
    assert min(correct[:60].mean(), correct[60:].mean()) > 0.6
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(logits_of(trained.network, data.parameters[order]), scores[order], atol=1e-4)


def test_joined_rows_of_one_architecture_stay_dense(make_data: MakeData) -> None:
    """Concatenating datasets of one architecture keeps the rows unchanged and the datasets' signals distinct."""
    signals = torch.arange(60) // 2
    data = replace(make_data(NARROW), signals=signals)
    both = concatenate((data, data))
    assert not both.architectures
    assert torch.equal(both.parameters, torch.cat([data.parameters] * 2))
    assert torch.equal(present(both.signals), torch.cat([signals, signals + 60]))
    assert concatenate([data]) is data


def test_joined_rows_have_one_init_only_if_each_architecture_has(make_data: MakeData) -> None:
    """Rows of several datasets have a shared init if each dataset has one and no two have the same architecture.

    Two datasets of one architecture may have different inits, so that a mean over both would be neither's.
    """
    narrow, deep = (replace(make_data(field), shared=True) for field in (NARROW, DEEP))
    assert concatenate((narrow, deep)).shared
    assert not concatenate((narrow, narrow)).shared
    assert not concatenate((narrow, replace(deep, shared=False))).shared
    trained = train_classifier(SMALL, concatenate((narrow, deep)), seed=0)
    assert trained.config.reading == "centered"


@pytest.mark.parametrize(
    "config",
    [
        ClassifierConfig(name="gnn-sign"),
        SMALL.model_copy(update={"members": 2}),
        SMALL.model_copy(update={"mixup": 0.2}),
        SMALL.model_copy(update={"augment": AugmentConfig(permute=True)}),
    ],
)
def test_mixed_architectures_need_the_plain_gnn(make_data: MakeData, config: ClassifierConfig) -> None:
    """Training on several architectures is rejected, except with `gnn` without ensembles, mixup or augmentation."""
    data = concatenate((make_data(NARROW), make_data(DEEP)))
    with pytest.raises(BadConfig, match=f"'{config.name}'.*2 architectures.*'gnn'"):
        train_classifier(config, data, seed=0)


def test_mixed_kinds_of_field_and_broken_rows_are_refused(make_data: MakeData) -> None:
    """Mixing fields with two and three coordinates is rejected.

    Rows of the wrong length and rows with NaN are rejected, too.
    """
    with pytest.raises(BadConfig, match=r"Siren\("):
        train_classifier(SMALL, concatenate((make_data(NARROW), make_data(Siren(3, 1, hidden=4)))), seed=0)
    data = concatenate((make_data(NARROW), make_data(DEEP)))
    with pytest.raises(BadConfig, match="parameters"):
        replace(data, parameters=data.parameters[:, 1:]).check()
    data.parameters[0, 3] = torch.nan
    with pytest.raises(FitDiverged, match="1 of 120"):
        data.check()
