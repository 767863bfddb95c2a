from collections.abc import Callable

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.classifier import count_parameters
from nefstudy.classifiers.dws import Dws, Equivariant, WeightSpaceReader, pool, subsets
from nefstudy.fields.field import NeuralField
from nefstudy.fields.siren import Siren

SIZES = {1: 3, 2: 4}
CHANNELS = {(): 2, (1,): 1, (1, 2): 2, (2,): 3}


def features(seed: int = 0) -> dict[tuple[int, ...], torch.Tensor]:
    rng = seeds.stream(seed, "test", "features")
    return {
        axes: torch.from_numpy(rng.standard_normal((2, *(SIZES[a] for a in axes), channels)))
        for axes, channels in CHANNELS.items()
    }


def permuted(values: dict[tuple[int, ...], torch.Tensor], layer: int) -> dict[tuple[int, ...], torch.Tensor]:
    order = torch.arange(SIZES[layer]).roll(1)
    return {a: v.index_select(1 + a.index(layer), order) if layer in a else v for a, v in values.items()}


@pytest.mark.parametrize("layer", list(SIZES))
def test_a_layer_commutes_with_permutations_of_each_axis(layer: int) -> None:
    """Permuting the units of a layer, then mapping, is mapping, then permuting them."""
    mapping = Equivariant(CHANNELS, 5).double()
    before, after = mapping(permuted(features(), layer)), permuted(mapping(features()), layer)
    for axes, value in after.items():
        assert torch.allclose(before[axes], value, rtol=0, atol=1e-12)
        assert value.shape == (2, *(SIZES[a] for a in axes), 5)
    assert not torch.allclose(before[1, 2], mapping(features())[1, 2])


@pytest.mark.parametrize("target", list(CHANNELS))
def test_the_maps_are_all_that_commute(target: tuple[int, ...]) -> None:
    """As many maps per pair of channels as the axes shared have subsets: the dimension of the commutant."""
    mapping = Equivariant(CHANNELS, 1)
    weights = sum(
        m.weight.numel() for name, m in mapping.maps.items() if name.split("|")[0] == "-".join(map(str, target))
    )
    assert weights == sum(c * 2 ** len(set(axes) & set(target)) for axes, c in CHANNELS.items())


def test_pooling_keeps_the_axes_asked_for() -> None:
    """A pooled feature is the mean over the other axes, features side by side in their order."""
    values = features()
    assert subsets((1, 2)) == [(), (1,), (2,), (1, 2)]
    assert torch.equal(pool(values, (1,)), torch.cat([values[1,], values[1, 2].mean(dim=2)], dim=2))
    assert pool(values, ()).shape == (2, sum(CHANNELS.values()))


def test_every_parameter_of_a_field_is_a_feature(field: NeuralField, make_rows: Callable[..., torch.Tensor]) -> None:
    """The grouped scalars are the field's parameters, each once."""
    rows = make_rows(field, 2)
    reader = Dws(width=4, depth=1, pooled=4).build(field, 3).double()
    assert isinstance(reader, WeightSpaceReader)
    found = torch.cat([value.flatten(1) for value in reader.features(rows).values()], dim=1)
    assert torch.equal(found.sort(dim=1).values, rows.sort(dim=1).values)


def test_the_default_has_a_tenth_of_a_million_parameters() -> None:
    """On a 2-32-32-3 SIREN, a size between the smallest two perceptrons of the study."""
    assert 74_000 < count_parameters(Dws().build(Siren(in_dim=2, out_dim=3, hidden=32), 10)) < 116_000
