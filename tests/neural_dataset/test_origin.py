"""Tests of the information that a user states about published files when importing them."""

from dataclasses import replace

import pytest

from nefstudy.config import FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.origin import Origin

ORIGIN = Origin(name="published", field=FieldConfig(name="siren"), grid=(28, 28), channels=1, init="shared", steps=500)


def test_the_kind_is_stated_never_guessed():
    """A grid with three axes is rejected unless the kind is stated as `shape`, whose outputs are logits."""
    with pytest.raises(BadConfig, match="--kind shape"):
        replace(ORIGIN, grid=(8, 8, 8))
    shape = replace(ORIGIN, grid=(8, 8, 8), kind="shape")
    for origin, kind, loss in ((ORIGIN, "image", "mse"), (shape, "shape", "bce")):
        card = origin.card("", classes=2)
        assert (card.kind, card.loss) == (kind, loss)
    assert shape.values == "outputs are logits of occupancy"


def test_one_constant_serves_all_channels():
    """A single number for mean or std applies to all channels.

    A wrong number of constants, a zero deviation and constants for logits are rejected.
    """
    three = replace(ORIGIN, channels=3, mean=(0.5,), std=(0.1, 0.2, 0.3)).card("", classes=1)
    assert (three.mean, three.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    for changes, message in (
        ({"mean": (0.5, 0.5), "std": (1.0,)}, "mean .*2 .*: 1;"),
        ({"mean": (0.5,)}, "together"),
        ({"mean": (0.5,), "std": (0.0,)}, "finite .*above 0"),
        ({"mean": (float("nan"),), "std": (1.0,)}, "finite"),
        ({"mean": (0.5,), "std": (1.0,), "grid": (8, 8, 8), "kind": "shape"}, "logits, .*mean and std"),
        ({"first_axis": "column", "grid": (8, 8, 8), "kind": "shape"}, "`column` .*images"),
    ):
        with pytest.raises(BadConfig, match=message):
            replace(ORIGIN, **changes)
