"""Mixup: a batch of rows and labels blended with a permutation of itself (Zhang et al. 2018).

A blend of fields with a shared initialization is a meaningful field, because their units correspond. Units of random
initializations do not correspond, so such a blend is close to noise.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Blend:
    """Mixed rows: each is `share` times a field labeled `labels`, plus 1 - `share` times a field labeled `others`."""

    rows: Float[Tensor, "F N"]
    labels: Int[Tensor, " F"]
    others: Int[Tensor, " F"]
    share: Float[Tensor, " F"]

    def part(self, own: slice) -> "Blend":
        """Return the blend of a slice of the rows."""
        return Blend(self.rows[own], self.labels[own], self.others[own], self.share[own])

    def loss(self, logits: Float[Tensor, "F classes"], *, label_smoothing: float) -> Float[Tensor, ""]:
        """Return the cross entropies of both labels, weighted by the labels' shares and summed over all rows."""
        one, other = (
            nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
            for labels in (self.labels, self.others)
        )
        return torch.lerp(other, one, self.share).sum()


def blend(rows: Float[Tensor, "F N"], labels: Int[Tensor, " F"], *, alpha: float, rng: np.random.Generator) -> Blend:
    """Mix each row with another row, in shares drawn from Beta(alpha, alpha).

    A row's own share is the larger one. With alpha 0, no rows are mixed.
    """
    if alpha == 0:
        return Blend(rows, labels, labels, torch.ones(len(rows)).to(rows))
    drawn = rng.beta(alpha, alpha, len(rows))
    share = torch.from_numpy(np.maximum(drawn, 1.0 - drawn)).to(rows)
    order = torch.from_numpy(rng.permutation(len(rows))).to(labels.device)
    return Blend(torch.lerp(rows[order], rows, share.unsqueeze(1)), labels, labels[order], share)
