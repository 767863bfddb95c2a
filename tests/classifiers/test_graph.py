from collections.abc import Callable

import torch

from nefstudy.classifiers.graph import weight_graph
from nefstudy.classifiers.sign_gnn import characters
from nefstudy.fields.actions import Element, act
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]


def test_readings_take_the_signs_their_masks_declare(field: NeuralField, make_rows: MakeRows) -> None:
    """One generator on one layer multiplies each reading by the sign of that bit of its masks."""
    rows = make_rows(field, 3)
    graph = weight_graph(field)
    ones = torch.ones(len(graph.readings), dtype=rows.dtype)
    units, edges = graph.read(rows, ones)
    symmetry = field.symmetry
    seen = [0] * len(graph.layers)
    generators = [(f.layer, "flip", i) for i, f in enumerate(symmetry.flips)]
    generators += [(p.layer, "turn", i) for i, p in enumerate(symmetry.phases)]
    for layer, kind, which in generators:
        signs = tuple(torch.ones(3, graph.layers[f.layer].size) for f in symmetry.flips)
        turns = tuple(torch.zeros(3, graph.layers[p.layer].size, dtype=torch.int64) for p in symmetry.phases)
        if kind == "flip":
            signs[which].fill_(-1.0)
        else:
            turns[which].fill_(1)
        bit = 1 << seen[layer]
        seen[layer] += 1
        new_units, new_edges = graph.read(act(field, rows, Element({}, signs, turns)), ones)
        for index, part in enumerate(graph.layers):
            for k, reading in enumerate(part.readings):
                sign = -1.0 if index == layer and reading.target & bit else 1.0
                assert torch.allclose(new_units[index][:, :, k], sign * units[index][:, :, k], atol=1e-12)
        for index, block in enumerate(graph.blocks):
            for k, reading in enumerate(block.readings):
                mask = {block.source: reading.source, block.target: reading.target}.get(layer, 0)
                sign = -1.0 if mask & bit else 1.0
                assert torch.allclose(new_edges[index][:, k], sign * edges[index][:, k], atol=1e-12)


def test_every_number_of_a_row_is_read(field: NeuralField, make_rows: MakeRows) -> None:
    """Readings, by value or by sine and cosine, depend on every parameter."""
    rows = make_rows(field, 2).requires_grad_(True)
    graph = weight_graph(field)
    units, edges = graph.read(rows, torch.ones(len(graph.readings), dtype=rows.dtype))
    total = sum((t * torch.rand_like(t)).sum() for t in [*units, *edges])
    (gradient,) = torch.autograd.grad(total, rows)
    assert (gradient.abs() > 0).all()


def test_scales_bring_every_reading_to_unit_size(field: NeuralField, make_rows: MakeRows) -> None:
    """Divided by its scale, each reading has root mean square one over the fields it was measured on."""
    rows = make_rows(field, 50)
    graph = weight_graph(field)
    units, edges = graph.read(rows, graph.scales(rows))
    sizes = [u[:, :, k].square().mean() for u in units for k in range(u.shape[2])]
    sizes += [e[:, k].square().mean() for e in edges for k in range(e.shape[1])]
    assert torch.allclose(torch.stack(sizes), torch.ones(len(sizes), dtype=rows.dtype), atol=1e-9)


def test_the_characters_multiply_as_their_masks_add() -> None:
    """chi_a(e) chi_b(e) = chi_(a xor b)(e), and different characters are orthogonal."""
    table = characters(3)
    for a in range(8):
        for b in range(8):
            assert torch.equal(table[a] * table[b], table[a ^ b])
    assert torch.equal(table @ table.T, 8 * torch.eye(8))


def test_generators_are_counted_by_layer() -> None:
    """SIREN: flip and phase; RFFNet: the frequencies' flip only; MFN: two flips and a phase, one flip at first."""
    assert [layer.generators for layer in weight_graph(Siren(2, 1)).layers] == [0, 2, 2, 0]
    assert [layer.generators for layer in weight_graph(RffNet(2, 1, layers=3)).layers] == [0, 1, 0, 0, 0]
    assert [layer.generators for layer in weight_graph(Mfn(2, 1, filters=3)).layers] == [0, 2, 3, 3, 0]
    assert all(layer.generators == 0 for layer in weight_graph(Mfn(2, 1), signs=False).layers)
