"""How many fields are computed together."""

from nefstudy.fields.field import NeuralField

LEAST = 2  # a batch of one takes another path through the matrix library and rounds differently
MOST = 8
CACHE_FLOATS = 2**19  # one layer's activations, all lanes: they then stay near a core between operations


def lanes_in_cache(field: NeuralField, points: int) -> int:
    """Lanes, a power of two from 2 to 8, whose widest layer's activations stay in a core's cache."""
    width = max((parameter.shape[-1] for parameter in field.layout), default=1)
    lanes = MOST
    while lanes > LEAST and lanes * width * points > CACHE_FLOATS:
        lanes //= 2
    return lanes
