import pytest

from nefstudy.config import FieldConfig
from nefstudy.fields.catalog import FIELDS, build
from nefstudy.fields.field import NeuralField


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> NeuralField:
    """Return a small field of each type."""
    return build(FieldConfig(name=request.param, params={"hidden": 8}), in_dim=2, out_dim=1)
