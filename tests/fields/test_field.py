"""Laws that every neural field obeys."""

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
from nefstudy.fields.loss import LOSSES, LossName
from nefstudy.fields.padding import padded
from nefstudy.fields.symmetry import Symmetry
from nefstudy.seeds import stream


def lane(params: Params, i: int) -> Params:
    return {name: value[i : i + 1] for name, value in params.items()}


def test_start_matches_the_declared_layout(field: NeuralField) -> None:
    """A start names every parameter, in layout order, with its declared shape, in float32."""
    start = field.init(stream(3, "start"))
    assert list(start) == [p.name for p in field.layout]
    assert [value.shape for value in start.values()] == [p.shape for p in field.layout]
    assert {value.dtype for value in start.values()} == {np.dtype(np.float32)}


def test_start_depends_on_its_stream_only(field: NeuralField) -> None:
    """The same stream draws the same start, another stream another."""
    one, again, other = (field.init(stream(3, "start", i)) for i in (0, 0, 1))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_flatten_inverts_unflatten(field: NeuralField, params: Params) -> None:
    """Rows -> names -> rows and names -> rows -> names lose nothing."""
    rows = flatten(field, params)
    assert rows.shape == (5, parameter_count(field))
    assert torch.equal(flatten(field, unflatten(field, rows)), rows)
    assert all(torch.equal(value, params[name]) for name, value in unflatten(field, rows).items())


def test_flat_rows_are_in_layout_order(field: NeuralField, params: Params) -> None:
    """The flat row is the parameters one after the other, each row-major."""
    expected = np.concatenate([params[p.name][2].numpy().reshape(-1) for p in field.layout])
    assert np.array_equal(flatten(field, params)[2].numpy(), expected)


def test_batched_equals_looped(field: NeuralField, params: Params, points: Tensor) -> None:
    """Fields computed together give what each gives alone."""
    together = field.forward(params, points)
    alone = torch.cat([field.forward(lane(params, i), points) for i in range(5)])
    torch.testing.assert_close(together, alone)
    assert together.shape == (5, 17, field.out_dim)
    assert not torch.allclose(together[0], together[1])


def test_points_per_field_equal_shared_points(field: NeuralField, params: Params, points: Tensor) -> None:
    """Giving each field its own copy of the points changes nothing; other points do."""
    shared = field.forward(params, points)
    torch.testing.assert_close(field.forward(params, points.expand(5, -1, -1).clone()), shared)
    assert not torch.allclose(field.forward(params, points + 0.1), shared)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("own_points", [False, True])
def test_written_gradient_is_autograds(
    field: NeuralField, params: Params, points: Tensor, name: LossName, own_points: bool
) -> None:
    """The written loss and gradient are those autograd finds through `forward`, to double precision."""
    assert isinstance(field, WrittenGradient)
    if own_points:
        points = torch.stack([points + 0.01 * i for i in range(5)])
    targets = torch.from_numpy(stream(2, "targets").uniform(0, 1, (5, 17, field.out_dim)))
    losses, grads = field.loss_gradient(params, points, targets, loss=LOSSES[name])
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    expected = plain_loss(field.forward(leaves, points), targets, name)
    found = torch.autograd.grad(expected.sum(), list(leaves.values()))
    torch.testing.assert_close(losses, expected.detach())
    for p, gradient in zip(field.layout, found, strict=True):
        wanted = gradient if p.trained else torch.zeros_like(gradient)
        torch.testing.assert_close(grads[p.name], wanted, rtol=1e-9, atol=1e-11)
        assert not p.trained or gradient.abs().max() > 0


