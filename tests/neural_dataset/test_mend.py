"""Laws of removing damage: what another process has fitted since the check stays, whenever this one wakes up."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nefstudy.neural_dataset import write
from nefstudy.neural_dataset.mend import remove_damage
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.neural_dataset.schema import Manifest
from nefstudy.storage import Storage


def tear(path: Path) -> None:
    """Cut a file to half its length."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HARM: dict[str, Callable[[Path], None]] = {
    "shard": lambda rung: tear(rung / "shard-00001.arrow"),
    "two shards": lambda rung: [tear(rung / f"shard-0000{i}.arrow") for i in (1, 4)] and None,
    "receipt": lambda rung: tear(rung / "shard-00001.json"),
    "no receipt": lambda rung: (rung / "shard-00001.json").unlink(),
    "no shard": lambda rung: (rung / "shard-00001.arrow").unlink(),
    "manifest": lambda rung: tear(rung.parent / "manifest.json"),
}


@pytest.fixture
def suspend(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], list[str]]:
    """Run a function within another's acts: right before the given removal or rename of it."""

    def arrange(moment: int, meanwhile: Callable[[], object]) -> list[str]:
        acts: list[str] = []

        def pausing(owner: type, name: str) -> None:
            real = getattr(owner, name)

            def act(self: object, *arguments: object) -> object:
                acts.append(name)
                if len(acts) == moment:
                    meanwhile()
                return real(self, *arguments)

            monkeypatch.setattr(owner, name, act)

        pausing(Storage, "remove")
        pausing(Path, "rename")
        return acts

    return arrange


@pytest.mark.parametrize("moment", range(1, 7))
@pytest.mark.parametrize("harm", HARM)
def test_what_was_fitted_since_the_check_stays(desk, suspend, harm: str, moment: int) -> None:
    """Suspended before any removal or rename, an orphan takes nothing from the dataset that its successor made."""
    desk.make()
    whole = desk.files()
    HARM[harm](desk.folder / "rung-00000003")

    def succeed() -> None:
        remove_damage(str(desk.root), desk.digest)
        desk.make()
        assert desk.files() == whole

    acts = suspend(moment, succeed)
    remove_damage(str(desk.root), desk.digest)
    if len(acts) < moment:  # it had fewer acts: nothing has been fitted since
        desk.make()
    open_neural_dataset(str(desk.root), desk.digest).verify()
    assert desk.files() == whole


@pytest.mark.parametrize("is_same", [True, False])
def test_a_manifest_written_since_the_check_is_not_withdrawn(desk, suspend, is_same: bool) -> None:
    """Whether the successor's fingerprint is the orphan's own or a third one."""
    desk.make()
    storage, path = Storage.at(str(desk.root)), desk.folder / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes(), where="test")
    marks = manifest.fingerprint | {"torch": "the orphan's"}
    new = Manifest(**(vars(manifest) | {"fingerprint": marks if is_same else marks | {"torch": "a third"}}))
    suspend(1, lambda: path.write_bytes(new.to_json()))
    write._withdraw(storage, desk.digest, marks)
    assert path.read_bytes() == new.to_json()
    assert list(desk.folder.glob("*.part")) == []


def test_what_is_damaged_goes_and_nothing_else(desk) -> None:
    """The damaged shard and the manifest; every other shard stays as it was."""
    desk.make()
    before = desk.files()
    tear(desk.folder / "rung-00000003" / "shard-00001.arrow")
    (gone,) = remove_damage(str(desk.root), desk.digest)
    assert gone.endswith("rung-00000003/shard-00001.arrow")
    left = desk.files()
    assert {Path(name).name for name in set(before) - set(left)} >= {"shard-00001.arrow", "manifest.json"}
    shards = [name for name in before if name.endswith(".arrow")]
    assert sum(name in left and left[name] == before[name] for name in shards) == len(shards) - 1
    shutil.rmtree(desk.folder)
    desk.make()
    assert desk.files() == before
