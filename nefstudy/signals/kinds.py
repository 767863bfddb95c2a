"""Built-in kinds of signals: images on a grid, and shapes given by points inside and outside."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from nefstudy.evaluation.reconstruction import (
    cell_centers,
    iou,
    off_grid_nmse_ratio,
    off_grid_psnr,
    off_grid_ratio_bilinear,
    off_grid_ratio_published,
    psnr,
    published_points,
)
from nefstudy.evaluation.similarity import ssim
from nefstudy.signals.picture import view
from nefstudy.signals.signal import Predict, Quality, SignalKind, Signals

STEP_POINTS = 4096
"""Points of a shape per fitting step: 2,048 inside, 2,048 outside, as configured in the study's public code."""


def _measure_images(signals: Signals, predict: Predict) -> Mapping[str, Float[np.ndarray, " S"]]:
    images = signals.originals().reshape(signals.values.shape)
    predicted = predict(signals.grid_coords()).reshape(images.shape)
    between, published = predict(cell_centers(signals.card.grid)), predict(published_points(signals.card.grid))
    mean = np.asarray(signals.card.mean, dtype=np.float32)
    on_grid, off_grid = psnr(predicted, images), off_grid_psnr(between, images)
    return {
        "psnr": on_grid,
        "ssim": ssim(predicted, images),
        "off_grid_psnr": off_grid,
        "off_grid_ratio_bilinear": off_grid_ratio_bilinear(off_grid, on_grid),
        "off_grid_ratio_published": off_grid_ratio_published(published, predicted, images, mean=mean),
        "off_grid_nmse_ratio": off_grid_nmse_ratio(between, predicted, images),
    }


def _measure_shapes(signals: Signals, predict: Predict) -> Mapping[str, Float[np.ndarray, " S"]]:
    assert signals.samples is not None  # `check` requires samples of a sampled kind
    logits = predict(signals.samples.held_out.astype(np.float32))
    return {"iou": iou(logits[..., 0], signals.samples.occupied)}


def _draw_image(values: Float[np.ndarray, "H W C"], points: Float[np.ndarray, "P D"]) -> Float[np.ndarray, "H W C"]:
    del points
    return values


def _draw_shape(values: Float[np.ndarray, "*grid C"], points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "H W 1"]:
    return view(points[values.reshape(-1) > 0.5])


IMAGE = SignalKind(
    name="image",
    label="Image",
    nouns="images",
    loss="mse",
    quality=(
        Quality("psnr", "PSNR", unit="dB"),
        Quality("ssim", "SSIM"),
        Quality("off_grid_psnr", "Off-grid PSNR", unit="dB"),
        Quality("off_grid_ratio_bilinear", "Off-grid / in-grid PSNR"),
        Quality("off_grid_ratio_published", "Off-grid / in-grid PSNR as published"),
        Quality("off_grid_nmse_ratio", "Off-grid / in-grid error", direction="minimize"),
    ),
    measure=_measure_images,
    picture=_draw_image,
    axes=2,
)

SHAPE = SignalKind(
    name="shape",
    label="Shape",
    nouns="shapes",
    loss="bce",
    quality=(Quality("iou", "IoU", domain=(0.0, 1.0)),),
    measure=_measure_shapes,
    picture=_draw_shape,
    axes=3,
    sampled=True,
    strata=2,
    step_points=STEP_POINTS,
)

KINDS: dict[str, SignalKind] = {"image": IMAGE, "shape": SHAPE}
