"""A full set of labelled images as Signals, the way every source of images hands them over."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from nefstudy.config import SignalsConfig
from nefstudy.signals.labelled_set import VALIDATION_SHARE, labelled_set
from nefstudy.signals.signal import Signals


def image_set(
    values: Shaped[np.ndarray, "..."],
    labels: Shaped[np.ndarray, "..."],
    *,
    config: SignalsConfig,
    class_names: Sequence[str],
    licence: str,
    source: str,
    split: Shaped[np.ndarray, "..."] | None = None,
    ids: Shaped[np.ndarray, "..."] | None = None,
    validation_share: float = VALIDATION_SHARE,
) -> Signals:
    """Images as a full, checked set of signals, the way every source hands them over.

    Args:
        values: [S, H, W, C] or grey [S, H, W]; uint8 in 0..255 or floats in [0, 1].
        labels: [S] class indices, 0 .. len(class_names) - 1.
        split: [S] 0 train, 1 val, 2 test; drawn stratified with `config.split_seed` when absent.
        ids: [S] identity of each image, its row when absent.
        validation_share: of the training images, validates where a given split has no val.

    Raises:
        BadSignals: what is wrong with the arrays, on one line.
    """
    return labelled_set(
        _with_channels(values),
        labels,
        config=config,
        class_names=class_names,
        licence=licence,
        source=source,
        split=split,
        ids=ids,
        validation_share=validation_share,
    )


def _with_channels(values: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    values = values[..., None] if values.ndim == 3 else values
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):  # becomes infinity, which the check names
        return values.astype(np.float32)
