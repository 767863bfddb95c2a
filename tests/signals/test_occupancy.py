"""Laws of the readers of occupancy files: the exact layouts of both publications, bit for bit, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.occupancy import SHAPENET10, decode_near, decode_points, read_list
from nefstudy.signals.shape_set import FITTED, HELD_OUT
from nefstudy.signals.signal import SPLITS

POINTS = 10_003  # not a multiple of eight: the last packed byte is partly filled


def ball(seed: int, *, radius: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Half-precision points in [-0.55, 0.55]^3 and which of them a ball holds."""
    points = np.random.default_rng(seed).uniform(-0.55, 0.55, (POINTS, 3)).astype(np.float16)
    return points, np.linalg.norm(points.astype(np.float32), axis=1) < radius


def write_network(folder: Path, *, seed: int) -> None:
    """One model in the layout of Occupancy Networks."""
    folder.mkdir(parents=True)
    points, inside = ball(seed)
    extra = {"loc": np.zeros(3, dtype=np.float32), "scale": np.float32(1)}
    np.savez(folder / "points.npz", points=points, occupancies=np.packbits(inside), **extra)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two classes of five models, listed as 3 / 1 / 1, with blank lines as some published lists have."""
    for number, name in enumerate(("02691156", "03001627")):
        for model in range(5):
            write_network(tmp_path / name / f"m{model}", seed=10 * number + model)
        for part, models in {"train": "m0\nm1\n\nm2\n", "val": "m3\n\n", "test": "m4"}.items():
            (tmp_path / name / f"{part}.lst").write_text(models)
    return tmp_path


def write_near(path: Path, *, seed: int) -> dict[str, np.ndarray]:
    """One model in the layout of fit-a-nef."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for number, kind in enumerate(("random_points", "near_surf_points")):
        points, inside = ball(100 * seed + number)
        arrays |= {kind: points.astype(np.float32), f"{kind}_occupancy": inside}
    np.savez(path, **arrays)
    return arrays


@pytest.fixture
def near(tmp_path: Path) -> Path:
    """Two classes of ten models without lists."""
    for number, name in enumerate(("02691156", "03001627")):
        for model in range(10):
            write_near(tmp_path / name / f"a{model}.npz", seed=20 * number + model)
    return tmp_path


def load(path: Path, *, name: str = "occupancy", **options: object):
    return load_signals(SignalsConfig(name=name, options={"path": str(path), **options}))


def test_packed_bits_come_back_bit_for_bit(network: Path):
    """Points and occupancies of an Occupancy Networks file are those that were written, the last odd ones too."""
    cloud = decode_points(str(network / "03001627/m2/points.npz"))
    points, inside = ball(12)
    np.testing.assert_array_equal(cloud.points, points)
    np.testing.assert_array_equal(cloud.inside, inside)
    assert cloud.even == POINTS


