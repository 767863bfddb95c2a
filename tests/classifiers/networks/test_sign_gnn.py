from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.classifier import ClassifierSpec, WeightClassifier
from nefstudy.classifiers.networks.dws import Dws
from nefstudy.classifiers.networks.gnn import Gnn
from nefstudy.classifiers.networks.graph import WeightGraph, weight_graph
from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.classifiers.networks.sign_gnn import GnnSign, GnnThin, Messages, Visit, characters
from nefstudy.classifiers.networks.transformer import Transformer
from nefstudy.fields.actions import act, random_element
from nefstudy.fields.field import NeuralField, flatten, unflatten
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
F = 6
SMALL: list[GnnSign | GnnThin | Gnn | Mlp | Transformer | Dws] = [
    GnnSign(width=8, pooled=8),
    GnnThin(width=8, pooled=8),
    Gnn(width=8, steps=2, node_hidden=8, edge_hidden=8),
    Mlp(width=8),
    Transformer(width=8, edge_width=4, heads=2, rounds=2),
    Dws(width=8, depth=2, pooled=8),
]


def network_of(spec: ClassifierSpec, field: NeuralField, rows: torch.Tensor) -> WeightClassifier:
    """Return a calibrated float64 network in evaluation mode, with running statistics computed from the rows."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = spec.build(field, 5).double()
    network.calibrate(rows)
    with torch.no_grad():
        for _ in range(20):
            network(rows)
    return network.eval()


def moved(field: NeuralField, rows: torch.Tensor, **only: bool) -> torch.Tensor:
    kinds = {name: only.get(name, False) for name in ("permute", "flip", "turn")}
    return act(field, rows, random_element(field, len(rows), rng=seeds.stream(5, "test", "element"), **kinds))


def difference(network: WeightClassifier, rows: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference between the scores of two batches, relative to the scores' standard deviation."""
    with torch.no_grad():
        scores = network(rows)
        return ((scores - network(other)).abs().max() / scores.std(dim=0).mean()).item()


@pytest.mark.parametrize("kind", ["permute", "flip", "turn"])
@pytest.mark.parametrize("sweeps", [1, 2])
def test_no_declared_symmetry_changes_a_score(field: NeuralField, make_rows: MakeRows, kind: str, sweeps: int) -> None:
    """The scores of `GnnSign` do not change under any declared symmetry of the field."""
    rows = make_rows(field, F)
    network = network_of(GnnSign(width=8, pooled=8, sweeps=sweeps), field, rows)
    assert difference(network, rows, moved(field, rows, **{kind: True})) < 1e-10


def test_the_thin_gnn_is_invariant_to_permutations_only(field: NeuralField, make_rows: MakeRows) -> None:
    """Permutations do not change the scores of `GnnThin`; flips do."""
    rows = make_rows(field, F)
    network = network_of(GnnThin(width=8, pooled=8), field, rows)
    assert difference(network, rows, moved(field, rows, permute=True)) < 1e-10
    assert difference(network, rows, moved(field, rows, flip=True)) > 1e-3


def test_the_flat_network_is_not_invariant(field: NeuralField, make_rows: MakeRows) -> None:
    """Permutations change the scores of `Mlp`, the baseline."""
    rows = make_rows(field, F)
    assert difference(network_of(Mlp(width=16), field, rows), rows, moved(field, rows, permute=True)) > 1e-2


