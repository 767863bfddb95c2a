from collections.abc import Callable
from math import cos, radians, sin

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.augment import augment
from nefstudy.config import AugmentConfig
from nefstudy.fields.actions import warp
from nefstudy.fields.field import NeuralField, parameter_count, unflatten
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
F = 8


def outputs(field: NeuralField, rows: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return field.forward(unflatten(field, rows), points)


def points_of(field: NeuralField) -> torch.Tensor:
    return torch.from_numpy(seeds.stream(0, "test", "points").uniform(-1, 1, (40, field.in_dim)))


def test_a_warp_moves_the_function_as_claimed(field: NeuralField, make_rows: MakeRows) -> None:
    """For a random matrix, the warped field at x equals the original field at matrix @ x + offset."""
    rows, points = make_rows(field, F), points_of(field)
    rng = seeds.stream(1, "test", "warp")
    matrix = torch.from_numpy(rng.standard_normal((F, field.in_dim, field.in_dim)))
    offset = torch.from_numpy(rng.standard_normal((F, field.in_dim)))
    moved = outputs(field, warp(field, rows, matrix=matrix, offset=offset), points)
    expected = outputs(field, rows, points @ matrix.mT + offset.unsqueeze(1))
    assert (moved - expected).abs().max() < 1e-11 * expected.std()
    assert (moved - outputs(field, rows, points)).abs().max() > 0.1 * expected.std()


@pytest.mark.parametrize("kind", ["permute", "flip", "turn"])
def test_symmetries_leave_the_function_unchanged(field: NeuralField, make_rows: MakeRows, kind: str) -> None:
    """Augmenting with a field's own symmetries changes the weights but not the outputs."""
    rows, points = make_rows(field, F), points_of(field)
    new = augment(AugmentConfig(**{kind: True}), field, rows, rng=seeds.stream(2, "test"))
    before = outputs(field, rows, points)
    assert (before - outputs(field, new, points)).abs().max() < 1e-11 * before.std()
    exists = {"permute": True, "flip": field.symmetry.flips, "turn": field.symmetry.phase_shifts}[kind]
    assert torch.equal(new, rows) != bool(exists)


def test_motions_stay_within_their_bounds_and_reach_them() -> None:
    """Over many draws, angles, scales and shifts reach the bounds of their ranges without exceeding them."""
    field = Siren(in_dim=2, out_dim=1, hidden=2, layers=2)
    count = 4000
    rows = torch.zeros(count, 9, dtype=torch.float64)
    names = [p.name for p in field.layout]
    params = unflatten(field, rows)
    params["kernel_0"].copy_(torch.eye(2, dtype=torch.float64).expand(count, 2, 2))
    assert names[:2] == ["bias_0", "kernel_0"]
    config = AugmentConfig(rotate=20, scale=0.25, shift=0.1)
    new = unflatten(field, augment(config, field, rows, rng=seeds.stream(3, "test")))
    inverse = torch.linalg.inv(new["kernel_0"].mT)  # s R, since the identity's image is (R^T / s)^T
    size = torch.linalg.det(inverse).sqrt()
    angle = torch.atan2(inverse[:, 1, 0], inverse[:, 0, 0]).abs().rad2deg()
    shift = -(inverse @ new["bias_0"].unsqueeze(2))
    for values, low, high in ((size, 0.8, 1.25), (angle, 0.0, 20.0), (shift.flatten(), -0.1, 0.1)):
        margin = 0.01 * (high - low)
        assert low - 1e-9 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-9


def test_a_quarter_turn_moves_a_known_point() -> None:
    """Rotating a planar field by angle a moves its value at x to R(a) x."""
    field = Siren(in_dim=2, out_dim=1, hidden=8)
    rows = torch.randn(1, 8 + 16 + 8 + 64 + 1 + 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a = radians(90)
    rotation = torch.tensor([[[cos(a), -sin(a)], [sin(a), cos(a)]]], dtype=torch.float64)
    new = warp(field, rows, matrix=rotation.mT, offset=torch.zeros(1, 2, dtype=torch.float64))
    at, moved = torch.tensor([[0.7, 0.1]]).double(), torch.tensor([[-0.1, 0.7]]).double()
    assert outputs(field, new, moved).item() == pytest.approx(outputs(field, rows, at).item(), rel=1e-6)


def test_perturbations_have_the_stated_size(field: NeuralField, make_rows: MakeRows) -> None:
    """Perturbations have the configured size: noise relative to each tensor, dropout as a share of the weights.

    `quantile` sets only the smallest weights of each tensor to zero.
    """
    rows = make_rows(field, 300)
    noisy = augment(AugmentConfig(noise=0.1), field, rows, rng=seeds.stream(4, "test"))
    for old, change in zip(unflatten(field, rows).values(), unflatten(field, noisy - rows).values(), strict=True):
        assert (change.std() / old.square().mean().sqrt()).item() == pytest.approx(0.1, rel=0.2)
    dropped = augment(AugmentConfig(dropout=0.3), field, rows, rng=seeds.stream(5, "test"))
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(dropped[dropped != 0], rows[dropped != 0])
    cut = augment(AugmentConfig(quantile=0.5), field, rows, rng=seeds.stream(6, "test"))
    assert 0.1 < (cut == 0).double().mean().item() < 0.3
    for old, new in zip(unflatten(field, rows).values(), unflatten(field, cut).values(), strict=True):
        zeroed, kept = torch.where(new == 0, old.abs(), 0.0), torch.where(new != 0, old.abs(), torch.inf)
        assert (zeroed.flatten(1).amax(dim=1) <= kept.flatten(1).amin(dim=1)).all()


@pytest.mark.parametrize("kind", ["permute", "flip", "turn", "rotate", "scale", "shift"])
def test_the_mean_moves_with_its_field(field: NeuralField, make_rows: MakeRows, kind: str) -> None:
    """A symmetry or a motion applies one element to a field and to the training mean next to it."""
    config = AugmentConfig(**{kind: True if kind in ("permute", "flip", "turn") else 0.1})
    rows = make_rows(field, F)
    both = augment(config, field, torch.cat([rows, rows], dim=1), rng=seeds.stream(8, "test"))
    moved, mean = both.split(parameter_count(field), dim=1)
    assert torch.equal(moved, augment(config, field, rows, rng=seeds.stream(8, "test")))
    assert torch.equal(moved, mean)


def test_a_perturbation_leaves_the_mean(field: NeuralField, make_rows: MakeRows) -> None:
    """Noise, dropout and quantile change only the field: the difference that a classifier reads contains the error."""
    config = AugmentConfig(noise=0.1, dropout=0.2, quantile=0.2)
    rows = make_rows(field, F)
    both = augment(config, field, torch.cat([rows, rows], dim=1), rng=seeds.stream(9, "test"))
    moved, mean = both.split(parameter_count(field), dim=1)
    assert torch.equal(moved, augment(config, field, rows, rng=seeds.stream(9, "test")))
    assert torch.equal(mean, rows)
    assert not torch.equal(moved, rows)


def test_the_default_changes_nothing(field: NeuralField, make_rows: MakeRows) -> None:
    """With the default configuration, augmentation returns the input tensor itself."""
    rows = make_rows(field, F)
    assert augment(AugmentConfig(), field, rows, rng=seeds.stream(7, "test")) is rows
