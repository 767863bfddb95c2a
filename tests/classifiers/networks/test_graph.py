from collections.abc import Callable

import torch

from nefstudy.classifiers.networks.graph import weight_graph
from nefstudy.classifiers.networks.sign_gnn import characters
from nefstudy.fields.actions import Element, act
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]


def test_features_take_the_signs_that_their_masks_declare(field: NeuralField, make_rows: MakeRows) -> None:
    """A symmetry generator flips the sign of exactly the features whose masks contain the generator's bit."""
    rows = make_rows(field, 3)
    graph = weight_graph(field)
    ones = torch.ones(len(graph.features), dtype=rows.dtype)
    units, edges = graph.extract(rows, ones)
    symmetry = field.symmetry
    seen = [0] * len(graph.layers)
    generators = [(f.layer, "flip", i) for i, f in enumerate(symmetry.flips)]
    generators += [(p.layer, "turn", i) for i, p in enumerate(symmetry.phase_shifts)]
    for layer, kind, which in generators:
        signs = tuple(torch.ones(3, graph.layers[f.layer].size) for f in symmetry.flips)
        turns = tuple(torch.zeros(3, graph.layers[p.layer].size, dtype=torch.int64) for p in symmetry.phase_shifts)
        if kind == "flip":
            signs[which].fill_(-1.0)
        else:
            turns[which].fill_(1)
        bit = 1 << seen[layer]
        seen[layer] += 1
        new_units, new_edges = graph.extract(act(field, rows, Element({}, signs, turns)), ones)
        for index, part in enumerate(graph.layers):
            for k, feature in enumerate(part.features):
                sign = -1.0 if index == layer and feature.target & bit else 1.0
                assert torch.allclose(new_units[index][:, :, k], sign * units[index][:, :, k], atol=1e-12)
        for index, block in enumerate(graph.blocks):
            for k, feature in enumerate(block.features):
                mask = {block.source: feature.source, block.target: feature.target}.get(layer, 0)
                sign = -1.0 if mask & bit else 1.0
                assert torch.allclose(new_edges[index][:, k], sign * edges[index][:, k], atol=1e-12)


def test_every_number_of_a_row_is_used(field: NeuralField, make_rows: MakeRows) -> None:
    """Every parameter of a field influences the features: its gradient is not zero."""
    rows = make_rows(field, 2).requires_grad_(True)
    graph = weight_graph(field)
    units, edges = graph.extract(rows, torch.ones(len(graph.features), dtype=rows.dtype))
    total = torch.stack([(t * torch.rand_like(t)).sum() for t in [*units, *edges]]).sum()
    (gradient,) = torch.autograd.grad(total, rows)
    assert (gradient.abs() > 0).all()


def test_scales_bring_every_feature_to_unit_size(field: NeuralField, make_rows: MakeRows) -> None:
    """Each feature, divided by its scale, has a root mean square of 1 over the fields that determined the scale."""
    rows = make_rows(field, 50)
    graph = weight_graph(field)
    units, edges = graph.extract(rows, graph.scales(rows))
    sizes = [u[:, :, k].square().mean() for u in units for k in range(u.shape[2])]
    sizes += [e[:, k].square().mean() for e in edges for k in range(e.shape[1])]
    assert torch.allclose(torch.stack(sizes), torch.ones(len(sizes), dtype=rows.dtype), atol=1e-9)


def test_centered_features_are_differences_of_unit_size(field: NeuralField, make_rows: MakeRows) -> None:
    """A centered graph adds to each feature, unchanged, its difference from the mean row's, with a size of 1."""
    rows = make_rows(field, 50)
    mean = rows.mean(dim=0, keepdim=True)
    plain, graph = weight_graph(field), weight_graph(field, centered=True)
    assert len(graph.features) == 2 * len(plain.features)
    scales = graph.scales(rows, mean)
    values = [value for part in plain.extract(rows, plain.scales(rows)) for value in part]
    both = [value for part in graph.extract(rows, scales, mean) for value in part]
    axes = [2] * len(graph.layers) + [1] * len(graph.blocks)
    for value, pair, axis in zip(values, both, axes, strict=True):
        first, second = pair.chunk(2, dim=axis)
        assert torch.equal(first, value)
        for difference in second.unbind(axis):
            assert torch.allclose(difference.square().mean(), torch.ones(1, dtype=rows.dtype), atol=1e-9)
    still = [value for part in graph.extract(mean, scales, mean) for value in part]
    assert all(not pair.chunk(2, dim=axis)[1].any() for pair, axis in zip(still, axes, strict=True))


def test_the_characters_multiply_as_their_masks_add() -> None:
    """The characters of a sign group satisfy chi_a chi_b = chi_(a xor b), and different characters are orthogonal."""
    table = characters(3)
    for a in range(8):
        for b in range(8):
            assert torch.equal(table[a] * table[b], table[a ^ b])
    assert torch.equal(table @ table.T, 8 * torch.eye(8))


def test_generators_are_counted_by_layer() -> None:
    """A layer has one generator per flip and per phase shift of its units, and none if signs are turned off."""
    assert [layer.generators for layer in weight_graph(Siren(2, 1)).layers] == [0, 2, 2, 0]
    assert [layer.generators for layer in weight_graph(RffNet(2, 1, layers=3)).layers] == [0, 1, 0, 0, 0]
    assert [layer.generators for layer in weight_graph(Mfn(2, 1, filters=3)).layers] == [0, 2, 3, 3, 0]
    assert all(layer.generators == 0 for layer in weight_graph(Mfn(2, 1), signs=False).layers)