def test_random_points_come_before_those_near_the_surface(tmp_path: Path):
    """Points and occupancies of a fit-a-nef file are those that were written; only random ones may be held out."""
    arrays = write_near(tmp_path / "a.npz", seed=3)
    cloud = decode_near(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(cloud.points[:POINTS], arrays["random_points"])
    np.testing.assert_array_equal(cloud.points[POINTS:], arrays["near_surf_points"])
    np.testing.assert_array_equal(cloud.inside[POINTS:], arrays["near_surf_points_occupancy"])
    assert cloud.even == POINTS


def test_lists_say_the_split(network: Path):
    """Each class is split as its lists say, blank lines aside."""
    signals = load(network)
    assert signals.card.class_names == ("02691156", "03001627")
    for part, count in {"train": 3, "val": 1, "test": 1}.items():
        assert (np.bincount(signals.labels[signals.split == SPLITS[part]]) == count).all()


def test_points_keep_their_side_on_the_cube_scaled_to_one(network: Path):
    """Fitted and held-out points, scaled back, are points of the file with the occupancy it gives them."""
    signals = load(network)
    assert signals.samples.fitted.shape == (10, FITTED, 3)
    assert signals.samples.held_out.shape == (10, HELD_OUT, 3)
    for place in (0, 9):
        fitted, held = (
            np.linalg.norm(points[place].astype(np.float32) * 0.55, axis=1) < 0.3
            for points in (signals.samples.fitted, signals.samples.held_out)
        )
        assert (fitted == (signals.values[place, :, 0] > 0)).mean() > 0.995  # rounding moves points by 1e-4
        assert (held == signals.samples.occupied[place]).mean() > 0.995
        assert 0.05 < held.mean() < 0.12  # evenly spread: the ball's share of the cube


def test_without_lists_the_split_is_the_studys(near: Path):
    """fit-a-nef files are split 80 / 10 / 10, every class alike; another seed splits otherwise."""
    signals = load(near)
    for part, count in {"train": 8, "val": 1, "test": 1}.items():
        assert (np.bincount(signals.labels[signals.split == SPLITS[part]]) == count).all()
    other = load_signals(SignalsConfig(name="occupancy", options={"path": str(near)}, split_seed=2))
    assert signals.card.content_hash != other.card.content_hash


def test_shapenet10_needs_its_ten_categories_and_takes_no_other(near: Path):
    """The study's set names its categories, refuses to start without one, and passes others by."""
    with pytest.raises(BadSignals, match=r"lacks 02828884 \(bench\), 02958343 \(car\)"):
        load(near, name="shapenet10")
    for number, synset in enumerate([*SHAPENET10, "09999999"]):
        for model in range(3):
            if not (near / synset / f"a{model}.npz").exists():
                write_near(near / synset / f"a{model}.npz", seed=1000 + 20 * number + model)
    signals = load(near, name="shapenet10")
    assert signals.card.class_names == tuple(SHAPENET10.values())
    assert len(signals) == 2 * 10 + 8 * 3


@pytest.mark.parametrize("half", [0, -1, "wide", True])
def test_a_cube_without_size_is_refused(near: Path, half: object):
    """Half the side must be a number above 0."""
    with pytest.raises(BadConfig, match="option 'half'"):
        load(near, half=half)


def test_points_outside_the_cube_name_the_option(near: Path):
    """A set in another cube is told which half side would hold it."""
    with pytest.raises(BadSignals, match=r"a0.npz has points 0\.5498.* beyond 0\.5; give option half=0\.55"):
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
        (_cut, r"m1/points.npz cannot be read as npz .*\(.*\); export the shape again"),
        (_bare, r"m1/points.npz lacks occupancies \(it holds points\)"),
        (_short, r"m1/points.npz: points of shape \(10003, 3\) for 7 occupancies"),
        (_hollow, "one side of the surface only"),
        (_few, "800 evenly spread points; at least 8192"),
        (_lost, r"val.lst names m77, which has no points.npz \(1 such\)"),
        (_twice, "m0/points.npz is listed twice"),
        (_unlisted, "03001627 has no .lst files as other classes do"),
        (_binary, "val.lst is no text"),
    ],
)
def test_a_bad_file_is_named_with_its_fix(network: Path, break_it: Callable[[Path], None], says: str):
    """Each broken file or list ends in one line that names it, before any fitting."""
    break_it(network)
    with pytest.raises(BadSignals, match=says) as refused:
        load(network)
    assert "\n" not in str(refused.value)


def test_an_empty_folder_is_refused(tmp_path: Path):
    """A folder without shapes is said to lack them."""
    with pytest.raises(BadSignals, match="lacks folders of npz files"):
        load(tmp_path)


def test_a_list_is_read_without_blank_lines(tmp_path: Path):
    """Trailing newlines, blank lines and spaces around names are left out."""
    (tmp_path / "a.lst").write_text("\nm1 \n\n  m2\n\n")
    assert read_list(str(tmp_path / "a.lst")) == ["m1", "m2"]
