"""Tests of importing published neural datasets: rows stay bit-identical and in order; bad files are rejected."""

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
from nefstudy.neural_dataset.hdf5 import import_hdf5
from nefstudy.neural_dataset.origin import Origin
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.tasks.standalone import classify_datasets

ORIGIN = Origin(
    name="published",
    field=FieldConfig(name="siren", params={"hidden": 8, "layers": 3, "omega_0": 30.0}),
    grid=(28, 28),
    channels=1,
    init="shared",
    steps=500,
)
SHAPES = [(8,), (2, 8), (8,), (8, 8), (1,), (8, 1)]
LAYERS = ("kernel_net_0.linear", "kernel_net_1.linear", "output_linear")
NAMES = [f"{layer}.{part}" for layer in LAYERS for part in ("bias", "kernel")]
DATA = Path(__file__).parent / "data"
MEAN, STD = 0.1321967, 0.3094860
REAL = replace(ORIGIN, field=FieldConfig(name="siren", params={"hidden": 32, "layers": 3, "omega_0": 9.0}), steps=75)
WIDTH = sum(int(np.prod(shape)) for shape in SHAPES)
ROWS = (17, 13, 10)


def rows_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and their labels; the first numbers of a row depend on its label."""
    rng = np.random.default_rng(count)
    labels = np.arange(count) % 4
    rows = rng.normal(size=(count, WIDTH)).astype(np.float32)
    rows[:, :8] += 4 * labels[:, None]
    return rows, labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three files of 17, 13 and 10 rows in the published layout."""
    rows, labels = rows_of(sum(ROWS))
    path = tmp_path / "nefs"
    path.mkdir()
    first = 0
    for count in ROWS:
        write(path / f"nefs_{first}-{first + count}.hdf5", rows[first : first + count], labels[first : first + count])
        first += count
    return path


def write(path: Path, rows: np.ndarray, labels: np.ndarray, *, names=NAMES, shapes=SHAPES) -> None:
    """Write an HDF5 file with the calls that fit-a-nef makes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("params", data=rows)
        config = file.create_dataset("param_config", (1,), dtype=h5py.special_dtype(vlen=str))
        config[0] = json.dumps(list(zip(names, map(list, shapes), strict=True)))
        file.create_dataset("labels", data=labels)


def bring(folder: Path, **changes):
    return import_hdf5(folder, str(folder.parent / "root"), origin=replace(ORIGIN, **changes))


def test_the_fixture_equals_a_real_file_to_the_byte(tmp_path: Path):
    """Writing the rows, labels and names of a real fit-a-nef file again gives a byte-identical file."""
    with h5py.File(DATA / "nefs_0-8.hdf5") as real:
        names, shapes = zip(*json.loads(real["param_config"][0]), strict=True)
        write(tmp_path / "again.hdf5", real["params"][()], real["labels"][()], names=names, shapes=shapes)
    assert (tmp_path / "again.hdf5").read_bytes() == (DATA / "nefs_0-8.hdf5").read_bytes()


def test_a_real_file_reconstructs_the_pictures_of_its_writer(tmp_path: Path):
    """With the original mean and standard deviation, each reconstruction equals the output of fit-a-nef's model."""
    dataset = import_hdf5(DATA, str(tmp_path), origin=replace(REAL, mean=(MEAN,), std=(STD,)))
    expected = np.clip(np.load(DATA / "standardized_outputs.npy") * STD + MEAN, 0, 1)
    pictures = np.stack([dataset.reconstruct(signal, steps=75)[..., 0] for signal in range(8)])
    np.testing.assert_allclose(pictures, expected, atol=1e-5)
    assert dataset.manifest.fingerprint["values"] == "outputs * std + mean, as given"


def test_missing_constants_are_stated(tmp_path: Path):
    """Without mean and std, the manifest records that outputs are values on [0, 1]. The digest stays the same."""
    plain = import_hdf5(DATA, str(tmp_path / "a"), origin=REAL)
    scaled = import_hdf5(DATA, str(tmp_path / "b"), origin=replace(REAL, mean=(MEAN,), std=(STD,)))
    assert plain.digest == scaled.digest
    assert plain.manifest.fingerprint["values"] == "outputs are taken as values on [0, 1]"
    assert (plain.manifest.card.mean, plain.manifest.card.std) == ((0.0,), (1.0,))
    assert np.abs(plain.reconstruct(2, steps=75) - scaled.reconstruct(2, steps=75)).max() > 0.1


