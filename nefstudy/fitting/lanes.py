"""The number of lanes (fields that are computed together) whose activations fit a core's cache."""

from nefstudy.fields.field import NeuralField

MIN_LANES = 2  # a batch of one takes another code path in the matrix library and rounds differently
MAX_LANES = 8
CACHE_FLOATS = 2**19  # one layer's activations of all lanes, so that they stay in a core's cache between operations


def lanes_in_cache(field: NeuralField, points: int) -> int:
    """Return the largest number of lanes, a power of two from 2 to 8, whose widest layer fits into a core's cache."""
    width = max((parameter.shape[-1] for parameter in field.layout), default=1)
    lanes = MAX_LANES
    while lanes > MIN_LANES and lanes * width * points > CACHE_FLOATS:
        lanes //= 2
    return lanes
