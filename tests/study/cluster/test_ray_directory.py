"""Tests of Ray's directory: its path is short, and it is removed once its driver is known to be dead."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nefstudy.errors import BadConfig
from nefstudy.ledger import Owner
from nefstudy.study.cluster import ray_directory as ray_folder
from nefstudy.study.cluster.ray_directory import (
    LONGEST_SUBPATH,
    MAX_BASE_BYTES,
    OWNER,
    SILENT_S,
    SOCKET_BYTES,
    make_ray_folder,
    sweep_rays,
)

from ...present import present

HERE = Owner.current()
DEAD = replace(HERE, process_start=1)
ELSEWHERE = replace(HERE, boot_id="another-kernel", pid_namespace="pid:[1]")


@pytest.fixture
def base(monkeypatch):
    """Make a short temporary directory the only candidate for Ray's directory."""
    with tempfile.TemporaryDirectory(prefix="nb", dir="/tmp") as folder:
        monkeypatch.setattr(ray_folder, "_bases", lambda: [Path(folder)])
        yield Path(folder)


def left(base: Path, name: str, *, owner: str | None = None, age_s: float = 0.0) -> Path:
    """Create a Ray directory like one that a driver has left behind."""
    folder = base / name
    (folder / "session_1" / "logs").mkdir(parents=True)
    (folder / "session_latest").symlink_to(folder / "session_1")
    if owner is not None:
        (folder / OWNER).write_text(owner)
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (time.time() - age_s,) * 2, follow_symlinks=False)
    return folder


def test_a_directory_is_owned_by_the_process_that_made_it(base) -> None:
    """A new Ray directory contains a complete owner file and nothing else."""
    made = make_ray_folder()
    assert [path.name for path in base.iterdir()] == [made.name]
    assert [path.name for path in made.iterdir()] == [OWNER]
    assert Owner.from_json((made / OWNER).read_text()) == HERE


def test_a_directory_never_has_its_final_name_without_its_owner(base, monkeypatch) -> None:
    """If the owner file cannot be written, no Ray directory is left behind."""

    def full(*_: object) -> None:
        assert [path.name for path in base.glob("nef-*")] == []
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BadConfig, match=r"No space left on device.*TMPDIR"):
        make_ray_folder()
    assert list(base.iterdir()) == []


def test_directories_of_killed_drivers_are_swept_by_the_next_driver(base) -> None:
    """A sweep removes a Ray directory only if its driver is known to be dead.

    It does not matter how long the other directories have been idle.
    """
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
def test_a_directory_without_a_visible_owner_is_removed_after_a_day_of_silence(base, owner) -> None:
    """A Ray directory without a usable owner file is removed after a day without changes."""
    old = left(base, "nef-0a1b2c3_", owner=owner, age_s=2 * SILENT_S)
    new = left(base, "nef-0a1b2c3d", owner=owner)
    halfway = left(base, "nef.new-0a1b2c3d", owner=owner, age_s=2 * SILENT_S)
    sweep_rays()
    assert (old.exists(), new.exists(), halfway.exists()) == (False, True, False)


def test_a_silent_directory_in_which_a_process_listens_stays(base) -> None:
    """A directory that contains the socket of a running Ray process is kept, even without an owner file."""
    folder = left(base, "nef-0a1b2c3d")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "session_1" / "raylet"))
        listener.listen()
        for path in [*folder.rglob("*"), folder]:
            os.utime(path, (1, 1), follow_symlinks=False)
        sweep_rays()
        assert folder.exists()
    sweep_rays()
    assert not folder.exists()


def test_only_ray_directories_are_removed(base) -> None:
    """A sweep keeps the user's files and directories with similar names, and the targets of links."""
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
    """If a driver's Ray directory was replaced by a link, the link and its target are kept."""
    kept = left(base, "kept", owner=HERE.to_json())
    (base / "nef-0a1b2c3d").symlink_to(kept)
    before = sorted(base.rglob("*"))
    ray_folder.remove_ray_folder(base / "nef-0a1b2c3d")
    assert sorted(base.rglob("*")) == before


def test_files_that_a_dying_ray_still_writes_are_removed_by_a_later_sweep(base, monkeypatch) -> None:
    """A Ray directory that cannot be emptied yet keeps its owner file, so a later sweep can remove the directory."""
    folder = left(base, "nef-dead", owner=DEAD.to_json())
    with monkeypatch.context() as busy:
        busy.setattr("shutil.rmtree", lambda *_, **__: None)  # as if each file were recreated at once
        sweep_rays()
    assert (folder / OWNER).exists()
    sweep_rays()
    assert not folder.exists()


def test_a_swept_directory_is_not_created_again_by_a_process_of_its_ray(base) -> None:
    """Sweeping a killed driver's Ray directory also ends the Ray processes that would recreate it."""
    folder = left(base, "nef-dead", owner=DEAD.to_json())
    code = (
        "import os, sys, time\n"
        "log = open(sys.argv[1] + '/log', 'w')\n"
        "print('ready', flush=True)\n"
        "while True:\n    time.sleep(0.02)\n    os.makedirs(sys.argv[1], exist_ok=True)\n"
    )
    command = [sys.executable, "-c", code, str(folder / "session_1" / "logs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert present(agent.stdout).readline() == "ready\n"
        try:
            for _ in range(3):  # the directory may outlive one sweep, but not come back after its removal
                sweep_rays()
            agent.wait(10)
        finally:
            agent.kill()
    assert not folder.exists()


def test_a_temporary_directory_with_too_long_a_path_is_skipped(monkeypatch) -> None:
    """If the path of a candidate for Ray's directory is too long for a socket, the next candidate is used."""
    with tempfile.TemporaryDirectory(prefix="nb", dir="/tmp") as short:
        long = Path(short, "scratch-of-a-batch-job-" * 3)
        long.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(long))
        assert ray_folder._bases()[0] == long
        monkeypatch.setattr(ray_folder, "_bases", lambda: [long, Path(short)])
        made = make_ray_folder()
        assert made.parent == Path(short)
        assert len(str(made)) + len(LONGEST_SUBPATH) - len("/nef-12345678") <= SOCKET_BYTES


def test_without_a_usable_base_the_error_is_one_line(monkeypatch, tmp_path) -> None:
    """If no candidate for Ray's directory can be used, a one-line error names each candidate and its problem.

    The error also states the allowed length and the variable to set.
    """
    long = tmp_path / ("x" * MAX_BASE_BYTES)
    monkeypatch.setattr(ray_folder, "_bases", lambda: [long, Path("/not/there")])
    with pytest.raises(BadConfig) as refused:
        make_ray_folder()
    assert str(refused.value) == (
        f"no directory for Ray's sockets and logs ({long}: {len(str(long))} characters; /not/there: No such file or "
        f"directory); set TMPDIR to a writable directory whose path has at most {MAX_BASE_BYTES} characters"
    )
