from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch

from nefstudy.classifiers.gnn import EdgeGnn, Gnn
from nefstudy.classifiers.graph import weight_graph
from nefstudy.classifiers.sparse import graphs, score_graphs
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]


def reader_of(field: NeuralField, rows: torch.Tensor) -> EdgeGnn:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reader = Gnn(width=8, steps=3, node_hidden=16, edge_hidden=12).build(field, 5).double()
    reader.calibrate(rows)
    return reader.eval()


def test_the_sparse_path_scores_as_the_dense_one(field: NeuralField, make_rows: MakeRows) -> None:
    """Scores and gradients of torch-geometric batches equal the dense path's to 1e-6 of their size."""
    rows = make_rows(field, 4)
    reader = reader_of(field, rows)
    batch = Batch.from_data_list(graphs(reader, reader.graph, rows, scales=reader.scales))
    dense, sparse = reader(rows), score_graphs(reader, batch)
    assert (dense - sparse).abs().max() < 1e-6 * dense.std()
    weights = list(reader.parameters())
    one = torch.autograd.grad(dense.square().sum(), weights)
    two = torch.autograd.grad(sparse.square().sum(), weights)
    for a, b in zip(one, two, strict=True):
        assert (a - b).abs().max() <= 1e-6 * a.abs().max() + 1e-12


def test_architectures_mix_in_one_batch(make_rows: MakeRows) -> None:
    """In a batch of narrow, wide and deep fields each scores as in a batch of its own."""
    known = Siren(in_dim=2, out_dim=1, hidden=6, layers=4)
    rows = make_rows(known, 2)
    reader = reader_of(known, rows)
    lone, mixed = [], []
    for other in (known, Siren(2, 1, hidden=4, layers=4), Siren(2, 1, hidden=5, layers=6), Siren(2, 1, layers=2)):
        graph, own = weight_graph(other, signs=False), make_rows(other, 2)
        data = graphs(reader, graph, own, scales=graph.scales(own))
        lone.append(score_graphs(reader, Batch.from_data_list(data)))
        mixed += data
    together = score_graphs(reader, Batch.from_data_list(mixed))
    assert together.shape == (8, 5)
    assert torch.allclose(together, torch.cat(lone), rtol=0, atol=1e-10)
    assert (together[:2] - reader(rows)).abs().max() < 1e-6 * together.std()
    assert (together[2:4] - together[4:6]).abs().max() > 1e-3 * together.std()


def test_other_kinds_of_field_are_refused(make_rows: MakeRows) -> None:
    """A reader of two coordinates does not read graphs of three."""
    known, other = Siren(2, 1, hidden=4), Siren(3, 1, hidden=4)
    reader, rows = reader_of(known, make_rows(known, 2)), make_rows(other, 2)
    graph = weight_graph(other, signs=False)
    with pytest.raises(BadConfig, match=r"graphs of Siren\(in_dim=3.* cannot be read by a classifier of Siren"):
        graphs(reader, graph, rows, scales=graph.scales(rows))
