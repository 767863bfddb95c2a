"""Tests of errors about removed paths that a process depends on."""

import pytest

from nefstudy.errors import BadRoot
from nefstudy.trial import process_paths
from nefstudy.trial.causes import cause_of

from ..present import present


def test_existing_paths_are_accepted(tmp_path):
    """If the root, working directory and code exist, there is no error.

    A root that is a URI is also accepted.
    """
    assert process_paths.find_removed_path(str(tmp_path)) is None
    assert process_paths.find_removed_path("s3://bucket/root") is None


def test_a_missing_root_is_named_and_not_created(tmp_path):
    """The error for a missing root names the root and the node, and has the cause `disk`.

    The root is not created.
    """
    error = process_paths.find_removed_path(str(tmp_path / "root"))
    assert f"root '{tmp_path}/root' does not exist on node" in str(error)
    assert cause_of(present(error)) == "disk"
    assert not (tmp_path / "root").exists()


def test_a_removed_working_directory_is_named(tmp_path, monkeypatch):
    """The error for a removed working directory asks the user to run the same command in another directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    process_paths.check_working_directory()
    (tmp_path / "here").rmdir()
    with pytest.raises(BadRoot, match=r"working directory .*removed; .*same command"):
        process_paths.check_working_directory()
    assert "working directory" in str(process_paths.find_removed_path(str(tmp_path)))


def test_removed_code_is_named(tmp_path, monkeypatch):
    """The error for removed code names the package's folder and asks the user to run the same command again."""
    monkeypatch.setattr(process_paths, "_CODE", tmp_path / "job" / "trial" / "process_paths.py")
    with pytest.raises(BadRoot, match=rf"code .*{tmp_path}/job, .*removed; .*same command"):
        process_paths.check_code()
