"""Tests of fits of shapes: a field's bytes do not depend on other fields, and each field fits its own shape."""

import numpy as np
import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.catalog import load_signals

SHAPES = SignalsConfig(name="shapes10", options={"per_class": 3})
HYPERPARAMETERS = {"siren": {"hidden": 8}, "rffnet": {"hidden": 8, "layers": 3}, "mfn": {"hidden": 8, "filters": 2}}


def fit(name: str, rows: list[int], *, chunk: int, steps: int = 6, seed: int = 0, points: int = 256) -> Fits:
    recipe = NeuralDatasetConfig(
        signals=SHAPES,
        field=complete(FieldConfig(name=name, params=HYPERPARAMETERS[name])),
        init="shared",
        optimizer=OptimizerConfig(lr=3e-3),
        batch_points=points,
        seed=seed,
    )
    config = FitConfig(dataset=recipe, rungs=(0, steps), engine="eager", chunk=chunk)
    field = build(recipe.field, in_dim=3, out_dim=1)
    return fit_fields(field, load_signals(SHAPES), config, rows=np.array(rows))


@pytest.mark.parametrize(
    ("name", "how"), [*((name, {}) for name in HYPERPARAMETERS), ("siren", {"steps": 36, "points": 4096})]
)
def test_a_shapes_bytes_do_not_depend_on_other_shapes(name: str, how: dict[str, int]):
    """A shape's parameters depend neither on the chunk size nor on the order of rows. Another seed changes them.

    This also holds for a fit that is long enough to use its pool.
    """
    whole = fit(name, [4, 9, 2, 17, 11], chunk=16, **how)
    for rows, chunk in (([4, 9, 2, 17, 11], 2), ([11, 2, 4, 17, 9], 3), ([2], 8)):
        part = fit(name, rows, chunk=chunk, **how)
        for index, row in enumerate(rows):
            twin = [4, 9, 2, 17, 11].index(row)
            assert part.parameters[-1, index].numpy().tobytes() == whole.parameters[-1, twin].numpy().tobytes()
    other = fit(name, [4, 9], chunk=16, seed=1, **how)
    assert (other.parameters[-1, 0] != whole.parameters[-1, 0]).any()


def test_a_shape_is_learned_from_its_own_points():
    """Each shape is fitted to its own points: the cross-entropy falls below that of a constant probability of 1/2.

    Two shapes with a shared init end with different parameters.
    """
    fits = fit("mfn", [4, 9], chunk=2, steps=60)
    assert (fits.losses[-1] < fits.losses[0]).all()
    assert (fits.losses[-1] < np.log(2)).all()
    assert (fits.parameters[0, 0] == fits.parameters[0, 1]).all()
    assert (fits.parameters[-1, 0] != fits.parameters[-1, 1]).any()
