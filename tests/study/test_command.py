"""Tests of a study's command line: an invalid name is rejected before anything is created."""

import dataclasses
from typing import NoReturn

import pytest

from nefstudy.errors import BadConfig
from nefstudy.study.command import execute, main
from nefstudy.study.options import StudyOptions

BAD = ("../../other", "../neural_datasets", "/export", "team/digits", "first try", "größe", "50%", ".hidden", "", "a\n")


def no_plan(options: StudyOptions) -> NoReturn:
    """Fail the test, because no plan may be made for an invalid name."""
    pytest.fail(f"{options.study!r} was planned")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("name", BAD)
def test_a_study_name_is_checked_before_it_is_planned(tmp_path, name, dry_run):
    """An invalid --study is rejected both in a dry run and in a run, and neither creates a root."""
    options = StudyOptions(study=name, root=str(tmp_path / "root"), dry_run=dry_run)
    with pytest.raises(BadConfig, match=r"study .*1 to 100 letters"):
        execute(no_plan, options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_ends_with_2_and_one_line(tmp_path, capsys, name):
    """For a bad name, the command exits with code 2, and one line states the name and the rule.

    A folder next to the root remains unchanged.
    """
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(no_plan, about="x", arguments=["--study", name, "--root", str(tmp_path / "root")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 to 100 letters" in line
    assert ascii(name) in line
    assert [path.name for path in tmp_path.rglob("*")] == ["other", "notes.txt"]


def test_the_name_of_the_scale_is_used_only_without_a_name():
    """Without --study, the name of the scale is used as the study's name."""
    assert dataclasses.replace(StudyOptions(), scale="smoke").name == "smoke"
