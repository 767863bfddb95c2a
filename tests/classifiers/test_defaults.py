"""Tests that settings which were added later change nothing while they have their defaults."""

from collections.abc import Callable

import pytest
import torch

from nefstudy.classifiers.catalog import CLASSIFIERS, build, complete
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

MakeRows = Callable[..., torch.Tensor]
FIELD = Siren(in_dim=2, out_dim=1, hidden=6, layers=4)

DIGESTS = {
    "mlp": "aea5f4b1c22ee42ce262",
    "gnn": "ebf6c2c211ebedbe04c3",
    "gnn-thin": "8f574a9005cedbd29e06",
    "gnn-sign": "151c29578b53eee033cd",
    "transformer": "8892426e65673725e232",
    "dws": "dd5f003bdbfad2a9c0c9",
}
"""Digests of completed configurations, computed before any setting was added late."""

SCORES: dict[str, tuple[float, ...]] = {
    "mlp": (0.09264106, 0.13961412, 0.29126018, 0.00052763269),
    "gnn": (0.15323304, -0.26866609, 0.025895019, 0.091283078),
    "gnn-thin": (0.029634627, -0.02308111, 0.14243663, -0.017040062),
    "gnn-sign": (0.053090768, -0.010956279, 0.13358159, 0.012247442),
    "transformer": (-0.33473974, -0.44972421, 0.058654676, 0.62990267),
    "dws": (0.0014439775, 0.011925643, -0.036780732, -0.12543215),
}
"""Scores of the first of five fields by an untrained network with seed 3, computed by the same code."""


@pytest.mark.parametrize("name", list(DIGESTS))
def test_digests_stay(name: str) -> None:
    """Completed configurations keep their digests, also if the defaults of late settings are written out."""
    assert set(DIGESTS) == set(CLASSIFIERS)
    assert complete(ClassifierConfig(name=name)).digest == DIGESTS[name]
    if name in ("gnn", "transformer"):
        late = {"lift": 0, "sigma": 1, "modulate": False, "read_out": "mean"}
        assert complete(ClassifierConfig(name=name, params=late)).digest == DIGESTS[name]
        for setting in ({"lift": 1}, {"modulate": True}, {"norm": "after"}, {"read_out": "concatenate"}):
            assert complete(ClassifierConfig(name=name, params=setting)).digest != DIGESTS[name]


@pytest.mark.parametrize("name", list(SCORES))
def test_untrained_networks_stay(make_rows: MakeRows, name: str) -> None:
    """A seeded network draws the same weights and computes the same scores, up to the last digits.

    The last digits depend on the processor; files of earlier versions also need the same names of tensors.
    """
    assert set(SCORES) == set(CLASSIFIERS)
    rows = make_rows(FIELD, 5)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build(ClassifierConfig(name=name, params={"width": 8}), FIELD, classes=4).double().eval()
    network.calibrate(rows)
    with torch.no_grad():
        assert network(rows)[0].tolist() == pytest.approx(SCORES[name], rel=1e-5)
