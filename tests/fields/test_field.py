"""Properties that every neural field must satisfy."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nefstudy.fields.field import (
    NeuralField,
    Params,
    WrittenGradient,
    flatten,
    loss_gradient,
    parameter_count,
    unflatten,
)
from nefstudy.fields.loss import LOSSES
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.padding import padded
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.sincos import torch_sincos
from nefstudy.fields.siren import Siren
from nefstudy.fields.symmetry import Symmetry
from nefstudy.seeds import stream
from nefstudy.signals.signal import LossName


def lane(params: Params, i: int) -> Params:
    return {name: value[i : i + 1] for name, value in params.items()}


def test_an_init_matches_the_declared_layout(field: NeuralField) -> None:
    """Initial parameters have the declared names, order and shapes, in float32."""
    initial = field.init(stream(3, "start"))
    assert list(initial) == [p.name for p in field.layout]
    assert [value.shape for value in initial.values()] == [p.shape for p in field.layout]
    assert {value.dtype for value in initial.values()} == {np.dtype(np.float32)}


def test_an_init_depends_on_its_stream_only(field: NeuralField) -> None:
    """Equal random streams yield equal initial parameters. Different streams yield different parameters."""
    one, again, other = (field.init(stream(3, "start", i)) for i in (0, 0, 1))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_flatten_inverts_unflatten(field: NeuralField, params: Params) -> None:
    """Converting rows to named parameters and back restores them exactly. So does the reverse conversion."""
    rows = flatten(field, params)
    assert rows.shape == (5, parameter_count(field))
    assert torch.equal(flatten(field, unflatten(field, rows)), rows)
    assert all(torch.equal(value, params[name]) for name, value in unflatten(field, rows).items())


def test_flat_rows_are_in_layout_order(field: NeuralField, params: Params) -> None:
    """A flat row concatenates the parameters in layout order, each in row-major order."""
    expected = np.concatenate([params[p.name][2].numpy().reshape(-1) for p in field.layout])
    assert np.array_equal(flatten(field, params)[2].numpy(), expected)


def test_batched_equals_looped(field: NeuralField, params: Params, coords: Tensor) -> None:
    """A field has the same outputs in a batch as alone."""
    together = field.forward(params, coords)
    alone = torch.cat([field.forward(lane(params, i), coords) for i in range(5)])
    torch.testing.assert_close(together, alone)
    assert together.shape == (5, 17, field.out_dim)
    assert not torch.allclose(together[0], together[1])


def test_points_per_field_equal_shared_points(field: NeuralField, params: Params, coords: Tensor) -> None:
    """Points shared by all fields and the same points repeated for each field yield the same outputs."""
    shared = field.forward(params, coords)
    torch.testing.assert_close(field.forward(params, coords.expand(5, -1, -1).clone()), shared)
    assert not torch.allclose(field.forward(params, coords + 0.1), shared)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("own_points", [False, True])
def test_written_gradient_is_autograds(
    field: NeuralField, params: Params, coords: Tensor, name: LossName, own_points: bool
) -> None:
    """In double precision, the explicit loss and gradient equal those computed by autograd through `forward`."""
    assert isinstance(field, WrittenGradient)
    if own_points:
        coords = torch.stack([coords + 0.01 * i for i in range(5)])
    targets = torch.from_numpy(stream(2, "targets").uniform(0, 1, (5, 17, field.out_dim)))
    losses, grads = field.loss_gradient(params, coords, targets, loss=LOSSES[name], sincos=torch_sincos)
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    expected = plain_loss(field.forward(leaves, coords), targets, name)
    by_autograd = torch.autograd.grad(expected.sum(), list(leaves.values()))
    torch.testing.assert_close(losses, expected.detach())
    for p, gradient in zip(field.layout, by_autograd, strict=True):
        masked = gradient if p.trained else torch.zeros_like(gradient)
        torch.testing.assert_close(grads[p.name], masked, rtol=1e-9, atol=1e-11)
        assert not p.trained or gradient.abs().max() > 0


def test_padding_is_ignored(field: NeuralField, params: Params, coords: Tensor) -> None:
    """Padding the points changes neither the loss nor the gradient, with or without an explicit gradient."""
    assert isinstance(field, WrittenGradient)
    targets = torch.from_numpy(stream(2, "targets").uniform(0, 1, (5, 17, field.out_dim)))
    losses, grads = field.loss_gradient(params, coords, targets, loss=LOSSES["mse"], sincos=torch_sincos)
    filled = padded(coords)
    assert filled.shape == (32, field.in_dim)
    assert padded(filled) is filled
    for kind in (field, Bare(field)):
        with torch.no_grad():
            padded_losses, gradient = loss_gradient(kind, params, filled, targets, loss=LOSSES["mse"])
        torch.testing.assert_close(padded_losses, losses)
        for p in field.layout:
            if p.trained:
                torch.testing.assert_close(gradient[p.name], grads[p.name], rtol=1e-9, atol=1e-11)


def plain_loss(outputs: Tensor, targets: Tensor, name: LossName) -> Tensor:
    if name == "mse":
        return ((outputs - targets) ** 2).flatten(1).mean(dim=1)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return entropy.flatten(1).mean(dim=1)


def test_a_field_without_written_gradient_is_fitted_by_autograd(
    field: NeuralField, params: Params, coords: Tensor
) -> None:
    """`loss_gradient` returns equal results with and without the field's explicit gradient."""
    targets = torch.from_numpy(stream(2, "targets").uniform(0, 1, (5, 17, field.out_dim)))
    bare = Bare(field)
    assert not isinstance(bare, WrittenGradient)
    with torch.no_grad():
        losses, grads = loss_gradient(bare, params, coords, targets, loss=LOSSES["mse"])
        expected, written = loss_gradient(field, params, coords, targets, loss=LOSSES["mse"])
    torch.testing.assert_close(losses, expected)
    for p in field.layout:
        if p.trained:
            torch.testing.assert_close(grads[p.name], written[p.name], rtol=1e-9, atol=1e-11)