PUBLISHED = {
    "siren": (FieldConfig(name="siren", params={"hidden": 6, "layers": 3}), NAMES),
    "rffnet": (
        FieldConfig(name="rffnet", params={"hidden": 6, "layers": 3}),
        [
            "encoding.coefficients.kernel",
            *(f"{w}.{p}" for w in ("layers_0.linear", "layers_1.linear", "linear_final") for p in ("bias", "kernel")),
        ],
    ),
    "mfn": (
        FieldConfig(name="mfn", params={"hidden": 6, "filters": 3}),
        [
            *(f"filters_{i}.linear.{part}" for i in range(3) for part in ("bias", "kernel")),
            *(f"{w}.{p}" for w in ("linears_0", "linears_1", "output_linear") for p in ("bias", "kernel")),
        ],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_columns_first_transposes_the_pictures(tmp_path: Path, name: str):
    """Importing with `first_axis="column"` instead of "row" transposes the pictures of each published field."""
    config, names = PUBLISHED[name]
    field = build(config, in_dim=2, out_dim=1)
    shapes = [parameter.shape for parameter in field.layout]
    rows = np.random.default_rng(0).normal(0, 0.3, (12, sum(int(np.prod(s)) for s in shapes))).astype(np.float32)
    (tmp_path / "nefs").mkdir()
    write(tmp_path / "nefs/nefs_0-12.hdf5", rows, np.arange(12) % 3, names=names, shapes=shapes)
    origin = replace(ORIGIN, field=config, grid=(5, 5), mean=(0.5,), std=(0.1,))
    plain, transposed = (
        import_hdf5(tmp_path / "nefs", str(tmp_path), origin=replace(origin, first_axis=axis))
        for axis in ("row", "column")
    )
    assert plain.digest != transposed.digest
    picture = plain.reconstruct(0, steps=500)
    np.testing.assert_allclose(transposed.reconstruct(0, steps=500), picture.transpose(1, 0, 2), atol=1e-6)
    assert np.abs(picture - picture.transpose(1, 0, 2)).max() > 1e-3


def test_layers_out_of_order_are_refused(tmp_path: Path):
    """If layer 10 comes before layer 2, as in alphabetical order, the import is rejected even if all shapes match."""
    field = build(FieldConfig(name="siren", params={"hidden": 4, "layers": 12}), in_dim=2, out_dim=1)
    shapes = [parameter.shape for parameter in field.layout]
    order = sorted(range(11), key=str)
    names = [f"kernel_net_{layer}.linear.{part}" for layer in order for part in ("bias", "kernel")]
    names += ["output_linear.bias", "output_linear.kernel"]
    rows = np.zeros((12, sum(int(np.prod(s)) for s in shapes)), dtype=np.float32)
    write(tmp_path / "nefs_0-12.hdf5", rows, np.arange(12) % 3, names=names, shapes=shapes)
    deep = FieldConfig(name="siren", params={"hidden": 4, "layers": 12})
    with pytest.raises(BadNeuralDataset, match=r"kernel_net_2\.linear\.bias .*kernel_net_10"):
        import_hdf5(tmp_path, str(tmp_path / "root"), origin=replace(ORIGIN, field=deep))


@pytest.mark.parametrize("kind", ["scalar", "bytes", "attribute"])
def test_other_ways_to_store_the_layout_are_read(folder: Path, kind: str):
    """A layout stored as a scalar string, as fixed-length bytes or as an attribute can be read."""
    for path in folder.glob("*.hdf5"):
        with h5py.File(path, "a") as file:
            text = file["param_config"][0]
            del file["param_config"]
            if kind == "attribute":
                file.attrs["param_config"] = text
            else:
                file["param_config"] = text.decode() if kind == "scalar" else np.array([text])
    assert bring(folder).manifest.rows == 40


def test_every_row_comes_back_bit_for_bit_in_order(folder: Path):
    """Imported rows, labels and ids are bit-identical and in order, even across shards and files."""
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


def test_an_imported_row_represents_the_published_function(folder: Path):
    """For a published row, the field computes sin(omega (x W + b)) layer by layer, then a linear last layer."""
    dataset = bring(folder)
    row = dataset.rung(500).parameters[3:4]
    pieces = [
        piece.reshape(shape)
        for piece, shape in zip(
            np.split(row[0].numpy(), np.cumsum([np.prod(s) for s in SHAPES])[:-1]), SHAPES, strict=True
        )
    ]
    coords = np.random.default_rng(0).uniform(-1, 1, (9, 2)).astype(np.float32)
    hidden = np.sin(30 * (coords @ pieces[1] + pieces[0]))
    hidden = np.sin(30 * (hidden @ pieces[3] + pieces[2]))
    expected = hidden @ pieces[5] + pieces[4]
    outputs = dataset.field.forward(unflatten(dataset.field, row), torch.from_numpy(coords))[0]
    np.testing.assert_allclose(outputs.numpy(), expected, atol=2e-2)  # sines of large arguments in float32


def test_counts_split_in_order_and_else_by_class(folder: Path):
    """If counts are given, they split the rows in order; otherwise, every part of the split contains every class."""
    split = bring(folder, counts=(30, 4, 6)).rung(500).split.numpy()
    np.testing.assert_array_equal(split, np.repeat([0, 1, 2], [30, 4, 6]))
    rung = bring(folder).rung(500)
    for code in range(3):
        assert set(rung.labels[rung.split == code].tolist()) == {0, 1, 2, 3}


def test_rows_that_are_not_finite_are_diverged(folder: Path):
    """A NaN in a published row marks only that row's field as diverged."""
    rows, labels = rows_of(sum(ROWS))
    rows[20, 5] = np.nan
    write(folder / "nefs_17-30.hdf5", rows[17:30], labels[17:30])
    rung = bring(folder).rung(500)
    assert torch.nonzero(rung.diverged).flatten().tolist() == [20]
    assert set(rung.constant.tolist()) == {-1}, "without the signals nothing is measured"


def test_other_files_are_another_neural_dataset(folder: Path):
    """The digest depends on the files' content. Importing the same files twice yields the same digest."""
    first = bring(folder).digest
    assert bring(folder).digest == first
    rows, labels = rows_of(sum(ROWS))
    rows[0, 0] += 1
    write(folder / "nefs_0-17.hdf5", rows[:17], labels[:17])
    assert bring(folder).digest != first


@pytest.mark.slow
def test_a_classifier_reads_imported_weights(tmp_path: Path):
    """A flat classifier, run without a study, learns to separate the classes of imported rows."""
    (tmp_path / "many").mkdir()
    write(tmp_path / "many/nefs_0-400.hdf5", *rows_of(400))
    dataset = bring(tmp_path / "many")
    config = ClassifierConfig(name="mlp", epochs=15, batch_size=16)
    result = classify_datasets(str(tmp_path / "root"), [dataset.digest], steps=None, classifier=config)
    assert result["datasets"][0]["steps"] == 500
    assert result["train_accuracy"] > 0.8


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
    ("break_it", "message"),
    [
        (_cut, "nefs_17-30.hdf5 .*HDF5"),
        (_gap, "nefs_30-40.hdf5 .*row 17"),
        (_renamed, "10 rows, .*60"),
        (_bare, " labels"),
        (_garbled, "param_config .*JSON"),
    ],
)
def test_a_bad_file_is_named(folder: Path, break_it: Callable[[Path], None], message: str):
    """A truncated, missing, misnamed or incomplete file raises a one-line error and writes no manifest."""
    break_it(folder)
    with pytest.raises(BadNeuralDataset, match=message):
        bring(folder)
    assert not list((folder.parent).rglob("manifest.json"))


def test_rows_of_another_field_name_the_first_difference(folder: Path):
    """An error about a wrong field names the first parameter that differs; one about wrong counts shows both totals."""
    wide = FieldConfig(name="siren", params={"hidden": 16})
    with pytest.raises(BadNeuralDataset, match=r"parameter 0 .*kernel_net_0\.linear\.bias \(8,\), .*\(16,\)"):
        bring(folder, field=wide)
    deep = FieldConfig(name="siren", params={"hidden": 8, "layers": 4})
    with pytest.raises(BadNeuralDataset, match="parameter 4 "):
        bring(folder, field=deep)
    with pytest.raises(BadConfig, match=r"41 rows, .*40"):
        bring(folder, counts=(30, 5, 6))


def test_the_fixture_is_the_fields_layout():
    """The shapes in these tests equal those of the imported field, SIREN 2-8-8-1."""
    field = build(ORIGIN.field, in_dim=2, out_dim=1)
    assert [parameter.shape for parameter in field.layout] == SHAPES
