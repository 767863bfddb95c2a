"""Tests of removing neural datasets on request, and of symbolic links that lead out of the root."""

from dataclasses import replace

import pytest

from nefstudy.errors import StudyBusy
from nefstudy.neural_dataset import remove
from nefstudy.paths import DROPPED as DROPPED_FOLDER
from nefstudy.paths import dataset_path
from nefstudy.study.gc import run_gc
from nefstudy.study.plan.study_plan import StudyPlan
from nefstudy.study.retention import Retention

from .datasets import finish
from .old_names import make_old


def test_collecting_stops_when_a_study_is_begun_or_taken_over(ledger, started, result, tmp_path, monkeypatch):
    """If a study is started while gc runs, gc stops and restores the neural datasets that it has moved."""
    finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    original_move = remove.move
    moves = []

    def begin(storage, path, to):
        moves.append(path)
        if len(moves) == 1:
            ledger.studies.put("new", {}, cells={})
        return original_move(storage, path, to)

    monkeypatch.setattr(remove, "move", begin)
    with pytest.raises(StudyBusy, match="'new'"):
        run_gc(ledger, str(tmp_path), keep="none", study=None, dry_run=False)
    assert len(list((tmp_path / "neural_datasets").iterdir())) == 4
    assert ledger.leases.holder("s") is None


def test_collecting_needs_the_lease_and_a_dry_run_removes_nothing(ledger, started, result, tmp_path):
    """gc is refused while a driver runs, unless it is a dry run.

    A dry run lists the neural datasets that gc would remove and removes none of them.
    """
    finish(started, ledger, tmp_path, result)
    with pytest.raises(StudyBusy):
        run_gc(ledger, str(tmp_path), keep="none", study=None, dry_run=False)
    would = run_gc(ledger, str(tmp_path), keep="none", study="s", dry_run=True)
    assert len(list((tmp_path / "neural_datasets").iterdir())) == 4
    ledger.leases.release(started.lease, state="finished")
    assert run_gc(ledger, str(tmp_path), keep="none", study="s", dry_run=False) == would
    assert not list((tmp_path / "neural_datasets").iterdir())
    assert ledger.studies.get("s").state == "finished"
    assert ledger.leases.holder("s") is None


@pytest.fixture
def linked(tmp_path, tmp_path_factory):
    """Make the directory of neural datasets a symbolic link to another disk."""
    disk = tmp_path_factory.mktemp("disk")
    (tmp_path / "neural_datasets").symlink_to(disk, target_is_directory=True)
    return disk


def test_neural_datasets_on_another_disk_stay_and_the_study_continues(  # noqa: PLR0917  # fixtures
    ledger, started, result, linked, tmp_path, caplog
):
    """A study does not remove neural datasets outside the root, and logs the reason only once."""
    finish(started, ledger, tmp_path, result)
    retention = Retention(started, str(tmp_path), keep="none")
    for _ in range(2):
        retention.sweep()
    assert len(list(linked.glob("*/manifest.json"))) == 4
    assert {row.state for row in ledger.datasets.all()} == {"present"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "outside the root" in line
    assert str(linked) in line
    assert "\n" not in line


def test_only_the_neural_dataset_on_another_disk_stays(ledger, started, result, tmp_path):
    """A neural dataset on another disk is kept, while those inside the root are removed."""
    digest = finish(started, ledger, tmp_path, result)[0][0]
    (tmp_path / dataset_path(digest)).rename(tmp_path / "elsewhere")
    (tmp_path / dataset_path(digest)).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    root = tmp_path / "root"  # the link leads out of this root
    root.mkdir()
    (tmp_path / "neural_datasets").rename(root / "neural_datasets")
    Retention(started, str(root), keep="none").sweep()
    assert [path.name for path in (root / "neural_datasets").iterdir()] == [digest]
    assert (tmp_path / "elsewhere" / "manifest.json").exists()
    assert [row.digest for row in ledger.datasets.all() if row.state == "present"] == [digest]


@pytest.mark.parametrize("dry_run", [True, False])
def test_collecting_lists_neural_datasets_on_another_disk_as_kept(  # noqa: PLR0917  # fixtures
    ledger, started, result, linked, tmp_path, dry_run
):
    """gc lists neural datasets on another disk as kept and states the reason."""
    finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    decided = run_gc(ledger, str(tmp_path), keep="none", study=None, dry_run=dry_run)
    assert len(decided) == 4
    assert all(not v.goes and "outside the root" in v.reason and str(linked) in v.reason for v in decided)
    assert len(list(linked.glob("*/manifest.json"))) == 4
    assert {row.state for row in ledger.datasets.all()} == {"present"}


def test_a_linked_directory_of_dropped_neural_datasets_is_not_touched(ledger, started, result, tmp_path):
    """If the folder `.dropped` is a link, gc changes neither the link's target nor the neural datasets."""
    finish(started, ledger, tmp_path, result)
    ledger.leases.release(started.lease, state="finished")
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    (other / "theirs").mkdir(parents=True)
    (tmp_path / "neural_datasets").rename(root / "neural_datasets")
    (root / DROPPED_FOLDER).symlink_to(other, target_is_directory=True)
    decided = run_gc(ledger, str(root), keep="none", study=None, dry_run=False)
    assert not any(verdict.goes for verdict in decided)
    assert [path.name for path in other.iterdir()] == ["theirs"]
    assert len(list((root / "neural_datasets").iterdir())) == 4


@pytest.mark.parametrize("cell", [None, "digits8/gr\u00f6\u00dfe"])
def test_a_study_with_a_name_of_an_older_version_keeps_all_and_others_are_collected(  # noqa: PLR0917  # fixtures
    ledger, started, result, small_grid, open_run, tmp_path, caplog, cell
):
    """gc keeps all neural datasets of a study whose name only older versions accepted.

    Those of other studies are removed as usual.
    """
    finish(started, ledger, tmp_path, result, most=6)
    ledger.leases.release(started.lease, state="finished")
    old = make_old(f"sqlite:///{tmp_path}/ledger.db", "s", cell=cell)
    kept = {row.digest for row in ledger.datasets.all()}
    second = open_run(ledger, StudyPlan(study="two", cells=(replace(small_grid, replicates=2),)))
    finish(second, ledger, tmp_path, result)
    Retention(second, str(tmp_path), keep="none").sweep()
    assert {path.name for path in (tmp_path / "neural_datasets").iterdir()} == kept
    ledger.leases.release(second.lease, state="finished")
    caplog.clear()
    decided = run_gc(ledger, str(tmp_path), keep="none", study=None, dry_run=False)
    assert {verdict.dataset for verdict in decided if not verdict.goes} == kept
    assert all(f"study {old!r} is skipped" in verdict.reason for verdict in decided)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"study {old!r} is skipped")
    assert "\n" not in line
