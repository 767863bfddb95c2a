"""Laws of a committee: members learn as if alone, and answer with the mean of their probabilities."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nefstudy.classifiers.committee import Committee, agree, members
from nefstudy.classifiers.save import load_classifier, save_classifier
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


def test_the_answer_is_the_mean_probability(make_data: MakeData) -> None:
    """Probabilities of the committee are the average of its members', and the members differ."""
    data = make_data(FIELD)
    reader = train_classifier(config(3), data, seed=0).reader.eval()
    assert isinstance(reader, Committee)
    with torch.no_grad():
        each = torch.stack([member(data.parameters).softmax(dim=1) for member in members(reader)])
        assert torch.allclose(reader(data.parameters).exp(), each.mean(dim=0), atol=1e-6)
        assert reader.embed(data.parameters).shape == (len(data), 3 * 8)
    assert (each[0] - each[1]).abs().max() > 1e-3


def test_a_member_learns_as_if_alone(make_data: MakeData) -> None:
    """Without dropout the first member of a committee has the weights that a single reader would have."""
    data = make_data(FIELD)
    alone, together = (
        train_classifier(config(count, clip_norm=0.5, epochs=1), data, seed=0).reader for count in (1, 3)
    )
    first, second, _ = members(together)
    pairs = list(zip(alone.parameters(), first.parameters(), strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    assert not all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(alone.parameters(), second.parameters(), strict=True)
    )


def test_one_reader_is_no_committee() -> None:
    """Scores of a single member pass unchanged."""
    scores = torch.tensor([[1.0, 2.0]])
    assert agree([scores]) is scores
    assert agree([scores, scores]).exp().sum().item() == pytest.approx(1.0)


def test_a_committee_is_read_back_bit_for_bit(make_data: MakeData, tmp_path: Path) -> None:
    """All members are in the file."""
    data, path = make_data(FIELD), tmp_path / "model"
    trained = train_classifier(config(2, average=0.9), data, seed=0)
    save_classifier(trained, path)
    loaded = load_classifier(path)
    with torch.no_grad():
        assert torch.equal(loaded.logits(data), trained.reader.eval()(data.parameters))
    assert trained.parameters == 2 * train_classifier(config(1), data, seed=0).parameters
