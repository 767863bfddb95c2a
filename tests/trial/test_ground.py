"""What is taken away from under a process is named; what is there is not."""

import pytest

from nefstudy.errors import BadRoot
from nefstudy.trial import ground
from nefstudy.trial.causes import cause_of


def test_nothing_is_missed_where_all_is_there(tmp_path):
    """A root, a working directory and code that are there; a root that is a URI is not looked for."""
    assert ground.lost_ground(str(tmp_path)) is None
    assert ground.lost_ground("s3://bucket/root") is None


def test_a_root_that_is_not_there_is_not_made(tmp_path):
    """It is named with the node, counts as a fault of the disk, and stays away."""
    lost = ground.lost_ground(str(tmp_path / "root"))
    assert f"root '{tmp_path}/root' is not there on node" in str(lost)
    assert cause_of(lost) == "disk"
    assert not (tmp_path / "root").exists()


def test_a_removed_working_directory_is_told(tmp_path, monkeypatch):
    """The message says what to do, in one line."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ground.check_working_directory()
    (tmp_path / "here").rmdir()
    with pytest.raises(BadRoot, match=r"working directory .* was removed; run the same command again from one that"):
        ground.check_working_directory()
    assert "working directory" in str(ground.lost_ground(str(tmp_path)))


def test_removed_code_is_told(tmp_path, monkeypatch):
    """Files of the package that are gone are named by their folder."""
    monkeypatch.setattr(ground, "_CODE", tmp_path / "job" / "trial" / "ground.py")
    with pytest.raises(BadRoot, match=rf"code .*{tmp_path}/job, was removed; run the same command again where it"):
        ground.check_code()
