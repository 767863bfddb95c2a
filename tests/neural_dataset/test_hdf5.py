"""Laws of importing published neural datasets: bit for bit, in order, and refused where they do not fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from nefstudy.config import ClassifierConfig, FieldConfig
from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.fields.catalog import build
from nefstudy.fields.field import unflatten
from nefstudy.neural_dataset.hdf5 import Origin, import_hdf5
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.trial.reading import read_weights

ORIGIN = Origin(
    name="published",
    field=FieldConfig(name="siren", params={"hidden": 8, "layers": 3, "omega_0": 30.0}),
    grid=(28, 28),
    channels=1,
    start="shared",
    steps=500,
)
SHAPES = [(8,), (2, 8), (8,), (8, 8), (1,), (8, 1)]
NAMES = [f"layers_{place // 2}.{'kernel' if place % 2 else 'bias'}" for place in range(6)]
WIDTH = sum(int(np.prod(shape)) for shape in SHAPES)
ROWS = (17, 13, 10)


def rows_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose first numbers tell their label, and the labels."""
    rng = np.random.default_rng(count)
    labels = np.arange(count) % 4
    rows = rng.normal(size=(count, WIDTH)).astype(np.float32)
    rows[:, :8] += 4 * labels[:, None]
    return rows, labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of 17, 13 and 10 rows in the published layout."""
    rows, labels = rows_of(sum(ROWS))
    path = tmp_path / "nefs"
    path.mkdir()
    first = 0
    for count in ROWS:
        write(path / f"nefs_{first}-{first + count}.hdf5", rows[first : first + count], labels[first : first + count])
        first += count
    return path


def write(path: Path, rows: np.ndarray, labels: np.ndarray, *, shapes=SHAPES) -> None:
    with h5py.File(path, "w") as file:
        file["params"] = rows
        file["labels"] = labels
        file["param_config"] = json.dumps(list(zip(NAMES, map(list, shapes), strict=True)))


def bring(folder: Path, **changes: object):
    return import_hdf5(folder, str(folder.parent / "root"), origin=replace(ORIGIN, **changes))


def test_every_row_comes_back_bit_for_bit_in_order(folder: Path):
    """Rows of all files, labels and ids are those written, across shard and file bounds; the shards verify."""
    dataset = bring(folder)
    again = open_neural_dataset(str(folder.parent / "root"), dataset.digest)
    again.verify()
    rung = again.rung(500)
    rows, labels = rows_of(sum(ROWS))
    np.testing.assert_array_equal(rung.parameters.numpy(), rows)
    np.testing.assert_array_equal(rung.labels.numpy(), labels)
    np.testing.assert_array_equal(rung.ids.numpy(), np.arange(40))
    assert np.isnan(rung.quality["psnr"]).all()
    assert again.manifest.fingerprint["engine"] == "imported"


def test_a_row_means_the_function_its_publisher_meant(folder: Path):
    """The imported field is sin(omega (x W + b)) layer by layer, last layer linear, on the row as published."""
    dataset = bring(folder)
    row = dataset.rung(500).parameters[3:4]
    pieces = [
        piece.reshape(shape)
        for piece, shape in zip(
            np.split(row[0].numpy(), np.cumsum([np.prod(s) for s in SHAPES])[:-1]), SHAPES, strict=True
        )
    ]
    points = np.random.default_rng(0).uniform(-1, 1, (9, 2)).astype(np.float32)
    hidden = np.sin(30 * (points @ pieces[1] + pieces[0]))
    hidden = np.sin(30 * (hidden @ pieces[3] + pieces[2]))
    wanted = hidden @ pieces[5] + pieces[4]
    found = dataset.field.forward(unflatten(dataset.field, row), torch.from_numpy(points))[0]
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-2)  # sines of large arguments in float32


def test_counts_split_in_order_and_else_by_class(folder: Path):
    """Three counts divide the rows as they come; without them every class is in every part."""
    split = bring(folder, counts=(30, 4, 6)).rung(500).split.numpy()
    np.testing.assert_array_equal(split, np.repeat([0, 1, 2], [30, 4, 6]))
    rung = bring(folder).rung(500)
    for code in range(3):
        assert set(rung.labels[rung.split == code].tolist()) == {0, 1, 2, 3}


def test_rows_that_are_not_finite_are_diverged(folder: Path):
    """A NaN in a published row marks that field alone."""
    rows, labels = rows_of(sum(ROWS))
    rows[20, 5] = np.nan
    write(folder / "nefs_17-30.hdf5", rows[17:30], labels[17:30])
    rung = bring(folder).rung(500)
    assert torch.nonzero(rung.diverged).flatten().tolist() == [20]


def test_other_files_are_another_neural_dataset(folder: Path):
    """The digest follows the files' content; importing the same twice gives the same."""
    first = bring(folder).digest
    assert bring(folder).digest == first
    rows, labels = rows_of(sum(ROWS))
    rows[0, 0] += 1
    write(folder / "nefs_0-17.hdf5", rows[:17], labels[:17])
    assert bring(folder).digest != first


