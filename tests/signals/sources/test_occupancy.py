"""Tests of occupancy files: both published layouts are read exactly, and invalid files are rejected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.shape_set import FITTED, HELD_OUT
from nefstudy.signals.signal import SPLITS, Split
from nefstudy.signals.sources.occupancy import SHAPENET10, decode_near, decode_points, read_list, read_shape

from ...present import present

POINTS = 10_003  # not a multiple of eight: the last packed byte is partly filled


def ball(seed: int, *, radius: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Return half-precision points in [-0.55, 0.55]^3, and whether each of them is inside a ball."""
    points = np.random.default_rng(seed).uniform(-0.55, 0.55, (POINTS, 3)).astype(np.float16)
    return points, np.linalg.norm(points.astype(np.float32), axis=1) < radius


def write_network(folder: Path, *, seed: int) -> None:
    """Write a model in the layout of Occupancy Networks."""
    folder.mkdir(parents=True)
    points, inside = ball(seed)
    extra: dict[str, Any] = {"loc": np.zeros(3, dtype=np.float32), "scale": np.float32(1)}
    np.savez(folder / "points.npz", points=points, occupancies=np.packbits(inside), **extra)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Return an Occupancy Networks folder: two classes of five models, split 3 / 1 / 1 by lists with blank lines."""
    for number, name in enumerate(("02691156", "03001627")):
        for model in range(5):
            write_network(tmp_path / name / f"m{model}", seed=10 * number + model)
        for part, models in {"train": "m0\nm1\n\nm2\n", "val": "m3\n\n", "test": "m4"}.items():
            (tmp_path / name / f"{part}.lst").write_text(models)
    return tmp_path


def write_near(path: Path, *, seed: int) -> dict[str, np.ndarray]:
    """Write a model in the layout of fit-a-nef and return its arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    for number, kind in enumerate(("random_points", "near_surf_points")):
        points, inside = ball(100 * seed + number)
        arrays |= {kind: points.astype(np.float32), f"{kind}_occupancy": inside}
    np.savez(path, **arrays)
    return arrays


@pytest.fixture
def near(tmp_path: Path) -> Path:
    """Return a fit-a-nef folder: two classes of ten models each, without lists."""
    for number, name in enumerate(("02691156", "03001627")):
        for model in range(10):
            write_near(tmp_path / name / f"a{model}.npz", seed=20 * number + model)
    return tmp_path


def load(path: Path, *, name: str = "occupancy", **options: object):
    return load_signals(SignalsConfig(name=name, options={"path": str(path), **options}))


def test_packed_bits_are_read_bit_for_bit(network: Path):
    """An Occupancy Networks file is read exactly, even if its last byte is only partly filled."""
    cloud = decode_points(str(network / "03001627/m2/points.npz"))
    points, inside = ball(12)
    np.testing.assert_array_equal(cloud.points, points)
    np.testing.assert_array_equal(cloud.inside, inside)
    assert cloud.even == POINTS


