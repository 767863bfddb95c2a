"""Tests of surfaces: they are closed, face outwards, follow the field's zero level and can be written to files."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, OptimizerConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.neural_dataset.mesh import surface, write_mesh
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import grid_coords


def ball(radius: float, *, extent: int = 40) -> np.ndarray:
    """Return the signed distance to a centered sphere, positive on the inside."""
    coords = grid_coords((extent,) * 3)
    return (radius - np.linalg.norm(coords, axis=1)).reshape((extent,) * 3)


@pytest.mark.parametrize("radius", [0.3, 0.7])
def test_the_surface_of_a_ball_is_a_sphere(radius: float):
    """The surface of a ball has the radius, area and volume of a sphere, and its faces point outwards.

    The radius agrees within 0.01, area and volume within 3 %.
    """
    mesh = surface(ball(radius))
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - radius).max() < 0.01
    assert mesh.is_watertight
    assert mesh.area == pytest.approx(4 * np.pi * radius**2, rel=0.03)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)


def test_a_shape_cut_by_the_end_of_the_grid_is_closed_there():
    """The surface of a ball that extends beyond the grid is closed at the grid's boundary."""
    mesh = surface(ball(1.2))
    assert mesh.is_watertight
    assert np.abs(mesh.vertices).max() < 1.06


def test_axes_are_kept():
    """The surface of an off-center block has the block's position on every axis."""
    coords = grid_coords((20, 20, 20))
    block = np.abs(coords - np.array([0.5, 0.2, -0.4])).max(axis=1)
    mesh = surface((0.25 - block).reshape(20, 20, 20))
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), [0.5, 0.2, -0.4], atol=0.03)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> NeuralDataset:
    """Return a neural dataset of three solids per category, fitted for a few steps."""
    config = SignalsConfig(name="shapes10", options={"per_class": 3})
    recipe = NeuralDatasetConfig(
        signals=config,
        field=complete(FieldConfig(name="mfn", params={"hidden": 8, "filters": 2})),
        init="shared",
        optimizer=OptimizerConfig(lr=1e-2),
        batch_points=256,
    )
    fit = FitConfig(dataset=recipe, rungs=(0, 25), engine="eager")
    root = str(tmp_path_factory.mktemp("shapes"))
    signals, field = load_signals(config), build(recipe.field, in_dim=3, out_dim=1)
    write_neural_dataset(fit, signals, root, field=field)
    return finish_neural_dataset(fit, signals, root, field=field)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_a_fitted_shape_is_written_and_read_back(fitted: NeuralDataset, tmp_path: Path, suffix: str):
    """A written surface, read back with trimesh, is closed and has the returned numbers of vertices and faces."""
    counts = write_mesh(fitted, tmp_path / f"a{suffix}", signal=0, steps=25, resolution=24)
    mesh = trimesh.load_mesh(tmp_path / f"a{suffix}")
    assert (len(mesh.vertices), len(mesh.faces)) == (counts["vertices"], counts["faces"])
    assert mesh.is_watertight
    assert np.abs(mesh.vertices).max() < 1.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a.stl", {}, r"\.ply or \.obj"),
        ("a.ply", {"resolution": 2}, "resolution 2 .*4 to 512"),
        ("a.ply", {"signal": 777}, "signal 777, view 0"),
    ],
)
def test_bad_arguments_are_refused(fitted: NeuralDataset, tmp_path: Path, name: str, change: dict, message: str):
    """The errors for unsupported formats, out-of-range resolutions and unknown signals state what is allowed."""
    with pytest.raises(BadConfig, match=message):
        write_mesh(fitted, tmp_path / name, **{"signal": 0, "steps": 25, **change})


def test_images_have_no_surface(desk, tmp_path: Path):
    """A neural dataset of images is rejected with an error that names its kind."""
    with pytest.raises(BadConfig, match=r"'image'; .*shapes"):
        write_mesh(desk.make(), tmp_path / "a.ply", signal=0, steps=3)
