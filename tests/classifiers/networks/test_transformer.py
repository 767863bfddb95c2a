"""Tests specific to the transformer; its invariance is tested in test_laws."""

import pytest

from nefstudy.classifiers.networks.transformer import Transformer
from nefstudy.errors import BadConfig


def test_heads_must_divide_the_width() -> None:
    """A width that is not a multiple of the number of heads is rejected."""
    with pytest.raises(BadConfig, match=r"width = 10: .*heads = 4"):
        Transformer(width=10)
