"""Tests of MFN: its formula and its initial distribution."""

from math import pi, sqrt

import numpy as np
import pytest
import torch

from nefstudy.errors import BadConfig
from nefstudy.fields.mfn import Mfn
from nefstudy.seeds import stream


def test_forward_is_the_formula() -> None:
    """The forward pass computes z_0 = g_0, z_{i+1} = (z_i W_i + b_i) g_{i+1} with g_i = sin(x omega_i + phase_i)."""
    field = Mfn(2, 1, hidden=3, filters=3)
    params = {name: value + 0.1 for name, value in field.init(stream(0, "test")).items()}
    x = np.array([0.3, -0.7])
    sines = [np.sin(x @ params[f"omega_{i}"] + params[f"phase_{i}"]) for i in range(3)]
    state = sines[0]
    for i in range(2):
        state = (state @ params[f"kernel_{i}"] + params[f"bias_{i}"]) * sines[i + 1]
    expected = state @ params["kernel_2"][:, 0] + params["bias_2"][0]
    output = field.forward({k: torch.from_numpy(v[None]) for k, v in params.items()}, torch.tensor([[0.3, -0.7]]))
    assert output.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("law", "omega"), [("paper", sqrt(25 / 4)), ("code", sqrt(3 * 25 / (2 * 3)))])
def test_an_init_fills_its_ranges(law: str, omega: float) -> None:
    """Phases are drawn from U(pi), omega from the distribution `law`, and kernels from U(sqrt(6/fan_in)); biases are 0.

    The paper's distribution is U(sqrt(s/filters)); its public code's is U(sqrt(3 s/(sqrt(filters) in_dim))).
    """
    initial = Mfn(3, 1, hidden=1000, filters=4, input_scale=25.0, law=law).init(stream(0, "test"))
    bounds = {"phase": pi, "omega": omega, "kernel": sqrt(6 / 1000)}
    for i in range(4):
        for name, end in bounds.items():
            value = initial[f"{name}_{i}"]
            assert 0.95 * end < np.abs(value).max() <= end
            assert value.var() == pytest.approx(end**2 / 3, rel=0.12)
        assert not initial[f"bias_{i}"].any()


def test_the_laws_draw_the_same_numbers_at_different_scales() -> None:
    """Given the same random stream, the two values of `law` yield proportional filters and equal phases and kernels."""
    paper, code = (Mfn(2, 1, hidden=8, law=law).init(stream(0, "test")) for law in ("paper", "code"))
    np.testing.assert_allclose(code["omega_1"], paper["omega_1"] * sqrt(3), rtol=1e-6)
    assert all(np.array_equal(code[name], paper[name]) for name in code if not name.startswith("omega"))


def test_an_unknown_law_is_refused() -> None:
    """A `law` other than `code` and `paper` is rejected with an error that lists both."""
    with pytest.raises(BadConfig, match="law = 'theirs': must be one of code, paper"):
        Mfn(2, 1, law="theirs")
