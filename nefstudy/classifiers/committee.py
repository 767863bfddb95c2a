"""Several readers that answer together: each learns on its own, their class probabilities are averaged."""

from collections.abc import Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightReader


class Committee(WeightReader):
    """Readers of one kind from different initial weights (deep ensembles, Lakshminarayanan et al. 2017)."""

    def __init__(self, readers: Sequence[WeightReader]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(readers)

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Measure the scales of the training split in every reader."""
        for reader in members(self):
            reader.calibrate(rows)

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Learned features of all readers, side by side."""
        return torch.cat([reader.embed(rows) for reader in members(self)], dim=1)

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Logarithm of the mean of the readers' class probabilities."""
        return agree([reader(rows) for reader in members(self)])


def members(reader: WeightReader) -> list[WeightReader]:
    """The readers of a committee; a single reader is its own."""
    return list(reader.readers) if isinstance(reader, Committee) else [reader]  # type: ignore[arg-type]  # modules


def agree(answers: Sequence[Float[Tensor, "B classes"]]) -> Float[Tensor, "B classes"]:
    """Scores of several readers as one; a single reader's as they are."""
    if len(answers) == 1:
        return answers[0]
    return torch.stack([each.log_softmax(dim=1) for each in answers]).logsumexp(dim=0) - log(len(answers))
