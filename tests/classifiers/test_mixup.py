"""Tests of mixup: rows, labels and losses are mixed in the same proportions, and alpha = 0 changes nothing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from nefstudy import seeds
from nefstudy.classifiers.mixup import blend
from nefstudy.classifiers.train import train_classifier
from nefstudy.classifiers.weights import WeightData
from nefstudy.config import ClassifierConfig
from nefstudy.fields.siren import Siren

MakeData = Callable[..., WeightData]
ROWS = torch.eye(6, dtype=torch.float64)
LABELS = torch.arange(6)


def rng() -> np.random.Generator:
    return seeds.stream(0, "test", "mixup")


def test_a_row_is_made_of_the_labels_it_names() -> None:
    """A mixed row is the weighted sum of two rows, and carries the labels of both."""
    mixed = blend(ROWS, LABELS, alpha=0.5, rng=rng())
    expected = mixed.share[:, None] * ROWS[mixed.labels] + (1 - mixed.share)[:, None] * ROWS[mixed.others]
    torch.testing.assert_close(mixed.rows, expected)
    assert torch.equal(mixed.labels, LABELS)
    assert not torch.equal(mixed.others, LABELS)
    assert ((mixed.share >= 0.5) & (mixed.share <= 1)).all()
    assert mixed.share.std() > 0


def test_alpha_zero_changes_neither_batch_nor_loss() -> None:
    """With alpha = 0, mixup changes neither the rows nor the loss, and it draws no random number."""
    used, fresh = rng(), rng()
    mixed = blend(ROWS, LABELS, alpha=0.0, rng=used)
    assert mixed.rows is ROWS
    assert used.random() == fresh.random()
    plain = nn.functional.cross_entropy(ROWS, LABELS, label_smoothing=0.1, reduction="sum")
    assert mixed.loss(ROWS, label_smoothing=0.1).item() == pytest.approx(plain.item())


def test_the_loss_is_that_of_soft_labels() -> None:
    """The mixup loss equals the cross entropy against the mixture of both labels."""
    mixed = blend(ROWS, LABELS, alpha=1.0, rng=rng())
    logits = torch.from_numpy(rng().standard_normal((6, 6)))
    soft = mixed.share[:, None] * ROWS[mixed.labels] + (1 - mixed.share)[:, None] * ROWS[mixed.others]
    expected = nn.functional.cross_entropy(logits, soft, reduction="sum")
    assert mixed.loss(logits, label_smoothing=0.0).item() == pytest.approx(expected.item())


def test_parts_make_the_whole() -> None:
    """The losses of processes that split a batch add up to the loss of the whole batch."""
    mixed = blend(ROWS, LABELS, alpha=1.0, rng=rng())
    halves = [slice(rank, None, 2) for rank in (0, 1)]
    parts = sum(mixed.part(own).loss(mixed.part(own).rows, label_smoothing=0.1).item() for own in halves)
    assert parts == pytest.approx(mixed.loss(mixed.rows, label_smoothing=0.1).item())


def test_mixup_changes_the_training(make_data: MakeData) -> None:
    """Mixup changes the training loss from the first epoch."""
    data = make_data(Siren(in_dim=2, out_dim=1, hidden=4))
    config = ClassifierConfig(name="mlp", params={"width": 8}, epochs=2, batch_size=16)
    plain, mixed = (train_classifier(each, data, seed=0) for each in (config, config.model_copy(update={"mixup": 0.4})))
    assert plain.epochs[0].train_loss != mixed.epochs[0].train_loss
