"""Tests of a committee: its members train as they would alone, and their class probabilities are averaged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nefstudy.classifiers.networks.committee import Committee, combined_logits, members
from nefstudy.classifiers.save import classifier_bytes, load_classifier
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]
FIELD = Siren(in_dim=2, out_dim=1, hidden=4)


def config(count: int, **more: object) -> ClassifierConfig:
    return ClassifierConfig(
        name="mlp", params={"width": 8}, epochs=3, batch_size=16, lr=1e-2, members=count
    ).model_copy(update=more)


def test_the_prediction_is_the_mean_probability(make_data: MakeData) -> None:
    """A committee's class probabilities are the mean of its members' class probabilities."""
    data = make_data(FIELD)
    network = train_classifier(config(3), data, seed=0).network.eval()
    assert isinstance(network, Committee)
    with torch.no_grad():
        each = torch.stack([member(data.parameters).softmax(dim=1) for member in members(network)])
        assert torch.allclose(network(data.parameters).exp(), each.mean(dim=0), atol=1e-6)
        assert network.embed(data.parameters).shape == (len(data), 3 * 8)
    assert (each[0] - each[1]).abs().max() > 1e-3


def test_a_member_trains_as_if_alone(make_data: MakeData) -> None:
    """Without dropout, training gives a committee's first member the same weights as a single network."""
    data = make_data(FIELD)
    alone, together = (
        train_classifier(config(count, clip_norm=0.5, epochs=1), data, seed=0).network for count in (1, 3)
    )
    first, second, _ = members(together)
    pairs = list(zip(alone.parameters(), first.parameters(), strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    assert not all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(alone.parameters(), second.parameters(), strict=True)
    )


def test_the_scores_of_a_single_member_are_unchanged() -> None:
    """A committee of one returns its member's logits unchanged; a larger one returns log probabilities."""
    scores = torch.tensor([[1.0, 2.0]])
    assert combined_logits([scores]) is scores
    assert combined_logits([scores, scores]).exp().sum().item() == pytest.approx(1.0)


def test_a_committee_is_read_back_bit_for_bit(make_data: MakeData, tmp_path: Path) -> None:
    """A committee that is read back from its file has all its members and bit-identical scores."""
    data, path = make_data(FIELD), tmp_path / "model"
    trained = train_classifier(config(2, average=0.9), data, seed=0)
    path.write_bytes(classifier_bytes(trained))
    loaded = load_classifier(path)
    with torch.no_grad():
        assert torch.equal(loaded.logits(data), trained.network.eval()(data.parameters))
    assert trained.parameters == 2 * train_classifier(config(1), data, seed=0).parameters
