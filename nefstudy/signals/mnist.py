"""MNIST as its authors publish it: IDX files, plain or gzipped; Fashion-MNIST and its kin alike."""

import gzip
import re
import zlib
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import UInt8

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.digits import MNIST_LICENCE
from nefstudy.signals.file_type import file_type_of, reason_for
from nefstudy.signals.image_set import image_set
from nefstudy.signals.options import only_options, text_option
from nefstudy.signals.parquet import holds_parquet, read_parquet
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.signal_set import numbered_classes
from nefstudy.storage import below, list_tree, read_bytes

VALIDATION_SHARE = 1 / 12
"""Of training signals: 5,000 of 60,000, the study's split."""

FILES: dict[Split, str] = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 8


def read_mnist(config: SignalsConfig) -> Signals:
    """MNIST from `path`: a folder with its four IDX files, or its parquet files (then see `read_parquet`).

    The 60,000 are split 55,000 / 5,000 stratified with the split seed; the 10,000 `t10k` digits test.

    Raises:
        BadSignals: a file is missing, is no IDX file of bytes, or counts differ.
    """
    path = text_option(config, "path", hint="the folder with MNIST's IDX or parquet files")
    if holds_parquet(path):
        return read_parquet(config, validation_share=VALIDATION_SHARE)
    only_options(config, "path")
    files = list_tree(path)[0]
    parts = {part: _read_part(path, files, stem=stem) for part, stem in FILES.items()}
    labels = np.concatenate([labels for _, labels in parts.values()]).astype(np.int64)
    shapes = {part: images.shape[1:] for part, (images, _) in parts.items()}
    if shapes["train"] != shapes["test"]:
        raise BadSignals(f"{path}: images are {shapes['train']} in train, {shapes['test']} in t10k; get one data set")
    return image_set(
        np.concatenate([images for images, _ in parts.values()]),
        labels,
        config=config,
        class_names=numbered_classes(labels, where=path),
        license=MNIST_LICENCE if config.name == "mnist" else "as given by its owner",
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
            f"they belong to different downloads, get both again"
        )
    return arrays["images"], arrays["labels"]


_KINDS = {"images": 3, "labels": 1}


def _read_file(path: str, files: list[PurePosixPath], *, stem: str, kind: str, axes: int) -> UInt8[np.ndarray, "..."]:
    pattern = re.compile(rf"{stem}-{kind}[-.]idx{axes}-ubyte(\.gz)?")
    found = [file for file in files if len(file.parts) == 1 and pattern.fullmatch(file.name)]
    if not found:
        raise BadSignals(f"{path} lacks {stem}-{kind}-idx{axes}-ubyte or its .gz; download all four files of the set")
    location = below(path, str(found[0]))
    data = read_bytes(path, found[0])
    try:
        data = gzip.decompress(data) if found[0].suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split()) if data.startswith(b"\x1f\x8b") else reason_for(data, error)
        raise BadSignals(f"{location} is no whole gzip file ({reason}); download it again") from None
    return decode_idx(data, where=location, axes=axes)


def decode_idx(data: bytes, *, where: str, axes: int) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of bytes: two zeros, type, axes, then each extent as a big-endian 32-bit number.

    Raises:
        BadSignals: another type, another number of axes, or a length that does not fit the header.
    """
    header = 4 + 4 * axes
    if len(data) < header or data[:4] != bytes([0, 0, UNSIGNED_BYTE, axes]):
        kind = file_type_of(data)
        found = f"begins {data[:4].hex()}" if kind is None else f"it is {kind}"
        raise BadSignals(f"{where} is no IDX file of {axes}-axis bytes ({found}); download it again")
    shape = tuple(int(extent) for extent in np.frombuffer(data, dtype=">u4", count=axes, offset=4))
    expected = header + int(np.prod(shape, dtype=np.float64))
    if len(data) != expected:
        raise BadSignals(f"{where} has {len(data)} bytes, its header says {expected}; download it again")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
