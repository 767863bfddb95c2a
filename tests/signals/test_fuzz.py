"""Fuzz tests of the readers of signals: a damaged file is read, or the reader raises a one-line BadSignals error."""

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadSignals
from nefstudy.signals.files.pixels import decode_image
from nefstudy.signals.sources.arrays import read_arrays
from nefstudy.signals.sources.cifar import RECORD, decode_batch
from nefstudy.signals.sources.microimagenet import read_wnids
from nefstudy.signals.sources.mnist import decode_idx, read_mnist
from nefstudy.signals.sources.occupancy import decode_near, decode_points, read_list
from nefstudy.signals.sources.parquet import read_parquet

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
RNG = np.random.default_rng(0)


def _png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (5, 5), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def _npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _parquet() -> bytes:
    out = io.BytesIO()
    rows = [{"bytes": _png(), "path": None} for _ in range(12)]
    pq.write_table(pa.table({"image": rows, "label": [row % 2 for row in range(12)]}), out, write_page_checksum=True)
    return out.getvalue()


POINTS = RNG.uniform(-0.5, 0.5, (64, 3)).astype(np.float16)
IDX = bytes([0, 0, 8, 3]) + np.array([2, 3, 3], ">u4").tobytes() + bytes(range(18))


def _config(name: str, path: Path) -> SignalsConfig:
    return SignalsConfig(name=name, options={"path": str(path)})


READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "image": ("x.png", _png(), lambda path: decode_image(path.read_bytes())),
    "arrays": (
        "x.npz",
        _npz(values=RNG.random((12, 4, 4), dtype=np.float32), labels=np.arange(12) % 2),
        lambda path: read_arrays(_config("arrays", path)),
    ),
    "parquet": ("x.parquet", _parquet(), lambda path: read_parquet(_config("parquet", path))),
    "idx": ("x", IDX, lambda path: decode_idx(path.read_bytes(), where="x", axes=3)),
    "mnist": ("train-images-idx3-ubyte.gz", gzip.compress(IDX), lambda path: read_mnist(_config("mnist", path.parent))),
    "cifar": ("x.bin", bytes(2 * RECORD), lambda path: decode_batch(path.read_bytes(), where="x")),
    "points": ("points.npz", _npz(points=POINTS, occupancies=np.zeros(8, np.uint8)), lambda p: decode_points(str(p))),
    "near": (
        "x.npz",
        _npz(
            random_points=POINTS,
            random_points_occupancy=np.zeros(64),
            near_surf_points=POINTS,
            near_surf_points_occupancy=np.ones(64),
        ),
        lambda path: decode_near(str(path)),
    ),
    "list": ("x.lst", b"one\ntwo\n", lambda path: read_list(str(path))),
    "wnids": ("x.txt", b"n01 cat\nn02 dog\n", lambda path: read_wnids(str(path))),
}


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Damage a file's bytes randomly: truncate, partly overwrite or replace the bytes, or repeat or remove a range."""
    how = draw(st.sampled_from(("cut", "flip", "flip", "remove", "repeat", "other", "mixed")))
    offset = st.integers(0, max(0, len(data) - 1))
    if how == "cut":
        return data[: draw(offset)]
    if how == "other":
        return draw(st.binary(max_size=64) | st.sampled_from([one for _, one, _ in READERS.values()]))
    if how in ("remove", "repeat"):
        begin, end = sorted((draw(offset), draw(offset)))
        return data[:begin] + data[end:] if how == "remove" else data[:end] + data[begin:]
    if how == "mixed":
        return data[: draw(offset)] + draw(st.binary(max_size=64))
    changed = bytearray(data)
    for position in draw(st.lists(offset, min_size=1, max_size=4)):
        changed[position] = draw(st.integers(0, 255))
    return bytes(changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
@given(sample=st.data())
def test_damage_is_read_or_refused_in_one_line(reader: str, folder: Path, sample: st.DataObject) -> None:
    """For a damaged file, a reader raises no error other than BadSignals with a one-line message."""
    name, data, read = READERS[reader]
    path = folder / reader / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(sample.draw(damaged(data)))
    message = ""
    try:
        read(path)
    except BadSignals as refused:
        message = str(refused)
    assert "\n" not in message
    assert len(message) < 2000


@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"mnist"}))  # mnist needs its other files too
def test_an_intact_file_is_read(reader: str, folder: Path) -> None:
    """Every example file can be read before it is damaged."""
    name, data, read = READERS[reader]
    path = folder / f"intact-{reader}" / name
    path.parent.mkdir()
    path.write_bytes(data)
    read(path)
