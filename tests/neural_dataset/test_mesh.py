"""Laws of surfaces: where the field says, closed, facing outwards, and the same after writing."""

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
from nefstudy.signals.signal import grid_coordinates


def ball(radius: float, *, extent: int = 40) -> np.ndarray:
    """Signed distance to a sphere about the middle, above 0 inside."""
    points = grid_coordinates((extent,) * 3)
    return (radius - np.linalg.norm(points, axis=1)).reshape((extent,) * 3)


@pytest.mark.parametrize("radius", [0.3, 0.7])
def test_the_surface_of_a_ball_is_a_sphere(radius: float):
    """Vertices lie at the radius within half a cell; area and volume are the sphere's within 3 %, facing outwards."""
    mesh = surface(ball(radius))
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - radius).max() < 0.01
    assert mesh.is_watertight
    assert mesh.area == pytest.approx(4 * np.pi * radius**2, rel=0.03)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)


def test_a_shape_cut_by_the_end_of_the_grid_is_closed_there():
    """A ball larger than the cube still has a closed surface, which stays near [-1, 1]."""
    mesh = surface(ball(1.2))
    assert mesh.is_watertight
    assert np.abs(mesh.vertices).max() < 1.06


def test_axes_stay_in_their_places():
    """A block to the right, behind and above comes out there."""
    points = grid_coordinates((20, 20, 20))
    block = np.abs(points - np.array([0.5, 0.2, -0.4])).max(axis=1)
    mesh = surface((0.25 - block).reshape(20, 20, 20))
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), [0.5, 0.2, -0.4], atol=0.03)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> NeuralDataset:
    """Three solids of each category, fitted for a few steps."""
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
    """The file holds the counted vertices and faces, and trimesh reads a closed surface within the cube."""
    said = write_mesh(fitted, tmp_path / f"a{suffix}", signal=0, steps=25, resolution=24)
    mesh = trimesh.load_mesh(tmp_path / f"a{suffix}")
    assert (len(mesh.vertices), len(mesh.faces)) == (said["vertices"], said["faces"])
    assert mesh.is_watertight
    assert np.abs(mesh.vertices).max() < 1.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("a.stl", {}, "must be .ply or .obj"),
        ("a.ply", {"resolution": 2}, "resolution 2 is not among 4 to 512"),
        ("a.ply", {"signal": 777}, "signal 777, view 0: not in"),
    ],
)
def test_what_has_no_surface_is_refused(fitted: NeuralDataset, tmp_path: Path, name: str, change: dict, says: str):
    """Other formats, senseless resolutions and unknown signals are told what is allowed."""
    with pytest.raises(BadConfig, match=says):
        write_mesh(fitted, tmp_path / name, **{"signal": 0, "steps": 25, **change})


def test_images_have_no_surface(desk, tmp_path: Path):
    """A neural dataset of images is refused by its kind."""
    with pytest.raises(BadConfig, match="holds signals of kind 'image'; only shapes have surfaces"):
        write_mesh(desk.make(), tmp_path / "a.ply", signal=0, steps=3)