class Bare:
    """A field with only the members required by the protocol."""

    def __init__(self, field: NeuralField) -> None:
        self.inner = field
        self.in_dim, self.out_dim, self.layout = field.in_dim, field.out_dim, field.layout

    @property
    def symmetry(self) -> Symmetry:
        return self.inner.symmetry

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return self.inner.init(rng)

    def forward(self, params: Params, coords: Tensor) -> Tensor:
        return self.inner.forward(params, coords)


def test_the_unit_form_is_the_same_function(field: Siren | RffNet | Mfn, params: Params, coords: Tensor) -> None:
    """A field and its unit form (the same field with a scale of 1 and scaled parameters) compute the same function.

    Fields that differ only in scale share a unit form.
    """
    unit, factors = field.unit
    assert set(factors) <= set(params)
    scaled = {name: value * factors.get(name, 1.0) for name, value in params.items()}
    torch.testing.assert_close(unit.forward(scaled, coords), field.forward(params, coords))
    scales: dict[str, Any] = {"omega_0": 3.5, "std": 0.7, "input_scale": 2.0, "law": "paper"}
    other = dataclasses.replace(field, **{k: v for k, v in scales.items() if hasattr(field, k)})
    assert other != field
    assert other.unit[0] == unit
    assert unit.unit == (unit, dict.fromkeys(factors, 1.0))


def test_symmetry_covers_every_parameter_once(field: NeuralField) -> None:
    """The nodes and edges of the symmetry's graph contain each entry of the flat row exactly once."""
    counts = {p.name: np.zeros(p.shape, dtype=int) for p in field.layout}
    symmetry = field.symmetry
    for node in symmetry.nodes:
        for slot in node.slots:
            counts[slot.parameter][slice(*(slot.rows or (None,)))] += 1
            assert counts[slot.parameter].shape == (node.size,)
    for edge in symmetry.edges:
        for slot in edge.slots:
            block = counts[slot.parameter][slice(*(slot.rows or (None,)))]
            block += 1
            assert block.shape == (symmetry.nodes[edge.source].size, symmetry.nodes[edge.target].size)
    assert all((count == 1).all() for count in counts.values())


def test_permuting_hidden_units_leaves_the_function_unchanged(
    field: NeuralField, params: Params, coords: Tensor
) -> None:
    """Permuting the units of a hidden layer in all parameters attached to them does not change the function."""
    expected = field.forward(params, coords)
    for layer, node in enumerate(field.symmetry.nodes):
        if node.role == "hidden":
            moved = permuted(field, params, layer, everywhere=True)
            assert any(not torch.equal(moved[name], params[name]) for name in params)
            torch.testing.assert_close(field.forward(moved, coords), expected)


def test_permuting_only_incoming_slots_changes_the_function(field: NeuralField, params: Params, coords: Tensor) -> None:
    """Permuting the units of a hidden layer only in their incoming parameters changes the function."""
    expected = field.forward(params, coords)
    for layer, node in enumerate(field.symmetry.nodes):
        if node.role == "hidden":
            moved = permuted(field, params, layer, everywhere=False)
            assert not torch.allclose(field.forward(moved, coords), expected, atol=1e-3)


def permuted(field: NeuralField, params: Params, layer: int, *, everywhere: bool) -> Params:
    symmetry, moved = field.symmetry, {name: value.clone() for name, value in params.items()}
    order = torch.arange(symmetry.nodes[layer].size).roll(1)
    for slot in symmetry.nodes[layer].slots:
        moved[slot.parameter] = moved[slot.parameter][:, order]
    for edge in symmetry.edges:
        for slot in edge.slots:
            rows = slice(*(slot.rows or (None,)))
            if edge.target == layer:
                moved[slot.parameter][:, rows] = moved[slot.parameter][:, rows][:, :, order]
            if edge.source == layer and everywhere:
                moved[slot.parameter][:, rows] = moved[slot.parameter][:, rows][:, order]
    return moved
