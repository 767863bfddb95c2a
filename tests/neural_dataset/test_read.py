"""Laws of reading: what verifies is right, what does not is refused by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nefstudy.errors import BadConfig, BadNeuralDataset
from nefstudy.evaluation.reconstruction import cell_centres, off_grid_psnr, psnr
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


def refused(desk, match: str) -> None:
    """Opening and verifying fails with one line that names the file."""
    with pytest.raises(BadNeuralDataset, match=match) as caught:
        open_neural_dataset(str(desk.root), desk.digest).verify()
    assert "\n" not in str(caught.value)


def test_a_truncated_shard_is_refused(desk) -> None:
    """A shard cut short is refused when the neural dataset is opened."""
    desk.make()
    data = shard(desk, 2).read_bytes()
    shard(desk, 2).write_bytes(data[:-100])
    refused(desk, rf"shard-00002\.arrow has {len(data) - 100} bytes instead of {len(data)}")


def test_a_flipped_bit_is_refused(desk) -> None:
    """One flipped bit among the weights is refused when the shard is read; unverified, it is not noticed."""
    desk.make()
    data = bytearray(shard(desk, 2).read_bytes())
    data[len(data) // 2] ^= 1
    shard(desk, 2).write_bytes(data)
    refused(desk, r"shard-00002\.arrow does not match its hash")
    with pytest.raises(BadNeuralDataset, match=r"shard-00002\.arrow"):
        open_neural_dataset(str(desk.root), desk.digest).rung(3)
    assert len(open_neural_dataset(str(desk.root), desk.digest, verify=False).rung(3).ids) == 92


def test_a_missing_shard_is_refused(desk) -> None:
    """A shard that is gone is refused when the neural dataset is opened."""
    desk.make()
    shard(desk, 7).unlink()
    refused(desk, r"shard-00007\.arrow is missing")


@pytest.mark.parametrize("verify", [True, False])
def test_swapped_shards_are_refused(desk, verify: bool) -> None:
    """Two shards in each other's place are refused, by hash or by what they say of themselves."""
    desk.make()
    one, other = shard(desk, 1).read_bytes(), shard(desk, 2).read_bytes()
    shard(desk, 1).write_bytes(other)
    shard(desk, 2).write_bytes(one)
    with pytest.raises(BadNeuralDataset, match=r"shard-00001\.arrow"):
        open_neural_dataset(str(desk.root), desk.digest, verify=verify).rung(3)


def test_a_newer_format_is_refused(desk) -> None:
    """Another major version is refused with both versions; a newer minor one is read."""
    desk.make()
    form = json.loads((desk.folder / "manifest.json").read_text())["format"]
    edit_manifest(desk, format=form | {"major": 2})
    refused(desk, r"manifest\.json is of format version 2\.0, this nefstudy reads 1\.x")


def test_unknown_keys_of_the_manifest_are_ignored(desk) -> None:
    """A key that this version does not know changes nothing."""
    desk.make()
    before = open_neural_dataset(str(desk.root), desk.digest).manifest
    edit_manifest(desk, colour="blue", notes={"a": [1, 2]})
    assert open_neural_dataset(str(desk.root), desk.digest).manifest == before


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is not JSON"),
        (b"[1, 2]", "is not the manifest of a neural dataset"),
        (b'{"format": {"name": "other", "major": 1}}', "is not the manifest of a neural dataset"),
    ],
)
def test_a_damaged_manifest_is_refused(desk, content: bytes, match: str) -> None:
    """A manifest that is not one is refused by name."""
    desk.make()
    (desk.folder / "manifest.json").write_bytes(content)
    refused(desk, rf"manifest\.json {match}")


def test_an_edited_manifest_is_refused(desk) -> None:
    """Any of the format's own keys, once changed, no longer matches the checksum."""
    desk.make()
    edit_manifest(desk, rows=93)
    refused(desk, r"manifest\.json does not match its checksum")


def test_a_neural_dataset_in_anothers_place_is_refused(desk) -> None:
    """A directory renamed to another digest is refused."""
    desk.make()
    moved = desk.folder.with_name("0" * 20)
    shutil.move(desk.folder, moved)
    with pytest.raises(BadNeuralDataset, match=f"is of neural dataset {desk.digest}"):
        open_neural_dataset(str(desk.root), "0" * 20)


def test_what_is_not_there_is_refused_or_none(desk) -> None:
    """Opening an unknown digest or rung says what there is; finding one gives None."""
    assert find_neural_dataset(str(desk.root), desk.digest) is None
    assert list_neural_datasets(str(desk.root)) == ()
    with pytest.raises(BadNeuralDataset, match="no finished neural dataset"):
        open_neural_dataset(str(desk.root), desk.digest)
    dataset = desk.make()
    with pytest.raises(BadNeuralDataset, match="no rung 4; it has 0, 3"):
        dataset.rung(4)
    with pytest.raises(BadConfig, match="signal 999999, view 0: not in neural dataset"):
        dataset.reconstruct(999999, steps=3)


def test_quality_columns_are_those_of_the_evaluation(desk) -> None:
    """PSNR and off-grid PSNR of each field are what evaluation makes of the reconstructions."""
    dataset = desk.make()
    rung = dataset.rung(3)
    images = desk.signals.originals(np.arange(46)).reshape(46, 8, 8, 1)
    again = np.stack([dataset.reconstruct(int(i), steps=3) for i in desk.signals.ids])
    np.testing.assert_allclose(rung.quality["psnr"][:46], psnr(again, images), rtol=1e-5)
    assert dataset.quality(3).keys() == {*rung.quality, "diverged_at"}
    assert np.array_equal(dataset.quality(3)["ssim"], rung.quality["ssim"])
    params = unflatten(desk.field, rung.parameters[:46])
    outputs = desk.field.forward(params, torch.from_numpy(cell_centres((8, 8)))).numpy()
    between = outputs * desk.signals.card.std[0] + desk.signals.card.mean[0]
    np.testing.assert_allclose(rung.quality["off_grid_psnr"][:46], off_grid_psnr(between, images), rtol=1e-5)


def test_reconstruction_follows_signal_view_and_grid(desk) -> None:
    """Each signal and view has its own image on any grid, on [0, 1]; grids agree where they share points."""
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
    """Unfinished neural datasets are not listed; removed ones leave nothing."""
    desk.write()
    assert list_neural_datasets(str(desk.root)) == ()
    desk.finish()
    assert [manifest.digest for manifest in list_neural_datasets(str(desk.root))] == [desk.digest]
    remove_neural_dataset(str(desk.root), desk.digest, check=lambda: None)
    assert list_neural_datasets(str(desk.root)) == ()
    assert not desk.folder.exists()


def test_a_uri_is_the_same_root(desk) -> None:
    """A `file://` URI names the files a path does."""
    desk.make()
    uri = desk.root.as_uri()
    assert torch.equal(
        open_neural_dataset(uri, desk.digest).rung(3).parameters,
        open_neural_dataset(str(desk.root), desk.digest).rung(3).parameters,
    )
    assert [m.digest for m in list_neural_datasets(uri)] == [desk.digest]
