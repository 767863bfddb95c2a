"""Scores of a classifier on one split: loss, accuracy and confusion matrix."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.classifiers.networks import norm
from nefstudy.classifiers.weights import WeightData
from nefstudy.signals.signal import Split

_MIN_PROBABILITY = 1e-300  # so that a probability that float64 rounds to zero has a finite logarithm
_BATCH = 256  # fields scored at a time; affects memory, not scores


@dataclass(frozen=True)
class Scores:
    """Scores on one split.

    Attributes:
        loss: mean cross entropy over signals, without label smoothing.
        confusion: entry [label][prediction] counts signals.
    """

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def correct(self) -> int:
        """Number of signals with the right prediction."""
        return sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def signals(self) -> int:
        """Number of signals that were scored."""
        return sum(map(sum, self.confusion))

    @property
    def per_class(self) -> tuple[float, ...]:
        """Accuracy on the signals of each class; NaN for a class without signals in the split."""
        return tuple(row[i] / sum(row) if sum(row) else float("nan") for i, row in enumerate(self.confusion))


@torch.no_grad()
def logits_of(network: WeightClassifier, rows: Tensor) -> Tensor:
    """Return class scores of many fields, computed in evaluation mode and in batches."""
    network.eval()
    return torch.cat([network(piece) for piece in torch.split(rows, _BATCH)]) if len(rows) else rows.new_zeros(0, 0)


def score(network: WeightClassifier, data: WeightData, split: Split) -> Scores:
    """Return the scores on one split, with one prediction per signal: its views' class probabilities are averaged.

    Processes that train together divide the signals among themselves, and each returns the scores of all signals.
    """
    rows, group = _by_signal(data, split)
    own = group % norm.world_size() == norm.rank()
    rows, group = rows[own], group[own] // norm.world_size()
    confusion = torch.zeros(data.classes, data.classes, dtype=torch.float64)
    loss = torch.zeros(1, dtype=torch.float64)
    if len(rows):
        labels = torch.zeros(int(group.max()) + 1, dtype=torch.int64).index_copy_(0, group, data.labels[rows].cpu())
        log_probabilities = average_views(logits_of(network, data.parameters[rows]).cpu(), group)
        loss += nn.functional.nll_loss(log_probabilities, labels, reduction="sum")
        confusion.index_put_((labels, log_probabilities.argmax(dim=1)), torch.ones(1).double(), accumulate=True)
    confusion, loss = norm.sum_across(confusion), norm.sum_across(loss)
    count = confusion.sum().item()
    return Scores(
        loss=loss.item() / count,
        accuracy=confusion.trace().item() / count,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion.tolist()),
    )


def average_views(logits: Float[Tensor, "N classes"], group: Int[Tensor, " N"]) -> Float[Tensor, "G classes"]:
    """Return the log of each group's mean class probabilities in float64; groups are numbered from 0 without gaps."""
    views = torch.bincount(group)
    sums = torch.zeros(len(views), logits.shape[1], dtype=torch.float64)
    sums.index_add_(0, group, logits.double().softmax(dim=1))
    return (sums / views.unsqueeze(1)).clamp(min=_MIN_PROBABILITY).log()


def _by_signal(data: WeightData, split: Split) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Return the rows of a split, and the index of each row's signal within the split."""
    rows = data.rows(split)
    if data.signals is None:
        return rows, torch.arange(len(rows))
    return rows, torch.unique(data.signals[rows].cpu(), return_inverse=True)[1]


@torch.no_grad()
def embeddings_of(network: WeightClassifier, rows: Tensor) -> Tensor:
    """Return learned features of many fields, computed in evaluation mode and in batches."""
    network.eval()
    return torch.cat([network.embed(piece) for piece in torch.split(rows, _BATCH)])