def visit_by_copies(
    visit: Visit, graph: WeightGraph, units: list[torch.Tensor], edges: list[torch.Tensor], states: list[torch.Tensor]
) -> torch.Tensor:
    """Return the layer's new states by the module docstring's formula: one copy, block and feature after the other."""
    layer, update, copies = graph.layers[visit.layer], visit.update, []
    assert update.before is not None
    own = characters(layer.generators).double()
    for e in range(len(own)):
        hidden = update.identity + states[visit.layer][e] @ update.before.weight.T
        for index, feature in enumerate(layer.features):
            hidden = hidden + own[feature.target, e] * units[visit.layer][index, :, :, None] * update.readings[index]
        for block, sender, message in zip(visit.blocks, visit.senders, visit.messages, strict=True):
            assert isinstance(message, Messages)
            theirs = characters(graph.layers[sender].generators).double()
            mean = states[sender].mean(dim=0)
            for index, feature in enumerate(graph.blocks[block].features):
                ends = (feature.target, feature.source) if message.reverse else (feature.source, feature.target)
                weights = edges[block][index] if message.reverse else edges[block][index].mT
                signed = (theirs[ends[0], :, None, None, None] * states[sender]).mean(dim=0)
                hidden = hidden + own[ends[1], e] * (weights @ signed * message.scale) @ message.mix[index]
                hidden = hidden + (weights.square() @ mean * message.scale) @ message.mix_squares[index]
        copies.append(states[visit.layer][e] + update.after(torch.nn.functional.silu(hidden)))
    return torch.stack(copies)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_visit_equals_its_formula(field: NeuralField, reverse: bool) -> None:
    """Products over all copies at once give the states and gradients of a loop over copies, blocks and features."""
    graph = weight_graph(field, centered=True)
    generator = torch.Generator().manual_seed(2)

    def drawn(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, dtype=torch.float64, generator=generator)

    units = [drawn(len(layer.features), 3, layer.size) for layer in graph.layers]
    edges = [drawn(len(b.features), 3, graph.layers[b.source].size, graph.layers[b.target].size) for b in graph.blocks]
    both = [torch.cat([block, block.square()]) for block in edges]
    states = [drawn(1 << layer.generators, 3, layer.size, 4).requires_grad_(True) for layer in graph.layers]
    for layer in range(1, len(graph.layers) - 1):
        visit = Visit(graph, layer, width=4, reverse=reverse, first=False).double()
        weights = [p for p in visit.parameters() if p.numel()]
        tensors = [*weights, *(states[index] for index in (layer, *visit.senders))]
        new, expected = visit(units, both, states), visit_by_copies(visit, graph, units, edges, states)
        assert torch.allclose(new, expected, rtol=0, atol=1e-12)
        gradients = [torch.autograd.grad(result.square().sum(), tensors) for result in (new, expected)]
        assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(*gradients, strict=True))


def test_every_parameter_matters(field: NeuralField, make_rows: MakeRows) -> None:
    """Scores depend on every weight, so invariance is not achieved by ignoring some weights."""
    rows = make_rows(field, F).requires_grad_(True)
    network = network_of(GnnSign(width=8, pooled=8), field, rows.detach())
    (gradient,) = torch.autograd.grad(network(rows)[:, 0].sum(), rows)
    assert (gradient.abs().amax(dim=0) > 1e-9).all()


def test_permuting_one_parameter_alone_changes_scores(field: NeuralField, make_rows: MakeRows) -> None:
    """Permuting the units in only one kernel, but not in the other parameters, changes the scores."""
    rows = make_rows(field, F)
    network = network_of(GnnSign(width=8, pooled=8), field, rows)
    for name in [p.name for p in field.layout if len(p.shape) == 2 and p.shape[0] > 2]:
        params = {k: v.clone() for k, v in unflatten(field, rows).items()}
        params[name] = params[name].roll(1, dims=1)
        assert difference(network, rows, flatten(field, params)) > 1e-3, name


def test_flipping_one_slot_alone_changes_scores(field: NeuralField, make_rows: MakeRows) -> None:
    """A flip covers several parameters of a unit; changing the sign of only one of them changes the scores."""
    rows = make_rows(field, F)
    network = network_of(GnnSign(width=8, pooled=8), field, rows)
    name = field.layout[-1].name
    params = {k: v.clone() for k, v in unflatten(field, rows).items()}
    params[name][:, 0] *= -1
    assert difference(network, rows, flatten(field, params)) > 1e-3


def test_a_turn_without_its_sign_changes_scores(make_rows: MakeRows) -> None:
    """Shifting a SIREN's bias by its period without flipping the next layer's weights changes the scores."""
    field = Siren(in_dim=2, out_dim=1, hidden=6)
    rows = make_rows(field, F)
    network = network_of(GnnSign(width=8, pooled=8), field, rows)
    params = {k: v.clone() for k, v in unflatten(field, rows).items()}
    params["bias_0"][:, 0] += field.symmetry.phase_shifts[0].period
    assert difference(network, rows, flatten(field, params)) > 1e-3


