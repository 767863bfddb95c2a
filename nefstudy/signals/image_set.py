"""Construction of a full set of labeled images, used by every source of images."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Shaped

from nefstudy.config import SignalsConfig
from nefstudy.signals.check import refuse
from nefstudy.signals.kinds import IMAGE
from nefstudy.signals.signal import Signals
from nefstudy.signals.signal_set import VALIDATION_SHARE, signal_set

IMAGE_AXES = 4
CHANNELS = (1, 2, 3, 4)


def image_set(
    values: Shaped[np.ndarray, "..."],
    labels: Shaped[np.ndarray, "..."],
    *,
    config: SignalsConfig,
    class_names: Sequence[str],
    license: str,
    source: str,
    split: Shaped[np.ndarray, "..."] | None = None,
    ids: Shaped[np.ndarray, "..."] | None = None,
    validation_share: float = VALIDATION_SHARE,
    channels: int | None = None,
) -> Signals:
    """Build a full, validated set of signals from images.

    Args:
        values: [S, H, W, C] or grayscale [S, H, W]; uint8 in 0..255 or floats in [0, 1].
        labels: [S] class indices, 0 .. len(class_names) - 1.
        split: [S] 0 train, 1 val, 2 test; by default drawn stratified with `config.split_seed`.
        ids: [S] identity of each image, by default its row.
        validation_share: share of the training images moved to validation if `split` has none.
        channels: number of channels; required if above four or if the shape is ambiguous.

    Raises:
        BadSignals: the problems of the arrays, on one line.
    """
    values = _with_channels(values)
    refuse(_channel_problems(values.shape, channels), where=f"signals {config.name!r} ({source})")
    return signal_set(
        values,
        kind=IMAGE,
        labels=labels,
        config=config,
        class_names=class_names,
        license=license,
        source=source,
        split=split,
        ids=ids,
        validation_share=validation_share,
    )


def _channel_problems(shape: tuple[int, ...], channels: int | None) -> Iterator[str]:
    """Yield the problems with the shape of an array of images: channels first, or an unexpected number of channels."""
    if len(shape) != IMAGE_AXES or channels == shape[-1]:
        return
    if channels is not None:
        yield f"values have shape {shape}: {shape[-1]} channels, not {channels}; correct option channels"
    elif shape[1] in CHANNELS and (shape[-1] not in CHANNELS or (shape[2] == shape[3] != shape[1])):
        yield (
            f"values have shape {shape}, which looks like [signals, channels, height, width]; save "
            f"values.transpose(0, 2, 3, 1), or give option channels={shape[-1]} if the last axis is the channels"
        )
    elif shape[-1] not in CHANNELS:
        yield (
            f"values have shape {shape}: {shape[-1]} channels, but images have 1 to 4; give [signals, height, width, "
            f"channels], or option channels={shape[-1]} if that is intended"
        )


def _with_channels(values: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    values = values[..., None] if values.ndim == 3 else values
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):  # an overflow becomes infinity, which the check reports
        return values.astype(np.float32)
