"""Source of CIFAR-10 in its authors' binary version: records of one label and 3 x 1024 color bytes."""

import numpy as np
from jaxtyping import UInt8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.files.file_type import file_type_of
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals
from nefstudy.signals.sources.options import only_options, text_option
from nefstudy.signals.sources.parquet import holds_parquet, read_parquet
from nefstudy.storage import below, list_tree, read_bytes

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
SIDE, CHANNELS = 32, 3
RECORD = 1 + CHANNELS * SIDE * SIDE
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_cifar10(config: SignalsConfig) -> Signals:
    """Read CIFAR-10 from `path`: a folder with the six .bin files, or parquet files (see `parquet`).

    The 50,000 training images are split 45,000 / 5,000, stratified, with the split seed; `test_batch` is for testing.

    Raises:
        BadSignals: a file is missing or truncated, or contains a label above 9.
    """
    path = text_option(config, "path", hint="the folder with CIFAR-10's .bin or parquet files")
    if holds_parquet(path):
        return read_parquet(config)
    only_options(config, "path")
    files = [str(file) for file in list_tree(path)[0]]
    missing = [name for name in (*TRAIN, TEST) if name not in files]
    if missing:
        raise BadSignals(f"{path} lacks {', '.join(missing)}; unpack cifar-10-binary.tar.gz and give its folder")
    batches = [decode_batch(read_bytes(path, name), where=below(path, name)) for name in (*TRAIN, TEST)]
    labels = np.concatenate([labels for _, labels in batches]).astype(np.int64)
    test_count = len(batches[-1][1])
    return image_set(
        np.concatenate([images for images, _ in batches]),
        labels,
        config=config,
        class_names=CLASSES,
        license="none stated (CIFAR-10: Krizhevsky 2009)",
        source=path,
        split=np.repeat([SPLITS["train"], SPLITS["test"]], [len(labels) - test_count, test_count]),
    )


def decode_batch(data: bytes, *, where: str) -> tuple[UInt8[np.ndarray, "n 32 32 3"], UInt8[np.ndarray, " n"]]:
    """Return the images and labels of one batch file, in which red, green and blue planes follow each label.

    Raises:
        BadSignals: the length is not a multiple of a record, or a label is above 9.
    """
    if not data or len(data) % RECORD:
        kind = file_type_of(data)
        actual = "" if kind is None else f" and is {kind}"
        raise BadSignals(f"{where} has {len(data)} bytes, not a multiple of {RECORD}{actual}; unpack the archive again")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        row = int(np.argmax(labels >= len(CLASSES)))
        raise BadSignals(f"{where}: record {row} has label {labels[row]}; allowed: 0 to 9; unpack the archive again")
    planes = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
