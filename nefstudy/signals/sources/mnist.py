"""Sources of MNIST and Fashion-MNIST, in their authors' IDX files, plain or gzipped."""

import gzip
import re
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.files.file_type import file_type_of, reason_for
from nefstudy.signals.image_set import image_set
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.signal_set import numbered_classes
from nefstudy.signals.sources.digits import MNIST_LICENSE
from nefstudy.signals.sources.options import only_options, optional_text, text_option
from nefstudy.signals.sources.parquet import holds_parquet, read_parquet
from nefstudy.storage import below, list_tree, read_bytes

VALIDATION_SHARE = 1 / 12
"""Share of training signals used for validation, as in the study: 5,000 of 60,000."""

FILES: dict[Split, str] = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 8

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
"""The folder of Debian's package dataset-fashion-mnist."""

FASHION_LICENSE = "MIT (Fashion-MNIST: Zalando SE)"
FASHION_SHAPE = (28, 28)
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_mnist(config: SignalsConfig) -> Signals:
    """Read MNIST from `path`: a folder with its four IDX files, or parquet files (see `parquet`).

    The 60,000 training images are split 55,000 / 5,000, stratified, with the split seed; the 10,000 `t10k` images are
    the test split.

    Raises:
        BadSignals: a file is missing or is not an IDX file of bytes, or counts differ.
    """
    path = text_option(config, "path", hint="the folder with MNIST's IDX or parquet files")
    if holds_parquet(path):
        return read_parquet(config, validation_share=VALIDATION_SHARE)
    only_options(config, "path")
    return _read_set(config, path, license=MNIST_LICENSE if config.name == "mnist" else "as given by its owner")


def read_fashion_mnist(config: SignalsConfig) -> Signals:
    """Read Fashion-MNIST's four IDX files from `path`, by default the folder where `make data` installs them.

    Size and split are those of MNIST, with pictures of ten kinds of clothing.

    Raises:
        BadSignals: it is neither installed nor given, as `read_mnist`, or the images are not 28 x 28.
    """
    only_options(config, "path")
    if "path" not in config.options and not Path(FASHION_MNIST).is_dir():
        raise BadSignals(
            f"signals {config.name!r}: {FASHION_MNIST} does not exist; install it with `make data` (Debian's package "
            f"dataset-fashion-mnist), or give the path of its folder: --data {config.name}=PATH"
        )
    path = optional_text(config, "path", default=FASHION_MNIST)
    return _read_set(config, path, license=FASHION_LICENSE, class_names=FASHION_CLASSES, shape=FASHION_SHAPE)


def _read_set(
    config: SignalsConfig,
    path: str,
    *,
    license: str,
    class_names: tuple[str, ...] | None = None,
    shape: tuple[int, int] | None = None,
) -> Signals:
    """Read a set of four IDX files; `class_names` default to numbers; without `shape`, any size is allowed."""
    files = list_tree(path)[0]
    parts = {part: _read_part(path, files, stem=stem) for part, stem in FILES.items()}
    labels = np.concatenate([labels for _, labels in parts.values()]).astype(np.int64)
    shapes = {part: images.shape[1:] for part, (images, _) in parts.items()}
    if shapes["train"] != shapes["test"]:
        raise BadSignals(
            f"{path}: images are {shapes['train']} in train but {shapes['test']} in t10k; use files of one data set"
        )
    if shape is not None and shapes["train"] != shape:
        raise BadSignals(
            f"{path}: images are {shapes['train']}, but those of {config.name} are {shape}; download its four files"
        )
    return image_set(
        np.concatenate([images for images, _ in parts.values()]),
        labels,
        config=config,
        class_names=numbered_classes(labels, where=path) if class_names is None else class_names,
        license=license,
        source=path,
        split=np.concatenate([np.full(len(labels), SPLITS[part]) for part, (_, labels) in parts.items()]),
        validation_share=VALIDATION_SHARE,
    )


def _read_part(
    path: str, files: list[PurePosixPath], *, stem: str
) -> tuple[UInt8[np.ndarray, "n H W"], UInt8[np.ndarray, " n"]]:
    arrays = {kind: _read_file(path, files, stem=stem, kind=kind, axes=axes) for kind, axes in _KINDS.items()}
    if len(arrays["images"]) != len(arrays["labels"]):
        raise BadSignals(
            f"{path}: {len(arrays['images'])} images and {len(arrays['labels'])} labels under {stem}-; "
            f"they are from different downloads; download both again"
        )
    return arrays["images"], arrays["labels"]


_KINDS = {"images": 3, "labels": 1}


def _read_file(path: str, files: list[PurePosixPath], *, stem: str, kind: str, axes: int) -> UInt8[np.ndarray, "..."]:
    pattern = re.compile(rf"{stem}-{kind}[-.]idx{axes}-ubyte(\.gz)?")
    file = next((file for file in files if len(file.parts) == 1 and pattern.fullmatch(file.name)), None)
    if file is None:
        raise BadSignals(f"{path} lacks {stem}-{kind}-idx{axes}-ubyte or its .gz; download all four files of the set")
    location = below(path, str(file))
    data = read_bytes(path, file)
    try:
        data = gzip.decompress(data) if file.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split()) if data.startswith(b"\x1f\x8b") else reason_for(data, error)
        raise BadSignals(f"{location} cannot be read as gzip ({reason}); download it again") from None
    return decode_idx(data, where=location, axes=axes)


def decode_idx(data: bytes, *, where: str, axes: int) -> UInt8[np.ndarray, "..."]:
    """Decode an IDX file, which contains one array of bytes.

    The header is two zeros, the type, the number of axes, then each extent as a big-endian uint32.

    Raises:
        BadSignals: another type, another number of axes, or a length that does not match the header.
    """
    header = 4 + 4 * axes
    if len(data) < header or data[:4] != bytes([0, 0, UNSIGNED_BYTE, axes]):
        kind = file_type_of(data)
        actual = f"it begins with {data[:4].hex()}" if kind is None else f"it is {kind}"
        raise BadSignals(f"{where} is not an IDX file of bytes with {axes} axes ({actual}); download it again")
    shape = tuple(int(extent) for extent in np.frombuffer(data, dtype=">u4", count=axes, offset=4))
    expected = header + int(np.prod(shape, dtype=np.float64))
    if len(data) != expected:
        raise BadSignals(f"{where} has {len(data)} bytes, but its header says {expected}; download it again")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
