from collections.abc import Callable

import pytest
import torch

from nefstudy import seeds
from nefstudy.classifiers.classifier import count_parameters
from nefstudy.classifiers.networks.dws import Dws, DwsNetwork, Equivariant, pool, subsets
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
    """An equivariant mapping gives the same result whether a layer's units are permuted before or after it."""
    mapping = Equivariant(CHANNELS, 5).double()
    before, after = mapping(permuted(features(), layer)), permuted(mapping(features()), layer)
    for axes, value in after.items():
        assert torch.allclose(before[axes], value, rtol=0, atol=1e-12)
        assert value.shape == (2, *(SIZES[a] for a in axes), 5)
    assert not torch.allclose(before[1, 2], mapping(features())[1, 2])


@pytest.mark.parametrize("target", list(CHANNELS))
def test_the_maps_are_all_that_commute(target: tuple[int, ...]) -> None:
    """An equivariant map between two tensors that share n axes has 2^n weights per pair of channels."""
    mapping = Equivariant(CHANNELS, 1)
    weights = sum(
        m.weight.numel()
        for name, m in mapping.maps.items()
        if isinstance(m, torch.nn.Linear) and name.split("|")[0] == "-".join(map(str, target))
    )
    assert weights == sum(c * 2 ** len(set(axes) & set(target)) for axes, c in CHANNELS.items())


def test_pooling_keeps_the_given_axes() -> None:
    """Pooling averages over all axes that are not kept, and concatenates the means in order."""
    values = features()
    assert subsets((1, 2)) == [(), (1,), (2,), (1, 2)]
    assert torch.equal(pool(values, (1,)), torch.cat([values[1,], values[1, 2].mean(dim=2)], dim=2))
    assert pool(values, ()).shape == (2, sum(CHANNELS.values()))


def test_every_parameter_of_a_field_is_a_feature(field: NeuralField, make_rows: Callable[..., torch.Tensor]) -> None:
    """Each parameter of a field appears exactly once among the features."""
    rows = make_rows(field, 2)
    network = Dws(width=4, depth=1, pooled=4).build(field, 3).double()
    assert isinstance(network, DwsNetwork)
    scalars = torch.cat([value.flatten(1) for value in network.features(rows).values()], dim=1)
    assert torch.equal(scalars.sort(dim=1).values, rows.sort(dim=1).values)


def test_the_default_has_a_tenth_of_a_million_parameters() -> None:
    """For a 2-32-32-3 SIREN, `Dws()` has more parameters than the paper's smallest MLP and fewer than the next one."""
    assert 74_000 < count_parameters(Dws().build(Siren(in_dim=2, out_dim=3, hidden=32), 10)) < 116_000
