from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from nefstudy.classifiers.scores import average_views, embeddings_of, logits_of, score
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]
FIELD = Siren(in_dim=2, out_dim=1, hidden=4)


def test_views_are_averaged_as_probabilities() -> None:
    """The scores of a signal are the mean probabilities of its views, in any order of the rows."""
    logits = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    group = torch.tensor([1, 0, 2, 0, 1, 1, 2])
    averaged = average_views(logits, group)
    for g in range(3):
        mean = logits[group == g].double().softmax(dim=1).mean(dim=0)
        assert torch.allclose(averaged[g].exp(), mean, atol=1e-12)
    order = torch.tensor([4, 2, 0, 6, 1, 3, 5])
    assert torch.allclose(average_views(logits[order], group[order]), averaged)


def test_a_signal_counts_once_for_any_number_of_views(make_data: MakeData) -> None:
    """Duplicate rows count once if they are views of the same signals, and twice if they are separate signals."""
    data = replace(make_data(FIELD), signals=torch.arange(60))
    network = train_classifier(ClassifierConfig(params={"width": 8}, epochs=2), data, seed=0).network
    twice = data.select(torch.arange(120) % 60)
    alone, views = score(network, data, "test"), score(network, twice, "test")
    assert views.confusion == alone.confusion
    assert views.loss == pytest.approx(alone.loss, rel=1e-6)
    assert sum(map(sum, score(network, replace(twice, signals=None), "test").confusion)) == 24


def test_embeddings_follow_the_rows(make_data: MakeData) -> None:
    """A field has the same embedding in any batch, and the head turns embeddings into scores."""
    data = make_data(FIELD, count=600)
    network = train_classifier(ClassifierConfig(params={"width": 8}, epochs=1), data, seed=0).network
    embedded = embeddings_of(network, data.parameters)
    assert len(embedded) == 600
    assert torch.allclose(embedded[599:], embeddings_of(network, data.parameters[599:]), atol=1e-5)
    assert isinstance(network.head, torch.nn.Module)
    assert torch.allclose(network.head(embedded), logits_of(network, data.parameters), atol=1e-5)
