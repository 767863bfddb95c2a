"""Source of shapes from files of points and occupancies, in the layout of Occupancy Networks or of fit-a-nef.

Occupancy Networks: `SYNSET/MODEL/points.npz` with `points` in [-0.55, 0.55]^3 and `occupancies` as packed bits, and
`SYNSET/{train,val,test}.lst` with one model per line. fit-a-nef: `SYNSET/MODEL.npz` with `random_points`,
`near_surf_points` and an `..._occupancy` array for each. A data set uses one layout; its top folders are the classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Bool, Float, Float16, Int8, Shaped

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.seeds import stream
from nefstudy.signals.check import class_size_problems, refuse
from nefstudy.signals.files.npz import read_npz
from nefstudy.signals.samples import Pool, Samples, Sides
from nefstudy.signals.shape_set import HELD_OUT, balanced, both_sides, shape_set
from nefstudy.signals.signal import SPLITS, Signals, Split
from nefstudy.signals.sources.options import only_options, text_option
from nefstudy.signals.splits import stratified_split
from nefstudy.storage import below, list_tree, read_bytes

SHAPENET10: Mapping[str, str] = {
    "02691156": "airplane",
    "02828884": "bench",
    "02958343": "car",
    "03001627": "chair",
    "03636649": "lamp",
    "03691459": "loudspeaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04530566": "watercraft",
}
"""The study's ten categories by WordNet offset, which is the folder name."""

FRACTIONS = (0.8, 0.1, 0.1)
"""Shares of train, val and test without .lst files: 27,840/3,480/3,480 of ShapeNet10."""

HALF = 0.55
"""Half the side of the cube that contains the points: a unit cube grown by a tenth (Occupancy Networks)."""

SEED = 0
POINTS_FILE = "points.npz"
FIX = "export the shape again"
Parts = list[tuple[str, str, Split | None]]
"""A (class, file, split) tuple for each shape, in order."""


def read_shapenet10(config: SignalsConfig) -> Signals:
    """Read ShapeNet10, ten categories of ShapeNet, from `path`, in the layouts and with the options of `occupancy`.

    Raises:
        BadSignals: as `read_occupancy`, or a category is missing.
    """
    return _read(config, classes=SHAPENET10)


def read_occupancy(config: SignalsConfig) -> Signals:
    """Read shapes from `path` (folder or URI); option `half` is half the side of the cube of points, by default 0.55.

    Splits come from the .lst files; without them, a stratified 80 / 10 / 10 split is drawn.

    Raises:
        BadSignals: a file or list is missing, truncated or inconsistent, or a shape has too few points.
    """
    return _read(config, classes=None)


def _read(config: SignalsConfig, *, classes: Mapping[str, str] | None) -> Signals:
    only_options(config, "path", "half")
    path = text_option(config, "path", hint="the folder with one folder of shapes per class")
    half = config.options.get("half", HALF)
    if isinstance(half, bool | str) or half <= 0:
        raise BadConfig(f"signals {config.name!r}: option 'half' is {half!r}; give a number above 0, such as {HALF}")
    files, _ = list_tree(path)
    folders = sorted({file.parts[0] for file in files if file.suffix == ".npz" and len(file.parts) > 1})
    missing = [f"{name} ({words})" for name, words in (classes or {}).items() if name not in folders]
    if missing or not folders:
        raise BadSignals(f"{path} lacks {', '.join(missing) or 'folders of npz files'}; give one folder per class")
    chosen = folders if classes is None else [name for name in folders if name in classes]
    parts = [part for name in chosen for part in _models(path, name, files=[f for f in files if f.parts[0] == name])]
    labels = np.array([chosen.index(name) for name, _, _ in parts])
    class_names = tuple((classes or {}).get(name, name) for name in chosen)
    split = _split(parts, labels, class_names=class_names, config=config, where=path)
    return shape_set(
        [read_shape(path, file, half=half) for _, file, _ in parts],
        labels,
        config=config,
        class_names=class_names,
        license="ShapeNet terms of use" if classes else "as given by its owner",
        source=path,
        split=split,
    )


