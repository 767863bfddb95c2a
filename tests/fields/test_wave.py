"""Sines and cosines agree, however they are computed."""

import pytest
import torch

from nefstudy.fields.wave import joint, separate


@pytest.mark.parametrize("reach", [1.0, 30.0, 1000.0, 10000.0])
def test_joint_waves_are_sine_and_cosine(reach: float) -> None:
    """To float32 rounding, over any range that a field which has not diverged reaches."""
    angles = torch.linspace(-reach, reach, 100_002).reshape(3, 2, -1)
    exact = separate(angles.double())
    assert torch.equal(exact, torch.cat([angles.double().sin(), angles.double().cos()], dim=1))
    assert (joint(angles).double() - exact).abs().max() < 2e-7


def test_joint_waves_of_any_angle_stay_in_range() -> None:
    """A huge angle gives some value in [-1, 1]; one that is not finite gives NaN, as torch's do."""
    assert (joint(torch.tensor([[[1e8, -3e12, 1e30, -3.4e38]]])).abs() <= 1 + 1e-6).all()
    assert torch.isnan(joint(torch.tensor([[[torch.nan, torch.inf, -torch.inf]]]))).all()
