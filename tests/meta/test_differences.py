"""Tests that studies/DIFFERENCES.md, which lists departures from the papers, describes the code correctly."""

import ast
import importlib
import re
from math import pi, sqrt

import numpy as np
import pytest
import torch

from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.seeds import stream

from .wording import REPOSITORY

PAGE = (REPOSITORY / "studies/DIFFERENCES.md").read_text()
REFERENCES = re.findall(r"`(nefstudy\.[\w.]+)(?: = ([^`]+))?`", PAGE)


def resolved(path: str) -> object:
    """Return the module or attribute with the given dotted path."""
    names = path.split(".")
    for count in range(len(names), 0, -1):
        try:
            value: object = importlib.import_module(".".join(names[:count]))
        except ModuleNotFoundError:
            continue
        for name in names[count:]:
            fields = getattr(value, "model_fields", {})  # pydantic keeps defaults apart from the class
            value = fields[name].default if name in fields else getattr(value, name)
        return value
    raise AssertionError(path)


@pytest.mark.parametrize(("path", "literal"), REFERENCES, ids=[path for path, _ in REFERENCES])
def test_every_reference_of_the_page_exists_and_has_the_stated_value(path: str, literal: str) -> None:
    """Each name in the page's last column can be imported and has the value stated after `=`, if any."""
    value = resolved(path)
    if literal:
        assert value == ast.literal_eval(literal)


def test_the_page_has_references() -> None:
    """Every row of the page's tables names the code that the row describes."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| subject")]
    assert len(rows) > 30
    assert all("`nefstudy." in row.split("|")[-2] for row in rows)


def test_a_siren_multiplies_its_bias_by_omega_and_starts_as_the_public_code() -> None:
    """A SIREN multiplies its bias by omega and is initialized as in the public code.

    Biases start at 0, and the standard deviation of the output kernel is 1 / sqrt(fan_in).
    """
    siren = Siren(in_dim=1, out_dim=1, hidden=1, layers=2, omega_0=9.0)
    params = {name: torch.zeros(1, *shape) for name, shape in {p.name: p.shape for p in siren.layout}.items()}
    params["bias_0"][:], params["kernel_1"][:] = 0.1, 1.0
    assert siren.forward(params, torch.zeros(1, 1)).item() == pytest.approx(np.sin(9.0 * 0.1))
    drawn = Siren(in_dim=2, out_dim=400, hidden=400).init(stream(0, "test"))
    assert drawn["kernel_2"].std() == pytest.approx(1 / sqrt(400), rel=0.01)
    assert not any(drawn[f"bias_{layer}"].any() for layer in range(3))


def test_an_rffnet_has_two_pi_in_its_angle_and_uniform_kernels() -> None:
    """The angle of an RFFNet contains the factor 2 pi, and its kernels are drawn uniformly.

    The angle is 2 pi std x B, and kernels are within +- sqrt(6 / fan_in).
    """
    field = RffNet(in_dim=1, out_dim=1, hidden=2, layers=1, std=0.25)
    params = {name: torch.zeros(1, *shape) for name, shape in {p.name: p.shape for p in field.layout}.items()}
    params["frequencies"][:], params["kernel_0"][:, 0] = 1.0, 1.0
    assert field.forward(params, torch.tensor([[0.3]])).item() == pytest.approx(np.sin(2 * pi * 0.25 * 0.3))
    kernel = RffNet(in_dim=2, out_dim=1, hidden=256).init(stream(0, "test"))["kernel_1"]
    bound = sqrt(6 / 256)
    assert np.abs(kernel).max() == pytest.approx(bound, rel=0.01)
    assert kernel.std() == pytest.approx(bound / sqrt(3), rel=0.02)


def test_filters_of_an_mfn_start_within_three_and_a_half_by_the_public_codes_law() -> None:
    """An MFN with 4 filters and s = 16 starts with frequencies within +-3.46, or +-2 with `law="paper"`.

    Phases are within +-pi.
    """
    drawn = Mfn(in_dim=2, out_dim=1, hidden=1000).init(stream(0, "test"))
    assert np.abs(drawn["omega_0"]).max() == pytest.approx(3.46, rel=0.01)
    supplement = Mfn(in_dim=2, out_dim=1, hidden=1000, law="paper").init(stream(0, "test"))
    assert np.abs(supplement["omega_0"]).max() == pytest.approx(2.0, rel=0.01)
    assert np.abs(drawn["phase_0"]).max() == pytest.approx(pi, rel=0.01)


def test_psnr_has_peak_one_and_clips_the_prediction() -> None:
    """PSNR clips a prediction to [0, 1] and has a peak of 1 even for a dark image."""
    target = np.full((1, 4), 0.5)
    assert psnr(np.full((1, 4), 7.0), target)[0] == pytest.approx(-10 * np.log10(0.25))
    assert psnr(np.full((1, 4), 0.6), target)[0] == pytest.approx(20.0)
