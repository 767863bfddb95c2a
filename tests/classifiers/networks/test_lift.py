"""Tests of the first layer of `gnn` and `transformer`: random Fourier features of each scalar."""

from math import pi

import pytest
import torch
from torch import nn

from nefstudy.classifiers.classifier import count_parameters
from nefstudy.classifiers.networks.lift import FourierLift, first_layer


def test_the_channels_are_linear_in_sines_and_cosines_of_each_scalar() -> None:
    """The layer computes the sum over scalars x and frequencies b of two weights times sin(2 pi b x) and cos(2 pi b x).

    Batched units and edges equal a loop over them.
    """
    layer = FourierLift(2, 3, frequencies=4, sigma=1.5).double()
    values = torch.randn(5, 6, 2, dtype=torch.float64)
    sines, cosines = (weight.unflatten(1, (2, 4)) for weight in layer.mix.weight.split(8, dim=1))
    for one, channels in zip(values.flatten(0, 1), layer(values).flatten(0, 1), strict=True):
        expected = layer.mix.bias.clone()
        for scalar in range(2):
            for index in range(4):
                angle = 2 * pi * layer.frequencies[scalar, index] * one[scalar]
                expected = expected + sines[:, scalar, index] * angle.sin() + cosines[:, scalar, index] * angle.cos()
        assert torch.allclose(channels, expected, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_frequencies_are_normal_with_the_stated_deviation_and_not_trained(sigma: float) -> None:
    """Frequencies are drawn from torch's random state with mean 0 and deviation sigma, are saved and not trained."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = FourierLift(4, 2, frequencies=4096, sigma=sigma)
        torch.manual_seed(1)
        again = FourierLift(4, 2, frequencies=4096, sigma=sigma)
    assert layer.frequencies.mean().abs().item() < 0.05 * sigma
    assert layer.frequencies.std().item() == pytest.approx(sigma, rel=0.02)
    assert torch.equal(layer.frequencies, again.frequencies)
    assert "frequencies" in layer.state_dict()
    assert count_parameters(layer) == 2 * 2 * 4 * 4096 + 2


def test_without_features_the_layer_is_linear() -> None:
    """With lift 0 the layer is the same linear layer that torch builds from the same random state."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = first_layer(3, 5, lift=0, sigma=3.0)
        torch.manual_seed(1)
        linear = nn.Linear(3, 5)
    assert isinstance(layer, nn.Linear)
    assert torch.equal(layer.weight, linear.weight)


def test_a_lift_separates_values_that_are_close() -> None:
    """A larger sigma makes the channels of two close scalars differ more."""
    close = torch.tensor([[0.5], [0.51]])
    steps = []
    for sigma in (0.1, 1.0, 10.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            one, other = FourierLift(1, 64, frequencies=64, sigma=sigma)(close)
        steps.append((one - other).norm().item())
    assert 5 * steps[0] < steps[1]
    assert 5 * steps[1] < steps[2]
