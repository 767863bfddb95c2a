"""Tests of RFFNet: its formula and its initial distribution."""

from math import pi, sqrt

import numpy as np
import pytest
import torch

from nefstudy.errors import BadConfig
from nefstudy.fields.rffnet import RffNet
from nefstudy.seeds import stream


def test_forward_is_the_formula() -> None:
    """The forward pass computes [sin, cos](2 pi std x B), then ReLU layers and a linear last layer."""
    field = RffNet(2, 1, hidden=4, layers=2, std=0.5)
    params = {name: value + 0.1 for name, value in field.init(stream(0, "test")).items()}
    x = np.array([0.3, -0.7])
    angles = [2 * pi * 0.5 * sum(x * params["frequencies"][:, j]) for j in range(2)]
    features = np.array([np.sin(a) for a in angles] + [np.cos(a) for a in angles])
    hidden = np.maximum(features @ params["kernel_0"] + params["bias_0"], 0)
    expected = hidden @ params["kernel_1"][:, 0] + params["bias_1"][0]
    output = field.forward({k: torch.from_numpy(v[None]) for k, v in params.items()}, torch.tensor([[0.3, -0.7]]))
    assert output.item() == pytest.approx(expected, abs=1e-5)


def test_an_init_fills_its_ranges() -> None:
    """Frequencies are drawn from N(0, 1) for any std, kernels from U(sqrt(6/fan_in)), and biases are 0."""
    initial = RffNet(2, 1, hidden=400, layers=3, std=0.01).init(stream(0, "test"))
    assert initial["frequencies"].std() == pytest.approx(1, rel=0.1)
    assert initial["frequencies"].mean() == pytest.approx(0, abs=0.15)
    for layer in range(3):
        kernel, bound = initial[f"kernel_{layer}"], sqrt(6 / 400)
        assert 0.95 * bound < np.abs(kernel).max() <= bound
        assert kernel.var() == pytest.approx(bound**2 / 3, rel=0.12)
        assert not initial[f"bias_{layer}"].any()


def test_std_scales_the_frequencies() -> None:
    """Doubling std and halving the frequency parameter leaves the function unchanged."""
    narrow, wide = RffNet(2, 1, hidden=4, layers=2, std=0.5), RffNet(2, 1, hidden=4, layers=2, std=1.0)
    params = {k: torch.from_numpy(v[None]).double() for k, v in narrow.init(stream(0, "test")).items()}
    coords = torch.from_numpy(stream(1, "points").uniform(-1, 1, (9, 2)))
    halved = params | {"frequencies": params["frequencies"] / 2}
    torch.testing.assert_close(wide.forward(halved, coords), narrow.forward(params, coords))
    assert not torch.allclose(wide.forward(params, coords), narrow.forward(params, coords))


def test_odd_hidden_is_refused() -> None:
    """An odd number of hidden units is rejected, because each frequency uses two units."""
    with pytest.raises(BadConfig, match=r"hidden = 7: .*even"):
        RffNet(2, 1, hidden=7)
