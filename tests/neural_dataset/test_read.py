"""Tests of reading: intact files are read, and damaged files are rejected with errors that name them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.evaluation.reconstruction import cell_centers, off_grid_psnr, psnr
from nefstudy.fields.field import unflatten
from nefstudy.neural_dataset.read import (
    find_neural_dataset,
    list_neural_datasets,
    open_neural_dataset,
)
from nefstudy.neural_dataset.remove import remove_neural_dataset


def shard(desk, index: int, *, steps: int = 3) -> Path:
    return desk.folder / f"rung-{steps:08d}" / f"shard-{index:05d}.arrow"


def edit_manifest(desk, **changes: object) -> None:
    path = desk.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def assert_refused(desk, match: str) -> None:
    """Check that opening and verifying the neural dataset fails with a one-line error that names the file."""
    with pytest.raises(BadNeuralDataset, match=match) as caught:
        open_neural_dataset(str(desk.root), desk.digest).verify()
    assert "\n" not in str(caught.value)


def test_a_truncated_shard_is_refused(desk) -> None:
    """A truncated shard is detected when the neural dataset is opened."""
    desk.make()
    data = shard(desk, 2).read_bytes()
    shard(desk, 2).write_bytes(data[:-100])
    assert_refused(desk, rf"shard-00002\.arrow .*{len(data) - 100} .*{len(data)}")


def test_a_flipped_bit_is_refused(desk) -> None:
    """A flipped bit in the weights is detected when the shard is read, unless `verify=False`."""
    desk.make()
    data = bytearray(shard(desk, 2).read_bytes())
    data[len(data) // 2] ^= 1
    shard(desk, 2).write_bytes(data)
    assert_refused(desk, r"shard-00002\.arrow .*hash")
    with pytest.raises(BadNeuralDataset, match=r"shard-00002\.arrow"):
        open_neural_dataset(str(desk.root), desk.digest).rung(3)
    assert len(open_neural_dataset(str(desk.root), desk.digest, verify=False).rung(3).ids) == 92


def test_a_missing_shard_is_refused(desk) -> None:
    """A missing shard is detected when the neural dataset is opened."""
    desk.make()
    shard(desk, 7).unlink()
    assert_refused(desk, r"shard-00007\.arrow .*missing")


@pytest.mark.parametrize("verify", [True, False])
def test_swapped_shards_are_refused(desk, verify: bool) -> None:
    """Two swapped shards are rejected because of their hashes or metadata."""
    desk.make()
    one, other = shard(desk, 1).read_bytes(), shard(desk, 2).read_bytes()
    shard(desk, 1).write_bytes(other)
    shard(desk, 2).write_bytes(one)
    with pytest.raises(BadNeuralDataset, match=r"shard-00001\.arrow"):
        open_neural_dataset(str(desk.root), desk.digest, verify=verify).rung(3)


def test_a_newer_format_is_refused(desk) -> None:
    """The error for another major version of the format shows both versions."""
    desk.make()
    form = json.loads((desk.folder / "manifest.json").read_text())["format"]
    edit_manifest(desk, format=form | {"major": 2})
    assert_refused(desk, r"manifest\.json .*2\.0, .*1\.x")


def test_unknown_keys_of_the_manifest_are_ignored(desk) -> None:
    """Unknown keys in the manifest are ignored."""
    desk.make()
    before = open_neural_dataset(str(desk.root), desk.digest).manifest
    edit_manifest(desk, color="blue", notes={"a": [1, 2]})
    assert open_neural_dataset(str(desk.root), desk.digest).manifest == before


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "JSON"),
        (b"[1, 2]", "the manifest"),
        (b'{"format": {"name": "other", "major": 1}}', "the manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(desk, content: bytes, match: str) -> None:
    """A file `manifest.json` that is not a manifest is rejected with an error that names the file."""
    desk.make()
    (desk.folder / "manifest.json").write_bytes(content)
    assert_refused(desk, rf"manifest\.json .*{match}")


def test_an_edited_manifest_is_refused(desk) -> None:
    """A manifest with a changed value does not match its checksum and is rejected."""
    desk.make()
    edit_manifest(desk, rows=93)
    assert_refused(desk, r"manifest\.json .*checksum")


def test_a_neural_dataset_in_anothers_place_is_refused(desk) -> None:
    """A neural dataset stored in another digest's directory is rejected."""
    desk.make()
    moved = desk.folder.with_name("0" * 20)
    shutil.move(desk.folder, moved)
    with pytest.raises(BadNeuralDataset, match=f"{'0' * 20}.*{desk.digest}"):
        open_neural_dataset(str(desk.root), "0" * 20)