def test_a_network_without_phases_is_invariant_to_flips(field: NeuralField, make_rows: MakeRows) -> None:
    """With `phases=False`, `GnnSign` is still invariant to flips, but no longer to phase shifts."""
    rows = make_rows(field, F)
    network = network_of(GnnSign(width=8, pooled=8, phases=False), field, rows)
    for kind, declared in (("flip", field.symmetry.flips), ("turn", field.symmetry.phase_shifts)):
        change = difference(network, rows, moved(field, rows, **{kind: True}))
        assert change < 1e-10 if kind == "flip" or not declared else change > 1e-8
    copies = [[layer.generators for layer in weight_graph(field, phases=p).layers] for p in (True, False)]
    assert [a - b for a, b in zip(*copies, strict=True)] == [
        sum(phase.layer == layer for phase in field.symmetry.phase_shifts) for layer in range(len(copies[0]))
    ]


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: type(spec).__name__)
class TestEveryNetwork:
    def test_scores_follow_the_order_of_fields(
        self, field: NeuralField, make_rows: MakeRows, spec: ClassifierSpec
    ) -> None:
        """A field's scores depend neither on its position in a batch nor on the other fields in the batch."""
        rows = make_rows(field, F)
        network = network_of(spec, field, rows)
        order = torch.tensor([3, 1, 5, 0, 2, 4])
        assert difference(network, rows[order], rows) > 1e-3
        with torch.no_grad():
            scores = network(rows)
            assert torch.allclose(network(rows[order]), scores[order], rtol=0, atol=1e-12)
            assert torch.allclose(network(rows[2:3]), scores[2:3], rtol=0, atol=1e-12)

    def test_all_zero_weights_have_finite_gradients(
        self, field: NeuralField, make_rows: MakeRows, spec: ClassifierSpec
    ) -> None:
        """If all weights are zero, gradients are finite: nothing is divided by a zero deviation, norm or root."""
        rows = torch.zeros_like(make_rows(field, 4)).requires_grad_(True)
        network = spec.build(field, 5).double()
        network.calibrate(rows.detach())
        network(rows).square().sum().backward()
        gradients = [rows.grad, *(p.grad for p in network.parameters() if p.grad is not None)]
        assert all(torch.isfinite(g).all() for g in gradients if g is not None)

    def test_a_batch_of_one_trains(self, field: NeuralField, make_rows: MakeRows, spec: ClassifierSpec) -> None:
        """A batch of a single field yields finite gradients that are not all zero."""
        rows = make_rows(field, 1)
        network = spec.build(field, 5).double()
        network.calibrate(rows)
        network(rows)[0, 0].backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in gradients)
        assert any(g.abs().max() > 0 for g in gradients)

    def test_statistics_are_scalars(self, field: NeuralField, make_rows: MakeRows, spec: ClassifierSpec) -> None:
        """The network's statistics have no separate entries for individual units or weights."""
        rows = make_rows(field, F)
        network = spec.build(field, 5).double()
        fresh = {name: value.clone() for name, value in network.named_buffers()}
        network.calibrate(rows)
        measured = {n: v for n, v in network.named_buffers() if not torch.equal(v, fresh[n])}
        assert measured
        assert all(value.numel() <= 2 * len(field.layout) for value in measured.values())


@pytest.mark.parametrize("spec", [replace(spec, dropout=0.5) for spec in SMALL], ids=lambda spec: type(spec).__name__)
def test_dropout_is_off_in_evaluation(field: NeuralField, make_rows: MakeRows, spec: ClassifierSpec) -> None:
    """Scores of the same input are identical in evaluation mode and differ in training mode."""
    rows = make_rows(field, F)
    network = network_of(spec, field, rows)
    assert difference(network, rows, rows) == 0.0
    network.train()
    assert difference(network, rows, rows) > 1e-3
