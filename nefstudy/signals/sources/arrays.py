"""Source of images from one npz file: `values`, `labels` and optionally `split`, `ids`, `class_names`."""

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.files.npz import read_npz
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import Signals
from nefstudy.signals.signal_set import numbered_classes
from nefstudy.signals.sources.options import int_option, only_options, text_option

NEEDED = ("values", "labels")
OPTIONAL = ("split", "ids", "class_names")
FIX = "save values, labels and optionally split, ids, class_names with numpy.savez"


def read_arrays(config: SignalsConfig) -> Signals:
    """Read images from an npz file; options: `path` (file or URI), `channels` (required if above four).

    `values` are [S, H, W] or [S, H, W, C], uint8 or floats in [0, 1]. `labels` are class indices from 0. `split`
    contains 0 train, 1 val, 2 test; by default it is drawn stratified, and without a val part, a tenth of train
    becomes validation. `class_names` default to the indices.

    Raises:
        BadSignals: the file is missing, is not an npz file, lacks a key, or its arrays do not match.
    """
    only_options(config, "path", "channels")
    channels = int_option(config, "channels", allowed=range(1, 4097), hint="the number of values per pixel")
    path = text_option(config, "path", hint="the path or URI of an npz file with values and labels")
    arrays = read_npz(path, needed=NEEDED, optional=OPTIONAL, fix=FIX)
    return image_set(
        _as_images(arrays["values"], path=path),
        arrays["labels"],
        config=config,
        class_names=_class_names(arrays, path=path),
        license="as given by its owner",
        source=path,
        split=arrays.get("split"),
        ids=arrays.get("ids"),
        channels=channels,
    )


def _as_images(values: np.ndarray, *, path: str) -> np.ndarray:
    if values.ndim not in (3, 4):
        raise BadSignals(f"{path}: values have shape {values.shape}; give [signals, height, width] or [.., channels]")
    return values


def _class_names(arrays: dict[str, np.ndarray], *, path: str) -> tuple[str, ...]:
    if "class_names" in arrays:
        return tuple(str(name) for name in arrays["class_names"].ravel())
    return numbered_classes(arrays["labels"], where=path)
