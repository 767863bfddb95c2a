"""Laws of what is stated about published files on import."""

from dataclasses import replace

import pytest

from nefstudy.config import FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.neural_dataset.origin import Origin

ORIGIN = Origin(name="published", field=FieldConfig(name="siren"), grid=(28, 28), channels=1, init="shared", steps=500)


def test_the_kind_is_stated_never_guessed():
    """A grid of three axes is a shape's only where the kind says so; the card then has logits to read."""
    with pytest.raises(BadConfig, match="give --kind shape"):
        replace(ORIGIN, grid=(8, 8, 8))
    shape = replace(ORIGIN, grid=(8, 8, 8), kind="shape")
    for origin, kind, loss in ((ORIGIN, "image", "mse"), (shape, "shape", "bce")):
        card = origin.card("", classes=2)
        assert (card.kind, card.loss) == (kind, loss)
    assert shape.values == "outputs are logits of occupancy"


def test_one_constant_serves_all_channels():
    """One number is repeated; one per channel is kept; another count, zero deviation and logits are refused."""
    three = replace(ORIGIN, channels=3, mean=(0.5,), std=(0.1, 0.2, 0.3)).card("", classes=1)
    assert (three.mean, three.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    for changes, says in (
        ({"mean": (0.5, 0.5), "std": (1.0,)}, "mean has 2 numbers; allowed: 1;"),
        ({"mean": (0.5,)}, "belong together"),
        ({"mean": (0.5,), "std": (0.0,)}, "finite numbers above 0"),
        ({"mean": (float("nan"),), "std": (1.0,)}, "finite numbers"),
        ({"mean": (0.5,), "std": (1.0,), "grid": (8, 8, 8), "kind": "shape"}, "logits, without mean and std"),
        ({"first_axis": "column", "grid": (8, 8, 8), "kind": "shape"}, "only an image's first coordinate"),
    ):
        with pytest.raises(BadConfig, match=says):
            replace(ORIGIN, **changes)
