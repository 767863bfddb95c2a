"""Mixup: a batch of rows and labels blended with another order of itself (Zhang et al. 2018).

Between fields of one shared start a blend is a sensible field, for their units correspond. Units of
random starts do not, and there a blend is near noise.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Blend:
    """Rows and what each is made of: `share` of a field labelled `labels`, the rest of one labelled `others`."""

    rows: Float[Tensor, "F N"]
    labels: Int[Tensor, " F"]
    others: Int[Tensor, " F"]
    share: Float[Tensor, " F"]

    def part(self, own: slice) -> "Blend":
        """Some of the rows."""
        return Blend(self.rows[own], self.labels[own], self.others[own], self.share[own])

    def loss(self, logits: Float[Tensor, "F classes"], *, label_smoothing: float) -> Float[Tensor, ""]:
        """Sum over rows of the cross entropies of both labels, each by its share."""
        one, other = (
            nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
            for labels in (self.labels, self.others)
        )
        return torch.lerp(other, one, self.share).sum()


def blend(rows: Float[Tensor, "F N"], labels: Int[Tensor, " F"], *, alpha: float, rng: np.random.Generator) -> Blend:
    """Each row mixed with another by a share drawn from Beta(alpha, alpha), its own the larger; alpha 0 mixes none."""
    if alpha == 0:
        return Blend(rows, labels, labels, torch.ones(len(rows)).to(rows))
    drawn = rng.beta(alpha, alpha, len(rows))
    share = torch.from_numpy(np.maximum(drawn, 1.0 - drawn)).to(rows)
    order = torch.from_numpy(rng.permutation(len(rows))).to(labels.device)
    return Blend(torch.lerp(rows[order], rows, share.unsqueeze(1)), labels, labels[order], share)
