import numpy as np
import pytest
import torch

from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren
from nefstudy.seeds import stream

CASES: dict[str, NeuralField] = {
    "siren": Siren(2, 1, hidden=6, layers=3),
    "siren-deep-rgb": Siren(2, 3, hidden=5, layers=5, omega_0=20.0),
    "siren-shallow-3d": Siren(3, 1, hidden=4, layers=2),
    "rffnet": RffNet(2, 1, hidden=6, layers=4, std=0.3),
    "rffnet-one-layer": RffNet(2, 3, hidden=4, layers=1),
    "rffnet-fixed": RffNet(3, 2, hidden=4, layers=2, train_frequencies=False),
    "mfn": Mfn(2, 1, hidden=6, filters=4),
    "mfn-one-filter": Mfn(3, 2, hidden=5, filters=1),
    "mfn-two-filters": Mfn(2, 3, hidden=4, filters=2),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def field(request: pytest.FixtureRequest) -> NeuralField:
    return request.param


@pytest.fixture
def params(field: NeuralField) -> dict[str, torch.Tensor]:
    """Return randomly initialized float64 parameters of five fields, with noise added so that no bias is zero."""
    lanes = [field.init(stream(0, "test", lane)) for lane in range(5)]
    noise = stream(0, "noise")
    return {
        p.name: torch.from_numpy(np.stack([lane[p.name] for lane in lanes]) + noise.normal(0, 0.1, (5, *p.shape)))
        for p in field.layout
    }


@pytest.fixture
def coords(field: NeuralField) -> torch.Tensor:
    return torch.from_numpy(stream(1, "points").uniform(-1, 1, (17, field.in_dim)))