def _models(path: str, name: str, *, files: Sequence[PurePosixPath]) -> Parts:
    """Return (class, file, split) of each shape of one class, for all supported folder layouts."""
    models = {file.parts[1] for file in files if len(file.parts) == 3 and file.name == POINTS_FILE}
    if not models:
        return [(name, str(file), None) for file in files if len(file.parts) == 2 and file.suffix == ".npz"]
    lists: dict[Split, str] = {
        part: f"{name}/{part}.lst" for part in SPLITS if PurePosixPath(f"{name}/{part}.lst") in files
    }
    if not lists:
        return [(name, f"{name}/{model}/{POINTS_FILE}", None) for model in sorted(models)]
    parts: Parts = []
    for part, file in lists.items():
        lines = read_list(path, file)
        missing = [model for model in lines if model not in models]
        if missing:
            raise BadSignals(
                f"{below(path, file)} lists {missing[0]}, which has no {POINTS_FILE} ({len(missing)} missing); add it"
            )
        parts += [(name, f"{name}/{model}/{POINTS_FILE}", part) for model in lines]
    names = Counter(file for _, file, _ in parts)
    repeated = next((file for file, times in names.items() if times > 1), None)
    if repeated is not None:
        raise BadSignals(f"{path}: {repeated} is listed twice; keep each shape in one .lst file")
    return parts


