"""Scores of a classifier on one split: loss, accuracy, and who is taken for whom."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nefstudy.classifiers import norm
from nefstudy.classifiers.classifier import WeightReader
from nefstudy.classifiers.weights import WeightData
from nefstudy.signals.signal import Split

_LEAST = 1e-300  # a probability that float64 rounds to zero still has a logarithm
_BATCH = 256  # fields scored at a time; changes memory, not scores


@dataclass(frozen=True)
class Scores:
    """Scores on one split.

    Attributes:
        loss: mean cross entropy over signals, without label smoothing.
        confusion: entry [label][answer] counts signals.
    """

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def per_class(self) -> tuple[float, ...]:
        """Accuracy on the signals of each class; nan for a class the split does not have."""
        return tuple(row[i] / sum(row) if sum(row) else float("nan") for i, row in enumerate(self.confusion))


@torch.no_grad()
def logits_of(reader: WeightReader, rows: Tensor) -> Tensor:
    """Class scores of many fields in evaluation mode, some at a time."""
    reader.eval()
    return torch.cat([reader(piece) for piece in torch.split(rows, _BATCH)]) if len(rows) else rows.new_zeros(0, 0)


def score(reader: WeightReader, data: WeightData, split: Split) -> Scores:
    """Scores on one split, by signal: the answers for its views are averaged as probabilities.

    Processes that train together share the signals out among them and all get the whole scores.
    """
    rows, group = _by_signal(data, split)
    own = group % norm.world_size() == norm.rank()
    rows, group = rows[own], group[own] // norm.world_size()
    confusion = torch.zeros(data.classes, data.classes, dtype=torch.float64)
    loss = torch.zeros(1, dtype=torch.float64)
    if len(rows):
        labels = torch.zeros(int(group.max()) + 1, dtype=torch.int64).index_copy_(0, group, data.labels[rows].cpu())
        answers = average_views(logits_of(reader, data.parameters[rows]).cpu(), group)
        loss += nn.functional.nll_loss(answers, labels, reduction="sum")
        confusion.index_put_((labels, answers.argmax(dim=1)), torch.ones(1).double(), accumulate=True)
    confusion, loss = norm.sum_across(confusion), norm.sum_across(loss)
    count = confusion.sum().item()
    return Scores(
        loss=loss.item() / count,
        accuracy=confusion.trace().item() / count,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion.tolist()),
    )


def average_views(logits: Float[Tensor, "N classes"], group: Int[Tensor, " N"]) -> Float[Tensor, "G classes"]:
    """Logarithm, in float64, of each group's mean class probabilities; groups are 0, 1, ... without gaps."""
    views = torch.bincount(group)
    sums = torch.zeros(len(views), logits.shape[1], dtype=torch.float64)
    sums.index_add_(0, group, logits.double().softmax(dim=1))
    return (sums / views.unsqueeze(1)).clamp(min=_LEAST).log()


def _by_signal(data: WeightData, split: Split) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Rows of a split, and for each the number of its signal among those of the split."""
    rows = data.rows(split)
    if data.signals is None:
        return rows, torch.arange(len(rows))
    return rows, torch.unique(data.signals[rows].cpu(), return_inverse=True)[1]


@torch.no_grad()
def embeddings_of(reader: WeightReader, rows: Tensor) -> Tensor:
    """Learned features of many fields in evaluation mode, some at a time."""
    reader.eval()
    return torch.cat([reader.embed(piece) for piece in torch.split(rows, _BATCH)])