def test_what_is_not_there_is_refused_or_none(desk) -> None:
    """A search for an unknown digest returns None. Opening an unknown digest, rung or signal raises an error."""
    assert find_neural_dataset(str(desk.root), desk.digest) is None
    assert list_neural_datasets(str(desk.root)) == ()
    with pytest.raises(BadNeuralDataset, match=desk.digest):
        open_neural_dataset(str(desk.root), desk.digest)
    dataset = desk.make()
    with pytest.raises(BadNeuralDataset, match=r"rung 4; .*0, 3"):
        dataset.rung(4)
    with pytest.raises(BadConfig, match="signal 999999, view 0"):
        dataset.reconstruct(999999, steps=3)


def test_quality_columns_are_those_of_the_evaluation(desk) -> None:
    """The PSNR and off-grid PSNR columns equal those that `evaluation` computes from the reconstructions."""
    dataset = desk.make()
    rung = dataset.rung(3)
    images = desk.signals.originals(np.arange(46)).reshape(46, 8, 8, 1)
    again = np.stack([dataset.reconstruct(int(i), steps=3) for i in desk.signals.ids])
    np.testing.assert_allclose(rung.quality["psnr"][:46], psnr(again, images), rtol=1e-5)
    assert dataset.quality(3).keys() == {*rung.quality, "diverged_at", "constant"}
    assert np.array_equal(dataset.quality(3)["ssim"], rung.quality["ssim"])
    params = unflatten(desk.field, rung.parameters[:46])
    outputs = desk.field.forward(params, torch.from_numpy(cell_centers((8, 8)))).numpy()
    between = outputs * desk.signals.card.std[0] + desk.signals.card.mean[0]
    np.testing.assert_allclose(rung.quality["off_grid_psnr"][:46], off_grid_psnr(between, images), rtol=1e-5)


def test_reconstruction_follows_signal_view_and_grid(desk) -> None:
    """Reconstructions lie in [0, 1], differ by signal and by view, and agree on points that a finer grid shares."""
    dataset = desk.make(rungs=(0, 20))
    one, other = (int(i) for i in desk.signals.ids[:2])
    image = dataset.reconstruct(one, steps=20)
    assert image.shape == (8, 8, 1)
    assert 0 <= image.min() < image.max() <= 1
    assert not np.array_equal(image, dataset.reconstruct(other, steps=20))
    assert not np.array_equal(image, dataset.reconstruct(one, steps=20, view=1))
    fine = dataset.reconstruct(one, steps=20, grid=(15, 8))
    np.testing.assert_allclose(fine[::2], image, atol=1e-5)


def test_listing_shows_the_finished_ones(desk) -> None:
    """Only finished neural datasets are listed. Removing a neural dataset deletes its directory."""
    desk.write()
    assert list_neural_datasets(str(desk.root)) == ()
    desk.finish()
    assert [manifest.digest for manifest in list_neural_datasets(str(desk.root))] == [desk.digest]
    remove_neural_dataset(str(desk.root), desk.digest, check=lambda: None)
    assert list_neural_datasets(str(desk.root)) == ()
    assert not desk.folder.exists()


def test_a_uri_is_the_same_root(desk) -> None:
    """A `file://` URI and a path refer to the same files."""
    desk.make()
    uri = desk.root.as_uri()
    assert torch.equal(
        open_neural_dataset(uri, desk.digest).rung(3).parameters,
        open_neural_dataset(str(desk.root), desk.digest).rung(3).parameters,
    )
    assert [m.digest for m in list_neural_datasets(uri)] == [desk.digest]
