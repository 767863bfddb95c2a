"""Tests of the sine and cosine functions: both implementations agree."""

import pytest
import torch

from nefstudy.fields.sincos import fused_sincos, torch_sincos


@pytest.mark.parametrize("limit", [1.0, 30.0, 1000.0, 10000.0])
def test_fused_sincos_is_sine_and_cosine(limit: float) -> None:
    """For all angles that a field reaches without diverging, `fused_sincos` is exact up to float32 rounding."""
    angles = torch.linspace(-limit, limit, 100_002).reshape(3, 2, -1)
    exact = torch_sincos(angles.double())
    assert torch.equal(exact, torch.cat([angles.double().sin(), angles.double().cos()], dim=1))
    assert (fused_sincos(angles).double() - exact).abs().max() < 2e-7


def test_fused_sincos_of_any_angle_stays_in_range() -> None:
    """A huge angle yields values in [-1, 1]. A non-finite angle yields NaN, as in torch."""
    assert (fused_sincos(torch.tensor([[[1e8, -3e12, 1e30, -3.4e38]]])).abs() <= 1 + 1e-6).all()
    assert torch.isnan(fused_sincos(torch.tensor([[[torch.nan, torch.inf, -torch.inf]]]))).all()
