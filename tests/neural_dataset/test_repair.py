"""Tests of repair: a suspended process does not remove anything that another process wrote after the check."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nefstudy.neural_dataset import write
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.neural_dataset.repair import remove_damage
from nefstudy.neural_dataset.schema import Manifest
from nefstudy.storage import Storage


def tear(path: Path) -> None:
    """Truncate a file to half its length."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tear_two_shards(rung: Path) -> None:
    for number in (1, 4):
        tear(rung / f"shard-0000{number}.arrow")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "shard": lambda rung: tear(rung / "shard-00001.arrow"),
    "two shards": tear_two_shards,
    "receipt": lambda rung: tear(rung / "shard-00001.json"),
    "no receipt": lambda rung: (rung / "shard-00001.json").unlink(),
    "no shard": lambda rung: (rung / "shard-00001.arrow").unlink(),
    "manifest": lambda rung: tear(rung.parent / "manifest.json"),
}


@pytest.fixture
def suspend(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], list[str]]:
    """Return a function that schedules `interrupt` before the n-th removal or rename and returns the log of calls."""

    def arrange(moment: int, interrupt: Callable[[], object]) -> list[str]:
        calls: list[str] = []

        def pause(owner: type, name: str) -> None:
            real = getattr(owner, name)

            def call(self: object, *arguments: object) -> object:
                calls.append(name)
                if len(calls) == moment:
                    interrupt()
                return real(self, *arguments)

            monkeypatch.setattr(owner, name, call)

        pause(Storage, "remove")
        pause(Path, "rename")
        return calls

    return arrange


@pytest.mark.parametrize("moment", range(1, 7))
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_fitted_since_the_check_stays(desk, suspend, damage: str, moment: int) -> None:
    """A repair that is suspended before any removal or rename removes nothing that its successor wrote."""
    desk.make()
    intact = desk.files()
    DAMAGES[damage](desk.folder / "rung-00000003")

    def succeed() -> None:
        remove_damage(str(desk.root), desk.digest)
        desk.make()
        assert desk.files() == intact

    calls = suspend(moment, succeed)
    remove_damage(str(desk.root), desk.digest)
    if len(calls) < moment:  # the successor did not run
        desk.make()
    open_neural_dataset(str(desk.root), desk.digest).verify()
    assert desk.files() == intact


@pytest.mark.parametrize("is_same", [True, False])
def test_a_manifest_written_since_the_check_is_not_removed(desk, suspend, is_same: bool) -> None:
    """A suspended writer does not remove its successor's manifest, whether or not their fingerprints are equal."""
    desk.make()
    storage, path = Storage.at(str(desk.root)), desk.folder / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes(), where="test")
    current = manifest.fingerprint | {"torch": "the suspended writer's"}
    new = Manifest(**(vars(manifest) | {"fingerprint": current if is_same else current | {"torch": "a third"}}))
    suspend(1, lambda: path.write_bytes(new.to_json()))
    write._remove_outdated_manifest(storage, desk.digest, current)
    assert path.read_bytes() == new.to_json()
    assert list(desk.folder.glob("*.part")) == []


def test_what_is_damaged_goes_and_nothing_else(desk) -> None:
    """Repair removes the damaged shard and the manifest and keeps all other shards unchanged."""
    desk.make()
    before = desk.files()
    tear(desk.folder / "rung-00000003" / "shard-00001.arrow")
    (removed,) = remove_damage(str(desk.root), desk.digest)
    assert removed.endswith("rung-00000003/shard-00001.arrow")
    left = desk.files()
    assert {Path(name).name for name in set(before) - set(left)} >= {"shard-00001.arrow", "manifest.json"}
    shards = [name for name in before if name.endswith(".arrow")]
    assert sum(name in left and left[name] == before[name] for name in shards) == len(shards) - 1
    shutil.rmtree(desk.folder)
    desk.make()
    assert desk.files() == before
