"""Laws of fits of shapes: a field's bytes are its own, and what it fits is its own solid."""

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.catalog import load_signals

SHAPES = SignalsConfig(name="shapes10", options={"per_class": 3})
HYPERPARAMETERS = {"siren": {"hidden": 8}, "rffnet": {"hidden": 8, "layers": 3}, "mfn": {"hidden": 8, "filters": 2}}


def fit(name: str, rows: list[int], *, chunk: int, steps: int = 6, seed: int = 0) -> Fits:
    recipe = NeuralDatasetConfig(
        signals=SHAPES,
        field=complete(FieldConfig(name=name, params=HYPERPARAMETERS[name])),
        init="shared",
        optimizer=OptimizerConfig(lr=3e-3),
        batch_points=256,
        seed=seed,
    )
    config = FitConfig(dataset=recipe, rungs=(0, steps), engine="eager", chunk=chunk)
    field = build(recipe.field, in_dim=3, out_dim=1)
    return fit_fields(field, load_signals(SHAPES), config, rows=np.array(rows))


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_shapes_bytes_do_not_depend_on_its_neighbours(name: str):
    """Chunks of any size and rows in any order give each shape the same parameters; another seed others."""
    whole = fit(name, [4, 9, 2, 17, 11], chunk=16)
    for rows, chunk in (([4, 9, 2, 17, 11], 2), ([11, 2, 4, 17, 9], 3), ([2], 8)):
        part = fit(name, rows, chunk=chunk)
        for place, row in enumerate(rows):
            twin = [4, 9, 2, 17, 11].index(row)
            assert part.parameters[-1, place].numpy().tobytes() == whole.parameters[-1, twin].numpy().tobytes()
    other = fit(name, [4, 9], chunk=16, seed=1)
    assert (other.parameters[-1, 0] != whole.parameters[-1, 0]).any()


def test_a_shape_is_learnt_from_its_own_points():
    """Cross-entropy over a shape's points falls, below that of saying nothing; shapes end up apart."""
    found = fit("mfn", [4, 9], chunk=2, steps=60)
    assert (found.losses[-1] < found.losses[0]).all()
    assert (found.losses[-1] < np.log(2)).all()
    assert (found.parameters[0, 0] == found.parameters[0, 1]).all()
    assert (found.parameters[-1, 0] != found.parameters[-1, 1]).any()
