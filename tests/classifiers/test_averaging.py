"""Laws of the running mean: it follows its formula, moves statistics too, and leaves the network alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nefstudy.classifiers.averaging import average, averaged_copy
from nefstudy.classifiers.norm import BatchNorm
from nefstudy.classifiers.scores import score
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]
FIELD = Siren(in_dim=2, out_dim=1, hidden=4)


def test_the_mean_is_the_geometric_one() -> None:
    """After long training a weight of age a counts (1 - decay) decay^a, the rest is what was before."""
    network = nn.Linear(1, 1, bias=False)
    mean = averaged_copy(network)
    values, decay = [3.0, -1.0, 2.0], 0.5
    before = mean.weight.item()
    for step, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        average(mean, network, decay=decay, step=1000 + step)
    expected = before * decay**3 + sum((1 - decay) * decay ** (2 - i) * v for i, v in enumerate(values))
    assert mean.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_untrained_start_is_soon_forgotten() -> None:
    """However long the memory, the start counts under a thousandth after twenty steps."""
    network = nn.Linear(1, 1, bias=False)
    mean = averaged_copy(nn.Linear(1, 1, bias=False))
    nn.init.constant_(mean.weight, 1.0)
    nn.init.constant_(network.weight, 0.0)
    for step in range(20):
        average(mean, network, decay=0.999, step=step)
    assert 0 < mean.weight.item() < 1e-3


def test_batch_statistics_are_averaged_and_counts_are_left() -> None:
    """A mean of weights with the start's statistics would normalise by what no network has."""
    network = BatchNorm(2)
    mean = averaged_copy(network)
    network(torch.full((4, 2), 7.0) + torch.arange(4.0)[:, None])
    kept = copy.deepcopy(network.state_dict())
    average(mean, network, decay=0.9, step=100)
    assert torch.allclose(mean.mean, 0.1 * network.mean)
    assert all(torch.equal(kept[name], value) for name, value in network.state_dict().items())


def test_what_is_scored_is_the_mean(make_data: MakeData) -> None:
    """Training goes its own way whether or not a mean follows it; scores and weights are the mean's."""
    data = make_data(FIELD)
    config = ClassifierConfig(name="mlp", params={"width": 8}, epochs=3, batch_size=16, lr=1e-2)
    plain, mean = (
        train_classifier(each, data, seed=0) for each in (config, config.model_copy(update={"average": 0.9}))
    )
    assert [e.train_loss for e in plain.epochs] == [e.train_loss for e in mean.epochs]
    assert [e.val_loss for e in plain.epochs] != [e.val_loss for e in mean.epochs]
    assert score(mean.reader, data, "val") == mean.val
