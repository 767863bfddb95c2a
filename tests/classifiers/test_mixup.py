"""Laws of mixup: shares that add up, labels that follow the rows, nothing at alpha 0."""

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
    """With one-hot rows whose column is their label, a blend holds exactly its shares."""
    mixed = blend(ROWS, LABELS, alpha=0.5, rng=rng())
    expected = mixed.share[:, None] * ROWS[mixed.labels] + (1 - mixed.share)[:, None] * ROWS[mixed.others]
    torch.testing.assert_close(mixed.rows, expected)
    assert torch.equal(mixed.labels, LABELS)
    assert not torch.equal(mixed.others, LABELS)
    assert ((mixed.share >= 0.5) & (mixed.share <= 1)).all()
    assert mixed.share.std() > 0


def test_alpha_zero_leaves_the_batch_and_the_loss() -> None:
    """Without mixup the rows are the same tensor, no number is drawn, and the loss is plain cross entropy."""
    used, fresh = rng(), rng()
    mixed = blend(ROWS, LABELS, alpha=0.0, rng=used)
    assert mixed.rows is ROWS
    assert used.random() == fresh.random()
    plain = nn.functional.cross_entropy(ROWS, LABELS, label_smoothing=0.1, reduction="sum")
    assert mixed.loss(ROWS, label_smoothing=0.1).item() == pytest.approx(plain.item())


def test_the_loss_is_that_of_soft_labels() -> None:
    """Both labels weighted by their shares are one cross entropy against the mixture of classes."""
    mixed = blend(ROWS, LABELS, alpha=1.0, rng=rng())
    logits = torch.from_numpy(rng().standard_normal((6, 6)))
    soft = mixed.share[:, None] * ROWS[mixed.labels] + (1 - mixed.share)[:, None] * ROWS[mixed.others]
    expected = nn.functional.cross_entropy(logits, soft, reduction="sum")
    assert mixed.loss(logits, label_smoothing=0.0).item() == pytest.approx(expected.item())


def test_parts_make_the_whole() -> None:
    """Processes that share a batch add up to the loss of one that has it all."""
    mixed = blend(ROWS, LABELS, alpha=1.0, rng=rng())
    halves = [slice(rank, None, 2) for rank in (0, 1)]
    parts = sum(mixed.part(own).loss(mixed.part(own).rows, label_smoothing=0.1).item() for own in halves)
    assert parts == pytest.approx(mixed.loss(mixed.rows, label_smoothing=0.1).item())


def test_training_blends_only_when_asked(make_data: MakeData) -> None:
    """Mixup changes what is trained on, from the first epoch on."""
    data = make_data(Siren(in_dim=2, out_dim=1, hidden=4))
    config = ClassifierConfig(name="mlp", params={"width": 8}, epochs=2, batch_size=16)
    plain, mixed = (train_classifier(each, data, seed=0) for each in (config, config.model_copy(update={"mixup": 0.4})))
    assert plain.epochs[0].train_loss != mixed.epochs[0].train_loss