def read_list(location: str, file: str = "") -> list[str]:
    """Return the models listed in a .lst file, one per line; blank lines are ignored.

    Raises:
        BadSignals: the file cannot be read, or is not UTF-8 text.
    """
    try:
        lines = read_bytes(location, file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadSignals(f"{below(location, file)} is not UTF-8 text; write one model per line") from None
    return [line.strip() for line in lines if line.strip()]


def _split(
    parts: Parts, labels: Shaped[np.ndarray, " S"], *, class_names: Sequence[str], config: SignalsConfig, where: str
) -> Int8[np.ndarray, " S"]:
    codes = [SPLITS[part] for _, _, part in parts if part is not None]
    if codes and len(codes) < len(parts):
        unlisted = next(name for name, _, part in parts if part is None)
        raise BadSignals(
            f"{where}: class {unlisted} has no .lst files, but other classes do; add {', '.join(SPLITS)}.lst"
        )
    if codes:
        return np.array(codes, dtype=np.int8)
    refuse(class_size_problems(labels, class_names), where=where)
    return stratified_split(labels, seed=config.split_seed, fractions=FRACTIONS)


@dataclass(frozen=True, eq=False)
class Cloud:
    """The stored points of one shape, with a mask of those inside; the first `even` are uniform over the volume."""

    points: Float[np.ndarray, "n 3"]
    inside: Bool[np.ndarray, " n"]
    even: int


def read_shape(path: str, file: str, *, half: float) -> Samples:
    """Sample one shape: held-out points are drawn from the uniform points; its pool is all the other points.

    The pool is read again when a step needs it, so that the points of all shapes need not fit into memory.

    Args:
        file: path in the data set, which is part of the name of the random stream.

    Raises:
        BadSignals: the file is invalid, or its points are too few, on one side only, or outside the cube.
    """
    sides, held_out, occupied = _points(path, file, half=half)
    inside, outside = sides
    identity = _hash(sides)
    pool = Pool(identity, 1, (len(inside), len(outside)), partial(_block, path, file, half, identity))
    return Samples(np.concatenate(balanced(sides))[None], held_out[None], occupied[None], np.array([pool]))


def _block(path: str, file: str, half: float, identity: str, number: int) -> Sides:
    """Read the points of a pool, which is a single block.

    Raises:
        BadSignals: the file is missing or invalid, or has changed since `read_shape`.
    """
    del number
    sides, _, _ = _points(path, file, half=half)
    if _hash(sides) != identity:
        raise BadSignals(f"{below(path, file)} has changed since the data set was read; restore it, or start again")
    return sides


def _hash(sides: Sides) -> str:
    return sha256(b"".join(np.ascontiguousarray(side, dtype="<f2").data for side in sides)).hexdigest()


def _points(path: str, file: str, *, half: float) -> tuple[Sides, Float16[np.ndarray, "Q 3"], Bool[np.ndarray, " Q"]]:
    """Return the points of one shape that fits use, its held-out points, and which of those are inside."""
    cloud = decode_points(path, file) if file.endswith(f"/{POINTS_FILE}") else decode_near(path, file)
    location = below(path, file)
    if cloud.even < 2 * HELD_OUT:
        raise BadSignals(f"{location} has {cloud.even} uniform points, but at least {2 * HELD_OUT} are needed; {FIX}")
    invalid = int((~np.isfinite(cloud.points).all(axis=1)).sum())
    if invalid:
        raise BadSignals(f"{location} has {invalid} points that are NaN or infinite; remove the shape, or {FIX}")
    scaled = cloud.points.astype(np.float32) / np.float32(half)
    if not np.abs(scaled).max() <= 1.001:
        far = float(np.abs(cloud.points.astype(np.float32)).max())
        raise BadSignals(f"{location} has a coordinate of {far:g}, beyond {half:g}; give option half={far:.3g}")
    points = np.clip(scaled, -1, 1).astype(np.float16)
    rng = stream(SEED, "points of a shape", file)
    order = np.concatenate([rng.permutation(cloud.even), np.arange(cloud.even, len(points))])
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    if cloud.inside[rest].all() or not cloud.inside[rest].any():
        side = "all inside" if cloud.inside[rest].all() else "none inside"
        raise BadSignals(f"{location} has points on only one side of the surface, {side}; remove the shape, or {FIX}")
    return both_sides(points[rest], cloud.inside[rest], rng=rng), points[held], cloud.inside[held]


def decode_points(location: str, file: str = "") -> Cloud:
    """Decode an Occupancy Networks file: points as half-precision floats, occupancies as packed bits.

    Raises:
        BadSignals: the file lacks one of the two arrays, or their lengths differ.
    """
    arrays = read_npz(location, file, needed=("points", "occupancies"), fix=FIX)
    points, bits = arrays["points"], arrays["occupancies"]
    if bits.dtype.kind not in "fiub" or points.ndim != 2:
        raise BadSignals(
            f"{below(location, file)}: points of shape {points.shape}, occupancies {bits.dtype} of shape {bits.shape}; "
            f"{FIX}"
        )
    if bits.dtype == np.uint8 and bits.ndim == 1 and len(bits) == -(-len(points) // 8):
        inside = np.unpackbits(bits)[: len(points)].astype(bool)
    else:
        inside = bits.reshape(-1) > 0.5
    return _cloud(points, inside, even=len(points), location=below(location, file))


def decode_near(location: str, file: str = "") -> Cloud:
    """Decode a fit-a-nef file; the random points come first in the result, then the points near the surface.

    Raises:
        BadSignals: the file lacks one of the four arrays, or their lengths differ.
    """
    kinds = ("random_points", "near_surf_points")
    needed = [name for kind in kinds for name in (kind, f"{kind}_occupancy")]
    arrays = read_npz(location, file, needed=needed, fix=FIX)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or (name in kinds and (array.ndim < 2 or array.shape[-1] != 3)):
            raise BadSignals(f"{below(location, file)}: {name} is {array.dtype} of shape {array.shape}; {FIX}")
    points = np.concatenate([arrays[kind].reshape(-1, 3) for kind in kinds])
    inside = np.concatenate([arrays[f"{kind}_occupancy"].reshape(-1) for kind in kinds]) > 0.5
    return _cloud(points, inside, even=len(arrays["random_points"]), location=below(location, file))


def _cloud(points: np.ndarray, inside: np.ndarray, *, even: int, location: str) -> Cloud:
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind != "f" or len(points) != len(inside):
        raise BadSignals(f"{location}: points of shape {points.shape} for {len(inside)} occupancies; {FIX}")
    return Cloud(points, inside, even)