def test_padding_counts_for_nothing(field: NeuralField, params: Params, points: Tensor) -> None:
    """Seventeen points padded to thirty-two give the loss and gradient of the seventeen, written and by autograd."""
    assert isinstance(field, WrittenGradient)
    targets = torch.from_numpy(stream(2, "targets").uniform(0, 1, (5, 17, field.out_dim)))
    losses, grads = field.loss_gradient(params, points, targets, loss=LOSSES["mse"])
    filled = padded(points)
    assert filled.shape == (32, field.in_dim)
    assert padded(filled) is filled
    for kind in (field, Bare(field)):
        with torch.no_grad():
            found, gradient = loss_gradient(kind, params, filled, targets, loss=LOSSES["mse"])
        torch.testing.assert_close(found, losses)
        for p in field.layout:
            if p.trained:
                torch.testing.assert_close(gradient[p.name], grads[p.name], rtol=1e-9, atol=1e-11)


def plain_loss(outputs: Tensor, targets: Tensor, name: LossName) -> Tensor:
    if name == "mse":
        return ((outputs - targets) ** 2).flatten(1).mean(dim=1)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return entropy.flatten(1).mean(dim=1)


def test_a_field_without_written_gradient_is_fitted_by_autograd(
    field: NeuralField, params: Params, points: Tensor
) -> None:
    """`loss_gradient` gives the same with and without the field's own gradient."""
    targets = torch.from_numpy(stream(2, "targets").uniform(0, 1, (5, 17, field.out_dim)))
    bare = Bare(field)
    assert not isinstance(bare, WrittenGradient)
    with torch.no_grad():
        losses, grads = loss_gradient(bare, params, points, targets, loss=LOSSES["mse"])
        expected, written = loss_gradient(field, params, points, targets, loss=LOSSES["mse"])
    torch.testing.assert_close(losses, expected)
    for p in field.layout:
        if p.trained:
            torch.testing.assert_close(grads[p.name], written[p.name], rtol=1e-9, atol=1e-11)


class Bare:
    """A field with nothing but what the protocol asks."""

    def __init__(self, field: NeuralField) -> None:
        self.inner = field
        self.in_dim, self.out_dim, self.layout = field.in_dim, field.out_dim, field.layout

    @property
    def symmetry(self) -> Symmetry:
        return self.inner.symmetry

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return self.inner.init(rng)

    def forward(self, params: Params, points: Tensor) -> Tensor:
        return self.inner.forward(params, points)


def test_the_unit_form_is_the_same_function(field: NeuralField, params: Params, points: Tensor) -> None:
    """A field is its unit form at scaled parameters; unit forms of fields that differ in scales only are one."""
    unit, factors = field.unit
    assert set(factors) <= set(params)
    scaled = {name: value * factors.get(name, 1.0) for name, value in params.items()}
    torch.testing.assert_close(unit.forward(scaled, points), field.forward(params, points))
    scales = {"omega_0": 3.5, "std": 0.7, "input_scale": 2.0}
    other = dataclasses.replace(field, **{k: v for k, v in scales.items() if hasattr(field, k)})
    assert other != field
    assert other.unit[0] == unit
    assert unit.unit == (unit, dict.fromkeys(factors, 1.0))


def test_symmetry_covers_every_parameter_once(field: NeuralField) -> None:
    """Node and edge slots together hold each number of the flat row exactly once."""
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
    field: NeuralField, params: Params, points: Tensor
) -> None:
    """Any order of the units of a hidden layer gives the same function, if all that touches it moves."""
    expected = field.forward(params, points)
    for layer, node in enumerate(field.symmetry.nodes):
        if node.role == "hidden":
            moved = permuted(field, params, layer, everywhere=True)
            assert any(not torch.equal(moved[name], params[name]) for name in params)
            torch.testing.assert_close(field.forward(moved, points), expected)


def test_permuting_half_of_what_touches_a_layer_changes_the_function(
    field: NeuralField, params: Params, points: Tensor
) -> None:
    """Moving what comes into a layer but not what leaves it is noticed."""
    expected = field.forward(params, points)
    for layer, node in enumerate(field.symmetry.nodes):
        if node.role == "hidden":
            moved = permuted(field, params, layer, everywhere=False)
            assert not torch.allclose(field.forward(moved, points), expected, atol=1e-3)


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
