"""Tests of the running mean of the weights: its formula, its statistics, and that the network is unchanged."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nefstudy.classifiers.networks.norm import BatchNorm
from nefstudy.classifiers.scores import score
from nefstudy.classifiers.train import average, averaged_copy, train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]
FIELD = Siren(in_dim=2, out_dim=1, hidden=4)


def test_the_mean_is_the_geometric_one() -> None:
    """After many steps, weights of age a contribute (1 - decay) decay^a to the mean; initial weights add the rest."""
    network = nn.Linear(1, 1, bias=False)
    mean = averaged_copy(network)
    values, decay = [3.0, -1.0, 2.0], 0.5
    before = mean.weight.item()
    for step, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        average(mean, network, decay=decay, step=1000 + step)
    expected = before * decay**3 + sum((1 - decay) * decay ** (2 - i) * v for i, v in enumerate(values))
    assert mean.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_initial_weights_are_soon_forgotten() -> None:
    """Even with a decay of 0.999, the initial weights contribute less than a thousandth after twenty steps."""
    network = nn.Linear(1, 1, bias=False)
    mean = averaged_copy(nn.Linear(1, 1, bias=False))
    nn.init.constant_(mean.weight, 1.0)
    nn.init.constant_(network.weight, 0.0)
    for step in range(20):
        average(mean, network, decay=0.999, step=step)
    assert 0 < mean.weight.item() < 1e-3


def test_batch_statistics_are_averaged_too() -> None:
    """Batch statistics are averaged along with the weights, and the network's own statistics stay unchanged."""
    network = BatchNorm(2)
    mean = averaged_copy(network)
    network(torch.full((4, 2), 7.0) + torch.arange(4.0)[:, None])
    kept = copy.deepcopy(network.state_dict())
    average(mean, network, decay=0.9, step=100)
    assert torch.allclose(mean.mean, 0.1 * network.mean)
    assert all(torch.equal(kept[name], value) for name, value in network.state_dict().items())


def test_the_mean_is_scored(make_data: MakeData) -> None:
    """The reported scores and weights are taken from the running mean. Averaging does not change the training."""
    data = make_data(FIELD)
    config = ClassifierConfig(name="mlp", params={"width": 8}, epochs=3, batch_size=16, lr=1e-2)
    plain, mean = (
        train_classifier(each, data, seed=0) for each in (config, config.model_copy(update={"average": 0.9}))
    )
    assert [e.train_loss for e in plain.epochs] == [e.train_loss for e in mean.epochs]
    assert [e.val_loss for e in plain.epochs] != [e.val_loss for e in mean.epochs]
    assert score(mean.network, data, "val") == mean.val
