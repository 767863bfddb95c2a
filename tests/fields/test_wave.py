"""Sines and cosines agree, however they are computed."""

import pytest
import torch

from nefstudy.fields.wave import joint, separate


@pytest.mark.parametrize("reach", [1.0, 30.0, 1000.0, 10000.0])
def test_joint_waves_are_sine_and_cosine(reach: float) -> None:
    """To float32 rounding, over any range that a field which has not diverged reaches."""
    angles = torch.linspace(-reach, reach, 100_001)
    for found, exact in zip(joint(angles), separate(angles.double()), strict=True):
        assert (found.double() - exact).abs().max() < 2e-7


def test_joint_waves_of_any_angle_stay_in_range() -> None:
    """A huge angle gives some value in [-1, 1]; one that is not finite gives NaN, as torch's do."""
    sine, cosine = joint(torch.tensor([1e8, -3e12, 1e30, -3.4e38]))
    assert (sine.abs() <= 1 + 1e-6).all()
    assert (cosine.abs() <= 1 + 1e-6).all()
    for wave in joint(torch.tensor([torch.nan, torch.inf, -torch.inf])):
        assert torch.isnan(wave).all()
