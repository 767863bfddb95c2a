"""Tests of SIREN: its formula, its initial distribution and its symmetries."""

from math import pi, sqrt

import numpy as np
import pytest
import torch

from nefstudy.errors import BadConfig
from nefstudy.fields.siren import Siren
from nefstudy.seeds import stream

FIELD = Siren(2, 3, hidden=200, layers=4, omega_0=12.0)


def test_forward_is_the_formula() -> None:
    """The forward pass computes h_l = sin(omega_0 (h_{l-1} W_l + b_l)), then a linear last layer."""
    field = Siren(2, 1, hidden=3, layers=3, omega_0=5.0)
    params = {name: value + 0.1 for name, value in field.init(stream(0, "test")).items()}
    x = np.array([0.3, -0.7])
    hidden = x
    for layer in range(2):
        bias, kernel = params[f"bias_{layer}"], params[f"kernel_{layer}"]
        hidden = np.array([np.sin(5.0 * (sum(hidden * kernel[:, j]) + bias[j])) for j in range(3)])
    expected = sum(hidden * params["kernel_2"][:, 0]) + params["bias_2"][0]
    output = field.forward({k: torch.from_numpy(v[None]) for k, v in params.items()}, torch.tensor([[0.3, -0.7]]))
    assert output.item() == pytest.approx(expected, abs=1e-6)


def test_an_init_fills_its_ranges() -> None:
    """The first kernel is drawn from U(1/2), hidden ones from U(sqrt(6/200)/12), the last one from N(0, 1/200).

    Biases are 0.
    """
    initial = FIELD.init(stream(0, "test"))
    for name, bound in (("kernel_0", 1 / 2), ("kernel_1", sqrt(6 / 200) / 12), ("kernel_2", sqrt(6 / 200) / 12)):
        assert np.abs(initial[name]).max() <= bound
        assert np.abs(initial[name]).max() > 0.95 * bound
        assert initial[name].var() == pytest.approx(bound**2 / 3, rel=0.12)
        assert initial[name].mean() == pytest.approx(0, abs=0.1 * bound)
    assert initial["kernel_3"].var() == pytest.approx(1 / 200, rel=0.15)
    assert np.abs(initial["kernel_3"]).max() > 2 / sqrt(200)
    assert all(not initial[f"bias_{layer}"].any() for layer in range(4))


def test_half_periods_with_signs_leave_the_function_unchanged() -> None:
    """Adding pi / omega_0 to a bias is a symmetry only if the outgoing row is negated, too."""
    field = Siren(2, 1, hidden=4, layers=3)
    params = {k: torch.from_numpy(v[None]).double() for k, v in field.init(stream(0, "test")).items()}
    coords = torch.from_numpy(stream(1, "points").uniform(-1, 1, (9, 2)))
    expected = field.forward(params, coords)
    shift = field.symmetry.phase_shifts[1]
    assert shift.period == pi / 9.0
    moved = {k: v.clone() for k, v in params.items()}
    moved[shift.shifted.parameter][:, 2] += shift.period
    assert not torch.allclose(field.forward(moved, coords), expected, atol=1e-3)
    moved[shift.flipped[0].parameter][:, 2] *= -1
    torch.testing.assert_close(field.forward(moved, coords), expected)


@pytest.mark.parametrize("bad", [{"hidden": 0}, {"layers": 1}, {"omega_0": float("nan")}, {"omega_0": -1.0}])
def test_values_outside_their_range_are_refused(bad: dict[str, float]) -> None:
    """A hyperparameter outside its range is rejected with an error that names it."""
    with pytest.raises(BadConfig, match=next(iter(bad))):
        Siren(2, 1, **bad)  # type: ignore[arg-type]  # invalid on purpose
