"""Tests of files under a root that nefstudy did not write: they cause no failures and are not removed."""

import time
from pathlib import Path

import pytest

from nefstudy.config import NeuralDatasetConfig
from nefstudy.errors import BadNeuralDataset, BadRoot
from nefstudy.neural_dataset.read import list_neural_datasets, open_neural_dataset
from nefstudy.neural_dataset.repair import remove_damage
from nefstudy.tasks.obtain import fit_result, with_neural_dataset
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Setting
from nefstudy.tasks.task import Need
from nefstudy.trial.causes import cause_of, first_line

FOREIGN = (
    "shard-.arrow",
    "shard-x.json",
    "notes.json",
    "shard-00000 (copy).arrow",
    "shard-²²²²².json",
    "x.part",
    "[b]",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_stays_and_disturbs_nothing(desk, name: str) -> None:
    """Repairs, later fits and listings ignore files that nefstudy did not write, at any level of the directory tree."""
    desk.make()
    for folder in (desk.folder / "rung-00000003", desk.folder, desk.folder.parent):
        (folder / name).write_bytes(b"mine")
    (desk.folder / f"rung-{name}").mkdir()
    assert remove_damage(str(desk.root), desk.digest) == ()
    (desk.folder / "rung-00000003" / "shard-00001.arrow").write_bytes(b"torn")
    assert len(remove_damage(str(desk.root), desk.digest)) == 1
    desk.make(rungs=(0, 3, 5))
    assert [manifest.digest for manifest in list_neural_datasets(str(desk.root))] == [desk.digest]
    assert open_neural_dataset(str(desk.root), desk.digest).rungs == (0, 3, 5)
    kept = [path for path in Path(desk.root).rglob(name.replace("[", "[[]")) if path.is_file()]
    assert [path.read_bytes() for path in kept] == [b"mine"] * 3
    assert (desk.folder / f"rung-{name}").is_dir()


def test_a_damaged_shard_on_another_disk_stays_and_fails_its_trial_alone(desk, tmp_path_factory) -> None:
    """A damaged shard behind a symbolic link is kept, and a trial that needs it fails with the cause `disk`.

    Readers' errors name the shard, and the trial's error names the link's target. Trials on other neural datasets of
    the same root complete.
    """
    desk.make()
    disk = tmp_path_factory.mktemp("disk")
    moved = desk.folder.rename(disk / desk.digest)
    desk.folder.parent.rmdir()
    desk.folder.parent.symlink_to(disk, target_is_directory=True)
    shard = moved / "rung-00000003" / "shard-00001.arrow"
    shard.write_bytes(b"torn")
    with pytest.raises(BadNeuralDataset, match=r"rung-00000003/shard-00001\.arrow"):
        open_neural_dataset(str(desk.root), desk.digest)
    recipe = desk.config.dataset
    for act in (lambda: remove_damage(str(desk.root), desk.digest), lambda: _run_trial(desk, recipe)):
        with pytest.raises(BadRoot, match=str(disk)) as refused:
            act()
        assert shard.read_bytes() == b"torn"
        assert cause_of(refused.value) == "disk"
        assert str(disk) in first_line(refused.value)
    assert _run_trial(desk, recipe.model_copy(update={"seed": 1})).metrics["field_steps"] > 0


def _run_trial(desk, recipe: NeuralDatasetConfig) -> TrialResult:
    """Run a trial that fits a neural dataset for three steps, or reads the three-step rung if it exists."""
    setting = Setting(root=str(desk.root), clock=time.monotonic, engine="eager")
    return with_neural_dataset(Need(recipe, 3), setting=setting, then=fit_result)
