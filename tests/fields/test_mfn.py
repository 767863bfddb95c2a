"""MFN: its formula and its initial law."""

from math import pi, sqrt

import numpy as np
import pytest
import torch

from nefstudy.fields.mfn import Mfn
from nefstudy.seeds import stream


def test_forward_is_the_formula() -> None:
    """z_0 = g_0, z_{i+1} = (z_i W_i + b_i) g_{i+1}, out linear, g_i = sin(x omega_i + phase_i)."""
    field = Mfn(2, 1, hidden=3, filters=3)
    params = {name: value + 0.1 for name, value in field.init(stream(0, "test")).items()}
    x = np.array([0.3, -0.7])
    waves = [np.sin(x @ params[f"omega_{i}"] + params[f"phase_{i}"]) for i in range(3)]
    state = waves[0]
    for i in range(2):
        state = (state @ params[f"kernel_{i}"] + params[f"bias_{i}"]) * waves[i + 1]
    expected = state @ params["kernel_2"][:, 0] + params["bias_2"][0]
    found = field.forward({k: torch.from_numpy(v[None]) for k, v in params.items()}, torch.tensor([[0.3, -0.7]]))
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_start_fills_its_ranges() -> None:
    """phase U(pi), omega U(sqrt(s/filters)), kernels U(sqrt(6/fan_in)), biases 0."""
    start = Mfn(2, 1, hidden=400, filters=4, input_scale=25.0).init(stream(0, "test"))
    bounds = {"phase": pi, "omega": sqrt(25 / 4), "kernel": sqrt(6 / 400)}
    for i in range(4):
        for name, bound in bounds.items():
            value = start[f"{name}_{i}"]
            assert 0.95 * bound < np.abs(value).max() <= bound
            assert value.var() == pytest.approx(bound**2 / 3, rel=0.12)
        assert not start[f"bias_{i}"].any()
