"""What fitted fields reconstruct, and how well: one number per field and metric."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nefstudy.evaluation.reconstruction import cell_centres, iou, off_grid_psnr, off_grid_ratio, psnr
from nefstudy.evaluation.similarity import ssim
from nefstudy.fields.field import NeuralField, unflatten
from nefstudy.fields.padding import padded
from nefstudy.fitting.lanes import LEAST
from nefstudy.signals.signal import SignalCard, Signals

BLOCK = 32  # fields evaluated together, fewer at many points: no figure depends on how many fields there are
BLOCK_POINTS = 2**15


def reconstruct(
    field: NeuralField, card: SignalCard, rows: Float[Tensor, "F N"], points: Float[np.ndarray, "*F P D"]
) -> Float[np.ndarray, "F P C"]:
    """Values on the original scale: image values (about [0, 1]) or the logit of occupancy."""
    outputs = _outputs(field, rows, torch.from_numpy(points))
    mean, std = np.asarray(card.mean, dtype=np.float32), np.asarray(card.std, dtype=np.float32)
    return outputs * std + mean


def quality_columns(
    field: NeuralField, signals: Signals, rows: Float[Tensor, "F N"], *, places: Int[np.ndarray, " F"]
) -> dict[str, Float[np.ndarray, " F"]]:
    """The quality columns of fields fitted to the signals at `places`; NaN for fields that diverged."""
    alive = torch.isfinite(rows).all(dim=1).numpy()
    columns = MEASURES[signals.card.kind](field, signals, rows, places, alive)
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _image(
    field: NeuralField, signals: Signals, rows: Tensor, places: Int[np.ndarray, " F"], alive: Bool[np.ndarray, " F"]
) -> dict[str, np.ndarray]:
    grid, channels = signals.card.grid, signals.card.channels
    names = ("psnr", "ssim", "off_grid_psnr", "off_grid_ratio")
    columns = {name: np.full(len(rows), np.nan) for name in names}
    if alive.any():
        living = rows[torch.from_numpy(alive)]
        images = signals.originals(places[alive]).reshape(-1, *grid, channels)
        found = reconstruct(field, signals.card, living, signals.coordinates()).reshape(images.shape)
        between = reconstruct(field, signals.card, living, cell_centres(grid))
        inside, off = psnr(found, images), off_grid_psnr(between, images)
        values = (inside, ssim(found, images), off, off_grid_ratio(off, inside))
        for name, value in zip(names, values, strict=True):
            columns[name][alive] = value
    return columns


def _shape(
    field: NeuralField, signals: Signals, rows: Tensor, places: Int[np.ndarray, " F"], alive: Bool[np.ndarray, " F"]
) -> dict[str, np.ndarray]:
    column = np.full(len(rows), np.nan)
    if alive.any() and signals.samples is not None:
        samples = signals.samples.take(places[alive])
        points = samples.held_out.astype(np.float32)
        logits = reconstruct(field, signals.card, rows[torch.from_numpy(alive)], points)
        column[alive] = iou(logits[..., 0], samples.occupied)
    return {"iou": column}


MEASURES: dict[
    str,
    Callable[
        [NeuralField, Signals, Tensor, Int[np.ndarray, " F"], Bool[np.ndarray, " F"]],
        dict[str, np.ndarray],
    ],
] = {"image": _image, "shape": _shape}


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
