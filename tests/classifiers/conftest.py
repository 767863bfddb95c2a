import numpy as np
import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.weights import WeightData
from nefstudy.fields.field import NeuralField
from nefstudy.fields.mfn import Mfn
from nefstudy.fields.rffnet import RffNet
from nefstudy.fields.siren import Siren

FIELDS: dict[str, NeuralField] = {
    "siren": Siren(in_dim=2, out_dim=1, hidden=6, layers=4),
    "siren-3d": Siren(in_dim=3, out_dim=2, hidden=5, layers=2),
    "rffnet": RffNet(in_dim=2, out_dim=1, hidden=8, layers=3),
    "mfn": Mfn(in_dim=2, out_dim=3, hidden=5, filters=3),
}


@pytest.fixture(params=list(FIELDS))
def field(request: pytest.FixtureRequest) -> NeuralField:
    return FIELDS[request.param]


def random_rows(field: NeuralField, count: int, *, seed: int = 0) -> torch.Tensor:
    """Return float64 parameters of `count` fields: their initial values with noise, so that no bias is zero."""
    rng = seeds.stream(seed, "test", "rows")
    rows = np.stack([np.concatenate([v.ravel() for v in field.init(rng).values()]) for _ in range(count)])
    return torch.from_numpy(rows.astype(np.float64) + 0.1 * rng.standard_normal(rows.shape))


def easy_data(field: NeuralField, *, count: int = 60, dtype: torch.dtype = torch.float32) -> WeightData:
    """Return data that every classifier can learn, with classes that differ in the scale of the weights."""
    classes = 3
    labels = torch.arange(count) % classes
    rows = random_rows(field, count) * (1.0 + labels[:, None])
    split = (torch.arange(count) // classes) % 5 - 2
    return WeightData(field, rows.to(dtype), labels, split.clamp(min=0), classes)


@pytest.fixture
def make_rows() -> object:
    return random_rows


@pytest.fixture
def make_data() -> object:
    return easy_data
