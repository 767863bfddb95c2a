"""A committee of networks, which are trained independently and whose class probabilities are averaged."""

from collections.abc import Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nefstudy.classifiers.classifier import WeightClassifier


class Committee(WeightClassifier):
    """Networks of one architecture with different initial weights (deep ensembles, Lakshminarayanan et al. 2017)."""

    def __init__(self, networks: Sequence[WeightClassifier]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(networks)  # this name is part of the tensor names in saved files

    def calibrate(self, rows: Float[Tensor, "N P"]) -> None:
        """Calibrate every member with the rows of the training split."""
        for member in members(self):
            member.calibrate(rows)

    def framed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        """Return the rows with the training mean next to each, which is the same for every member."""
        return members(self)[0].framed(rows)

    def embed(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """Return the learned features of all members, concatenated."""
        return torch.cat([member.embed(rows) for member in members(self)], dim=1)

    def forward(self, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
        """Return the log of the mean of the members' class probabilities."""
        return combined_logits([member(rows) for member in members(self)])


def members(network: WeightClassifier) -> list[WeightClassifier]:
    """Return the members of a committee, or the network itself if it is not a committee."""
    return list(network.readers) if isinstance(network, Committee) else [network]  # type: ignore[arg-type]  # modules


def combined_logits(member_logits: Sequence[Float[Tensor, "B classes"]]) -> Float[Tensor, "B classes"]:
    """Return the log of the members' mean class probabilities, or a single member's logits unchanged."""
    if len(member_logits) == 1:
        return member_logits[0]
    return torch.stack([each.log_softmax(dim=1) for each in member_logits]).logsumexp(dim=0) - log(len(member_logits))