@pytest.mark.slow
def test_a_classifier_reads_imported_weights(tmp_path: Path):
    """Rows that differ by class are told apart by the flat classifier, outside any study."""
    (tmp_path / "many").mkdir()
    write(tmp_path / "many/nefs_0-400.hdf5", *rows_of(400))
    dataset = bring(tmp_path / "many")
    config = ClassifierConfig(name="mlp", epochs=15, batch_size=16)
    found = read_weights(str(tmp_path / "root"), dataset.digest, steps=None, classifier=config)
    assert found["steps"] == 500
    assert found["train_accuracy"] > 0.8


def _cut(folder: Path) -> None:
    file = folder / "nefs_17-30.hdf5"
    file.write_bytes(file.read_bytes()[:600])


def _gap(folder: Path) -> None:
    (folder / "nefs_17-30.hdf5").unlink()


def _renamed(folder: Path) -> None:
    (folder / "nefs_30-40.hdf5").rename(folder / "nefs_30-90.hdf5")


def _bare(folder: Path) -> None:
    with h5py.File(folder / "nefs_17-30.hdf5", "a") as file:
        del file["labels"]


def _garbled(folder: Path) -> None:
    with h5py.File(folder / "nefs_17-30.hdf5", "a") as file:
        del file["param_config"]
        file["param_config"] = "bias, kernel"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (_cut, "nefs_17-30.hdf5 is no whole HDF5 file"),
        (_gap, "nefs_30-40.hdf5 follows row 17, so a file is missing"),
        (_renamed, "has 10 rows, its name says 60"),
        (_bare, "lacks labels"),
        (_garbled, "param_config is not JSON"),
    ],
)
def test_a_bad_file_is_named(folder: Path, break_it: Callable[[Path], None], says: str):
    """A cut, missing, misnamed or incomplete file ends in one line, and no manifest is written."""
    break_it(folder)
    with pytest.raises(BadNeuralDataset, match=says):
        bring(folder)
    assert not list((folder.parent).rglob("manifest.json"))


def test_rows_of_another_field_name_the_first_difference(folder: Path):
    """Another width is refused with both shapes; a split of other counts with both sums."""
    wide = FieldConfig(name="siren", params={"hidden": 16})
    with pytest.raises(BadNeuralDataset, match=r"parameter 0 is layers_0.bias \(8,\), the field's \S+ \(16,\)"):
        bring(folder, field=wide)
    deep = FieldConfig(name="siren", params={"hidden": 8, "layers": 4})
    with pytest.raises(BadNeuralDataset, match="parameter 4 is"):
        bring(folder, field=deep)
    with pytest.raises(BadConfig, match=r"is of 41 rows, the files hold 40"):
        bring(folder, counts=(30, 5, 6))


def test_the_fixture_is_the_fields_layout():
    """The shapes above are those of SIREN 2-8-8-1, so that the tests test what they say."""
    field = build(ORIGIN.field, in_dim=2, out_dim=1)
    assert [parameter.shape for parameter in field.layout] == SHAPES
