"""Reconstructions of fitted fields, and their quality: one number per field and metric."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.padding import padded
from nefstudy.fitting.lanes import MIN_LANES
from nefstudy.signals.signal import SignalCard, Signals

FLAT = 1e-6  # range of a constant output, relative to its largest value if that exceeds 1: rounding in float32
BLOCK = 32  # fields evaluated together, fewer for many points, so that results do not depend on the number of fields
BLOCK_POINTS = 2**15


def reconstruct(
    field: NeuralField, card: SignalCard, rows: Float[Tensor, "F N"], points: Float[np.ndarray, "*F P D"]
) -> Float[np.ndarray, "F P C"]:
    """Return the outputs of fields on the original scale of the signals (about [0, 1]), or as logits of occupancy."""
    outputs = _outputs(field, rows, torch.from_numpy(points))
    mean, std = np.asarray(card.mean, dtype=np.float32), np.asarray(card.std, dtype=np.float32)
    return outputs * std + mean


def quality_columns(
    field: NeuralField, signals: Signals, parameters: Float[Tensor, "F N"], *, rows: Int[np.ndarray, " F"]
) -> dict[str, np.ndarray]:
    """Return the quality columns of fields fitted to the given rows of `signals`, and the column `constant`.

    Quality is NaN for diverged fields. `constant` is 1 for a field whose outputs are the same at all points where its
    quality is measured, such as one whose ReLU units are all inactive; 0 for others, and -1 for diverged fields.

    Raises:
        BadConfig: the kind of the signals does not measure the metrics that it declares.
    """
    kind, alive = signals.kind, torch.isfinite(parameters).all(dim=1).numpy()
    columns = {name: np.full(len(parameters), np.nan, dtype=np.float32) for name in kind.metrics}
    constant = np.full(len(parameters), -1, dtype=np.int8)
    if alive.any():

        def predict(points: Float[np.ndarray, "*F P D"]) -> Float[np.ndarray, "F P C"]:
            outputs = reconstruct(field, signals.card, parameters[torch.from_numpy(alive)], points)
            constant[alive] = is_constant(outputs) & (constant[alive] != 0)
            return outputs

        measured = kind.measure(signals.select(rows[alive]), predict)
        if set(measured) != set(columns):
            raise BadConfig(
                f"kind {kind.name!r} declares {', '.join(columns)} and measures {', '.join(measured) or 'nothing'}; "
                "make them equal"
            )
        for name, column in columns.items():
            if np.shape(measured[name]) != (alive.sum(),):
                raise BadConfig(
                    f"kind {kind.name!r} measures {name} with shape {np.shape(measured[name])}; return one number for "
                    f"each of the {alive.sum()} signals"
                )
            column[alive] = measured[name]
    return {**columns, "constant": constant}


def is_constant(outputs: Float[np.ndarray, "F P C"]) -> Bool[np.ndarray, " F"]:
    """Return whether the outputs of each field are the same at all points, up to rounding."""
    low, high = outputs.min(axis=1), outputs.max(axis=1)
    with np.errstate(invalid="ignore"):  # of an output that overflows to both infinities
        is_flat = high <= low + FLAT * np.maximum(1, np.maximum(np.abs(low), np.abs(high)))
    constant: Bool[np.ndarray, " F"] = np.all(is_flat, axis=1)
    return constant


@torch.no_grad()
def _outputs(
    field: NeuralField, rows: Float[Tensor, "F N"], points: Float[Tensor, "*F P D"]
) -> Float[np.ndarray, "F P C"]:
    outputs = []
    padded_points = padded(points)
    block = min(BLOCK, max(MIN_LANES, BLOCK_POINTS // points.shape[-2]))
    for begin in range(0, len(rows), block):
        lanes = torch.arange(begin, begin + block).clamp(max=len(rows) - 1)
        coords = padded_points if points.ndim == 2 else padded_points[lanes]
        block_outputs = field.forward(unflatten(field, rows[lanes]), coords)
        outputs.append(block_outputs[: len(rows) - begin, : points.shape[-2]])
    values: Float[np.ndarray, "F P C"] = torch.cat(outputs).numpy()
    return values
