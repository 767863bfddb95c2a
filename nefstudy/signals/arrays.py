"""Images from one npz file: `values`, `labels` and optionally `split`, `ids`, `class_names`."""

import numpy as np

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.image_set import image_set
from nefstudy.signals.npz import read_npz
from nefstudy.signals.options import only_options, text_option, whole_option
from nefstudy.signals.signal import Signals
from nefstudy.signals.signal_set import numbered_classes

NEEDED = ("values", "labels")
OPTIONAL = ("split", "ids", "class_names")
FIX = "save values, labels and optionally split, ids, class_names with numpy.savez"


def read_arrays(config: SignalsConfig) -> Signals:
    """The images of an npz file; options: `path`, a file or URI, and `channels`, needed above four.

    `values` are [S, H, W] or [S, H, W, C], uint8 or floats in [0, 1]; `labels` are class indices from 0; `split`
    holds 0 train, 1 val, 2 test and is drawn stratified when absent (without a val, a tenth of train validates);
    `class_names` default to the indices.

    Raises:
        BadSignals: the file is missing, is no npz, lacks a key, or its arrays do not fit together.
    """
    only_options(config, "path", "channels")
    channels = whole_option(config, "channels", allowed=range(1, 4097), says="how many values each pixel has")
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
