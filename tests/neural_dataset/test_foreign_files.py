"""Laws of files that are not ours: they end nothing, and stay where they are."""

from pathlib import Path

import pytest

from nefstudy.errors import BadRoot
from nefstudy.neural_dataset.mend import remove_damage
from nefstudy.neural_dataset.read import list_neural_datasets, open_neural_dataset
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
    """Mending, fitting on and listing pass over it, in a rung's folder, a dataset's and next to the datasets."""
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
    found = [path for path in Path(desk.root).rglob(name.replace("[", "[[]")) if path.is_file()]
    assert [path.read_bytes() for path in found] == [b"mine"] * 3
    assert (desk.folder / f"rung-{name}").is_dir()


def test_a_damaged_shard_on_another_disk_stays_and_fails_its_trial_alone(desk, tmp_path_factory) -> None:
    """Nothing behind a symbolic link is removed: the trial fails for its disk, by one line that names the link."""
    desk.make()
    disk = tmp_path_factory.mktemp("disk")
    moved = desk.folder.rename(disk / desk.digest)
    desk.folder.parent.rmdir()
    desk.folder.parent.symlink_to(disk, target_is_directory=True)
    shard = moved / "rung-00000003" / "shard-00001.arrow"
    shard.write_bytes(b"torn")
    with pytest.raises(BadRoot, match="outside the root") as refused:
        remove_damage(str(desk.root), desk.digest)
    assert shard.read_bytes() == b"torn"
    assert cause_of(refused.value) == "disk"
    assert str(disk) in first_line(refused.value)
