"""What is the transformer's own. Its invariance: see test_laws."""

import pytest

from nefstudy.classifiers.transformer import Transformer
from nefstudy.errors import BadConfig


def test_heads_must_divide_the_width() -> None:
    """A width that cannot be shared out among heads is refused."""
    with pytest.raises(BadConfig, match="width = 10: must be a multiple of heads = 4"):
        Transformer(width=10)