def test_random_points_come_before_those_near_the_surface(tmp_path: Path):
    """A fit-a-nef file is read exactly, with its random points before those near the surface.

    Only the random points are marked as uniform.
    """
    arrays = write_near(tmp_path / "a.npz", seed=3)
    cloud = decode_near(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(cloud.points[:POINTS], arrays["random_points"])
    np.testing.assert_array_equal(cloud.points[POINTS:], arrays["near_surf_points"])
    np.testing.assert_array_equal(cloud.inside[POINTS:], arrays["near_surf_points_occupancy"])
    assert cloud.even == POINTS


def test_lists_define_the_split(network: Path):
    """Each class is split by its lists, whose blank lines are ignored."""
    signals = load(network)
    assert signals.card.class_names == ("02691156", "03001627")
    counts: dict[Split, int] = {"train": 3, "val": 1, "test": 1}
    for part, count in counts.items():
        assert (np.bincount(present(signals.labels)[signals.split == SPLITS[part]]) == count).all()


def test_points_keep_their_occupancy_when_scaled(network: Path):
    """Fitted and held-out points, scaled back, have the same occupancy as in the original solid."""
    signals = load(network)
    assert signals.samples.fitted.shape == (10, FITTED, 3)
    assert signals.samples.held_out.shape == (10, HELD_OUT, 3)
    for row in (0, 9):
        fitted, held = (
            np.linalg.norm(points[row].astype(np.float32) * 0.55, axis=1) < 0.3
            for points in (signals.samples.fitted, signals.samples.held_out)
        )
        assert (fitted == (signals.values[row, :, 0] > 0)).mean() > 0.995  # rounding moves points by 1e-4
        assert (held == signals.samples.occupied[row]).mean() > 0.995
        assert 0.05 < held.mean() < 0.12  # uniform points: the ball's share of the cube


def test_a_pool_has_all_points_of_its_file_but_those_held_out(network: Path):
    """A shape's pool has each of its file's points once, except its held-out points, on their declared side."""
    write_network(network / "02691156/m9", seed=0)
    samples = read_shape(str(network), "02691156/m9/points.npz", half=0.55)
    pool = present(samples.pools)[0]
    sides = pool.block(0)
    assert tuple(map(len, sides)) == pool.sizes
    assert pool.size == POINTS - HELD_OUT
    points, inside = ball(0)
    scaled = (points.astype(np.float32) / np.float32(0.55)).astype(np.float16)
    for side, held, is_inside in zip(
        sides, (samples.occupied[0], ~samples.occupied[0]), (inside, ~inside), strict=True
    ):
        used = np.concatenate([side, samples.held_out[0][held]])
        np.testing.assert_array_equal(np.sort(used, axis=0), np.sort(scaled[is_inside], axis=0))


def test_a_file_that_changes_after_it_was_read_is_refused(network: Path):
    """If a file has other points when a fit needs its pool, the error names it; so it does if the file is gone."""
    file = network / "02691156/m0/points.npz"
    pool = present(read_shape(str(network), "02691156/m0/points.npz", half=0.55).pools)[0]
    points, inside = ball(77)
    np.savez(file, points=points, occupancies=np.packbits(inside))
    with pytest.raises(BadSignals, match=r"m0/points.npz has changed .*restore"):
        pool.block(0)
    file.unlink()
    with pytest.raises(BadSignals, match=r"m0/points.npz"):
        pool.block(0)


def test_without_lists_the_split_is_the_studys(near: Path):
    """Without lists, every class is split 80 / 10 / 10.

    A different split seed gives a different split.
    """
    signals = load(near)
    counts: dict[Split, int] = {"train": 8, "val": 1, "test": 1}
    for part, count in counts.items():
        assert (np.bincount(present(signals.labels)[signals.split == SPLITS[part]]) == count).all()
    other = load_signals(SignalsConfig(name="occupancy", options={"path": str(near)}, split_seed=2))
    assert signals.card.content_hash != other.card.content_hash


def test_shapenet10_needs_its_ten_categories_and_ignores_others(near: Path):
    """The source `shapenet10` requires its ten categories and ignores other folders.

    Its classes have the names of the categories.
    """
    with pytest.raises(BadSignals, match=r"02828884 \(bench\), 02958343 \(car\)"):
        load(near, name="shapenet10")
    for number, synset in enumerate([*SHAPENET10, "09999999"]):
        for model in range(3):
            if not (near / synset / f"a{model}.npz").exists():
                write_near(near / synset / f"a{model}.npz", seed=1000 + 20 * number + model)
    signals = load(near, name="shapenet10")
    assert signals.card.class_names == tuple(SHAPENET10.values())
    assert len(signals) == 2 * 10 + 8 * 3


@pytest.mark.parametrize("half", [0, -1, "wide", True])
def test_an_invalid_cube_size_is_refused(near: Path, half: object):
    """The option `half` must be a number above 0."""
    with pytest.raises(BadConfig, match="'half'"):
        load(near, half=half)


def test_points_outside_the_cube_are_refused_with_the_option(near: Path):
    """If points lie outside the cube, the error states a value of `half` that includes all points."""
    with pytest.raises(BadSignals, match=r"a0.npz .*0\.5498.* 0\.5; .*half=0\.55"):
        load(near, half=0.5)
    assert len(load(near, half=0.55)) == 20


def _cut(path: Path) -> None:
    file = path / "02691156/m1/points.npz"
    file.write_bytes(file.read_bytes()[:-200])


def _bare(path: Path) -> None:
    np.savez(path / "02691156/m1/points.npz", points=ball(0)[0])


def _short(path: Path) -> None:
    np.savez(path / "02691156/m1/points.npz", points=ball(0)[0], occupancies=np.zeros(7, dtype=np.uint8))


def _hollow(path: Path) -> None:
    bits = np.zeros(-(-POINTS // 8), dtype=np.uint8)
    np.savez(path / "02691156/m1/points.npz", points=ball(0)[0], occupancies=bits)


def _few(path: Path) -> None:
    points, inside = ball(0)
    np.savez(path / "02691156/m1/points.npz", points=points[:800], occupancies=np.packbits(inside[:800]))


def _lost(path: Path) -> None:
    (path / "02691156/val.lst").write_text("m3\nm77\n")


def _twice(path: Path) -> None:
    (path / "02691156/val.lst").write_text("m3\nm0\n")


def _unlisted(path: Path) -> None:
    for part in SPLITS:
        (path / f"03001627/{part}.lst").unlink()


def _binary(path: Path) -> None:
    (path / "02691156/val.lst").write_bytes(b"\xff\xfe\x00m3")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (_cut, r"m1/points.npz .*npz .*\(.*\); .*export"),
        (_bare, r"m1/points.npz .*occupancies \(.*points\)"),
        (_short, r"m1/points.npz: .*\(10003, 3\) .*7 occupancies"),
        (_hollow, "m1/points.npz .*one side"),
        (_few, "800 .*8192"),
        (_lost, r"val.lst .*m77, .*points.npz \(1 "),
        (_twice, "m0/points.npz .*twice"),
        (_unlisted, "03001627 .*\\.lst .*train, val, test.lst"),
        (_binary, "val.lst .*UTF-8"),
    ],
)
def test_an_invalid_file_is_refused_by_name(network: Path, break_it: Callable[[Path], None], says: str):
    """An invalid file or list is rejected with a one-line error that names it."""
    break_it(network)
    with pytest.raises(BadSignals, match=says) as refused:
        load(network)
    assert "\n" not in str(refused.value)


def test_an_empty_folder_is_refused(tmp_path: Path):
    """A folder without shapes is rejected."""
    with pytest.raises(BadSignals, match="npz"):
        load(tmp_path)


def test_a_list_is_read_without_blank_lines(tmp_path: Path):
    """In a list of names, trailing newlines, blank lines and spaces around names are ignored."""
    (tmp_path / "a.lst").write_text("\nm1 \n\n  m2\n\n")
    assert read_list(str(tmp_path / "a.lst")) == ["m1", "m2"]
