"""The kinds of signals that ship: images on a grid, and shapes known by points inside and outside."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from nefstudy.evaluation.reconstruction import cell_centres, iou, off_grid_psnr, off_grid_ratio, psnr
from nefstudy.evaluation.similarity import ssim
from nefstudy.signals.picture import view
from nefstudy.signals.signal import Predict, Quality, SignalKind, Signals

STEP_POINTS = 4096
"""Points of a shape that a step of a fit compares: 2,048 inside, 2,048 outside (Papa et al. 2024 suppl.)."""


def _measure_images(signals: Signals, predict: Predict) -> Mapping[str, Float[np.ndarray, " S"]]:
    images = signals.originals().reshape(signals.values.shape)
    predicted = predict(signals.coordinates()).reshape(images.shape)
    between = predict(cell_centres(signals.card.grid))
    inside, off = psnr(predicted, images), off_grid_psnr(between, images)
    similar = ssim(predicted, images)
    return {"psnr": inside, "ssim": similar, "off_grid_psnr": off, "off_grid_ratio": off_grid_ratio(off, inside)}


def _measure_shapes(signals: Signals, predict: Predict) -> Mapping[str, Float[np.ndarray, " S"]]:
    assert signals.samples is not None  # a sampled kind's, which `check` has seen
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
        Quality("off_grid_ratio", "Off-grid / in-grid PSNR"),
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
