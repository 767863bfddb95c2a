"""Values that fitted fields reconstruct, and how well: one number per field and metric."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.padding import padded
from nefstudy.fitting.lanes import LEAST
from nefstudy.signals.signal import SignalCard, Signals

BLOCK = 32  # fields evaluated together, fewer at many points: no figure depends on how many fields there are
BLOCK_POINTS = 2**15


def reconstruct(
    field: NeuralField, card: SignalCard, rows: Float[Tensor, "F N"], points: Float[np.ndarray, "*F P D"]
) -> Float[np.ndarray, "F P C"]:
    """Return values on the original scale: those of the signals (about [0, 1]), or logits of occupancy."""
    outputs = _outputs(field, rows, torch.from_numpy(points))
    mean, std = np.asarray(card.mean, dtype=np.float32), np.asarray(card.std, dtype=np.float32)
    return outputs * std + mean


def quality_columns(
    field: NeuralField, signals: Signals, rows: Float[Tensor, "F N"], *, places: Int[np.ndarray, " F"]
) -> dict[str, Float[np.ndarray, " F"]]:
    """Return the quality columns of fields fitted to the signals at `places`; NaN for fields that diverged.

    Raises:
        BadConfig: the kind of the signals does not measure what it declares.
    """
    kind, alive = signals.kind, torch.isfinite(rows).all(dim=1).numpy()
    columns = {name: np.full(len(rows), np.nan, dtype=np.float32) for name in kind.metrics}
    if alive.any():
        predict = partial(reconstruct, field, signals.card, rows[torch.from_numpy(alive)])
        measured = kind.measure(signals.select(places[alive]), predict)
        if set(measured) != set(columns):
            raise BadConfig(
                f"kind {kind.name!r} declares {', '.join(columns)} and measures {', '.join(measured)}; make them equal"
            )
        for name, column in columns.items():
            column[alive] = measured[name]
    return columns


@torch.no_grad()
def _outputs(
    field: NeuralField, rows: Float[Tensor, "F N"], points: Float[Tensor, "*F P D"]
) -> Float[np.ndarray, "F P C"]:
    outputs = []
    round_points = padded(points)
    block = min(BLOCK, max(LEAST, BLOCK_POINTS // points.shape[-2]))
    for begin in range(0, len(rows), block):
        lanes = torch.arange(begin, begin + block).clamp(max=len(rows) - 1)
        where = round_points if points.ndim == 2 else round_points[lanes]
        found = field.forward(unflatten(field, rows[lanes]), where)
        outputs.append(found[: len(rows) - begin, : points.shape[-2]])
    values: Float[np.ndarray, "F P C"] = torch.cat(outputs).numpy()
    return values
