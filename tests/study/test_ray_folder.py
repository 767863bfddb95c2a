"""Laws of a Ray's directory: short enough, owned from the start, and swept when its driver is known to be gone."""

import os
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import Owner
from nefstudy.study import ray_folder
from nefstudy.study.ray_folder import BELOW, OWNER, ROOM, SILENT_S, SOCKET_BYTES, make_ray_folder, sweep_rays

HERE = Owner.here()
DEAD = replace(HERE, process_start=1)
ELSEWHERE = replace(HERE, boot_id="another-kernel", pid_namespace="pid:[1]")


@pytest.fixture
def base(monkeypatch):
    """The only base for a Ray's directory: a short one of this test."""
    with tempfile.TemporaryDirectory(prefix="nb", dir="/tmp") as folder:
        monkeypatch.setattr(ray_folder, "_bases", lambda: [Path(folder)])
        yield Path(folder)


def left(base: Path, name: str, *, owner: str | None = None, age_s: float = 0.0) -> Path:
    """A directory as a driver leaves it."""
    folder = base / name
    (folder / "session_1" / "logs").mkdir(parents=True)
    (folder / "session_latest").symlink_to(folder / "session_1")
    if owner is not None:
        (folder / OWNER).write_text(owner)
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (time.time() - age_s,) * 2, follow_symlinks=False)
    return folder


def test_a_directory_is_owned_by_the_process_that_made_it(base) -> None:
    """Its owner's file is there, whole, and nothing else."""
    made = make_ray_folder()
    assert [path.name for path in base.iterdir()] == [made.name]
    assert [path.name for path in made.iterdir()] == [OWNER]
    assert Owner.from_json((made / OWNER).read_text()) == HERE


def test_a_directory_never_has_its_name_before_its_owner(base, monkeypatch) -> None:
    """Where the owner cannot be written, nothing is left behind."""

    def full(*_: object) -> None:
        assert [path.name for path in base.glob("nef-*")] == []
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BadConfig, match=r"No space left on device.*TMPDIR"):
        make_ray_folder()
    assert list(base.iterdir()) == []


def test_what_killed_drivers_left_goes_with_the_next(base) -> None:
    """A directory goes when its driver is known to be gone; a living driver's stays however silent it is."""
    left(base, "nef-dead", owner=DEAD.to_json())
    left(base, "nef-lives", owner=HERE.to_json(), age_s=10 * SILENT_S)
    left(base, "nef-elsewhere", owner=ELSEWHERE.to_json())
    left(base, "nef-00000001", owner="[]")
    left(base, "nef-00000002")
    left(base, "nef.new-00000003")
    sweep_rays()
    names = {path.name for path in base.iterdir()}
    assert names == {"nef-lives", "nef-elsewhere", "nef-00000001", "nef-00000002", "nef.new-00000003"}


@pytest.mark.parametrize("owner", [None, "[]", "{", ELSEWHERE.to_json()])
def test_a_directory_without_an_owner_to_be_seen_goes_after_a_day_of_silence(base, owner) -> None:
    """Its owner's file was lost or torn, or names another machine: then only its silence shows that it is left."""
    old = left(base, "nef-0a1b2c3_", owner=owner, age_s=2 * SILENT_S)
    new = left(base, "nef-0a1b2c3d", owner=owner)
    halfway = left(base, "nef.new-0a1b2c3d", owner=owner, age_s=2 * SILENT_S)
    sweep_rays()
    assert (old.exists(), new.exists(), halfway.exists()) == (False, True, False)


def test_a_silent_directory_in_which_a_process_listens_stays(base) -> None:
    """A socket of a living Ray is there: its owner's file was removed by a cleaner of temporary files."""
    folder = left(base, "nef-0a1b2c3d")
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(folder / "session_1" / "raylet"))
        ear.listen()
        for path in [*folder.rglob("*"), folder]:
            os.utime(path, (1, 1), follow_symlinks=False)
        sweep_rays()
        assert folder.exists()
    sweep_rays()
    assert not folder.exists()


def test_what_is_not_a_rays_directory_is_never_removed(base) -> None:
    """A user's own files and directories of a similar name stay, and so does what a link points to."""
    for name in ("nef-pictures", "nef-0a1b2c3d"):
        (base / name).mkdir()
        (base / name / "thesis.txt").write_text("mine")
        os.utime(base / name / "thesis.txt", (1, 1))
        os.utime(base / name, (1, 1))
    (base / "nef-12345678").write_text("a file")
    left(base, "kept", owner=DEAD.to_json())
    (base / "nef-11111111").symlink_to(base / "kept")
    before = sorted(base.rglob("*"))
    sweep_rays()
    assert sorted(base.rglob("*")) == before


def test_a_directory_that_became_a_link_is_not_emptied(base) -> None:
    """The link and all behind it stay when the driver removes its directory."""
    kept = left(base, "kept", owner=HERE.to_json())
    (base / "nef-0a1b2c3d").symlink_to(kept)
    before = sorted(base.rglob("*"))
    ray_folder.remove_ray_folder(base / "nef-0a1b2c3d")
    assert sorted(base.rglob("*")) == before


def test_what_a_dying_ray_still_writes_goes_with_a_later_sweep(base, monkeypatch) -> None:
    """A directory that cannot be emptied yet keeps its owner's name, by which the next driver finds it."""
    folder = left(base, "nef-dead", owner=DEAD.to_json())
    with monkeypatch.context() as busy:
        busy.setattr("shutil.rmtree", lambda *_, **__: None)  # as if each file came back at once
        sweep_rays()
    assert (folder / OWNER).exists()
    sweep_rays()
    assert not folder.exists()


def test_a_temporary_directory_that_is_too_long_is_passed_over(monkeypatch) -> None:
    """TMPDIR of a batch job leaves no room for a socket's path: the next base is taken, and is swept as well."""
    with tempfile.TemporaryDirectory(prefix="nb", dir="/tmp") as short:
        long = Path(short, "scratch-of-a-batch-job-" * 3)
        long.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(long))
        assert ray_folder._bases()[0] == long
        monkeypatch.setattr(ray_folder, "_bases", lambda: [long, Path(short)])
        made = make_ray_folder()
        assert made.parent == Path(short)
        assert len(str(made)) + len(BELOW) - len("/nef-12345678") <= SOCKET_BYTES


def test_where_no_base_will_do_one_line_says_so(monkeypatch, tmp_path) -> None:
    """It names each base with what is wrong with it, what is allowed, and what to set."""
    long = tmp_path / ("x" * ROOM)
    monkeypatch.setattr(ray_folder, "_bases", lambda: [long, Path("/not/there")])
    with pytest.raises(BadConfig) as refused:
        make_ray_folder()
    assert str(refused.value) == (
        f"no directory for Ray's sockets and logs ({long}: {len(str(long))} characters; /not/there: No such file or "
        f"directory); set TMPDIR to a writable directory whose path has at most {ROOM} characters"
    )
