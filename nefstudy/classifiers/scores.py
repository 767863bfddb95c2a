"""Scores of a classifier on one split: loss, accuracy, and who is taken for whom."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nefstudy.classifiers import norm
from nefstudy.classifiers.classifier import WeightReader
from nefstudy.classifiers.weights import WeightData
from nefstudy.signals.signal import Split

_BATCH = 256  # fields scored at a time; changes memory, not scores


@dataclass(frozen=True)
class Scores:
    """Scores on one split.

    Attributes:
        loss: mean cross entropy, without label smoothing.
        confusion: entry [label][answer] counts fields.
    """

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def per_class(self) -> tuple[float, ...]:
        """Accuracy on the fields of each class; nan for a class the split does not have."""
        return tuple(row[i] / sum(row) if sum(row) else float("nan") for i, row in enumerate(self.confusion))


@torch.no_grad()
def logits_of(reader: WeightReader, rows: Tensor) -> Tensor:
    """Class scores of many fields in evaluation mode, some at a time."""
    reader.eval()
    return torch.cat([reader(piece) for piece in torch.split(rows, _BATCH)]) if len(rows) else rows.new_zeros(0, 0)


def score(reader: WeightReader, data: WeightData, split: Split) -> Scores:
    """Scores on one split, shared out among the processes that train together."""
    rows = data.rows(split)
    own = rows[norm.rank() :: norm.world_size()]
    labels = data.labels[own]
    confusion = torch.zeros(data.classes, data.classes, dtype=torch.float64)
    loss = torch.zeros(1, dtype=torch.float64)
    if len(own):
        logits = logits_of(reader, data.parameters[own])
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").double().cpu()
        confusion.index_put_((labels.cpu(), logits.argmax(dim=1).cpu()), torch.ones(1).double(), accumulate=True)
    confusion, loss = norm.sum_across(confusion), norm.sum_across(loss)
    return Scores(
        loss=loss.item() / len(rows),
        accuracy=confusion.trace().item() / len(rows),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion.tolist()),
    )


@torch.no_grad()
def embeddings_of(reader: WeightReader, rows: Tensor) -> Tensor:
    """Learned features of many fields in evaluation mode, some at a time."""
    reader.eval()
    return torch.cat([reader.embed(piece) for piece in torch.split(rows, _BATCH)])
