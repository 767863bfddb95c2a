"""SIREN: its formula and its initial law."""

from math import pi, sqrt

import numpy as np
import pytest
import torch

from nefstudy.errors import BadConfig
from nefstudy.fields.siren import Siren
from nefstudy.seeds import stream

FIELD = Siren(2, 3, hidden=200, layers=4, omega_0=12.0)


def test_forward_is_the_formula() -> None:
    """h_l = sin(omega_0 (h_{l-1} W_l + b_l)), last layer linear; computed unit by unit."""
    field = Siren(2, 1, hidden=3, layers=3, omega_0=5.0)
    params = {name: value + 0.1 for name, value in field.init(stream(0, "test")).items()}
    x = np.array([0.3, -0.7])
    hidden = x
    for layer in range(2):
        bias, kernel = params[f"bias_{layer}"], params[f"kernel_{layer}"]
        hidden = np.array([np.sin(5.0 * (sum(hidden * kernel[:, j]) + bias[j])) for j in range(3)])
    expected = sum(hidden * params["kernel_2"][:, 0]) + params["bias_2"][0]
    found = field.forward({k: torch.from_numpy(v[None]) for k, v in params.items()}, torch.tensor([[0.3, -0.7]]))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_start_fills_its_ranges() -> None:
    """First U(1/2), hidden U(sqrt(6/200)/12), output N(0, 1/200), biases 0: bounds and variances."""
    start = FIELD.init(stream(0, "test"))
    for name, bound in (("kernel_0", 1 / 2), ("kernel_1", sqrt(6 / 200) / 12), ("kernel_2", sqrt(6 / 200) / 12)):
        assert np.abs(start[name]).max() <= bound
        assert np.abs(start[name]).max() > 0.95 * bound
        assert start[name].var() == pytest.approx(bound**2 / 3, rel=0.12)
        assert start[name].mean() == pytest.approx(0, abs=0.1 * bound)
    assert start["kernel_3"].var() == pytest.approx(1 / 200, rel=0.15)
    assert np.abs(start["kernel_3"]).max() > 2 / sqrt(200)
    assert all(not start[f"bias_{layer}"].any() for layer in range(4))


def test_half_periods_and_signs_leave_the_function_unchanged() -> None:
    """b += pi / omega_0 with the outgoing row's sign, and a unit's sign flip, are unnoticed; half of either is not."""
    field = Siren(2, 1, hidden=4, layers=3)
    params = {k: torch.from_numpy(v[None]).double() for k, v in field.init(stream(0, "test")).items()}
    points = torch.from_numpy(stream(1, "points").uniform(-1, 1, (9, 2)))
    expected = field.forward(params, points)
    phase = field.symmetry.phases[1]
    assert phase.period == pi / 9.0
    moved = {k: v.clone() for k, v in params.items()}
    moved[phase.shifted.parameter][:, 2] += phase.period
    assert not torch.allclose(field.forward(moved, points), expected, atol=1e-3)
    moved[phase.flipped[0].parameter][:, 2] *= -1
    torch.testing.assert_close(field.forward(moved, points), expected)


@pytest.mark.parametrize("bad", [{"hidden": 0}, {"layers": 1}, {"omega_0": float("nan")}, {"omega_0": -1.0}])
def test_values_outside_their_range_are_refused(bad: dict[str, float]) -> None:
    """A hyperparameter outside its range is refused by name."""
    with pytest.raises(BadConfig, match=next(iter(bad))):
        Siren(2, 1, **bad)  # type: ignore[arg-type]  # bad on purpose
