"""Tests that a SQLite store of MLflow is created completely or not at all."""

import multiprocessing
import os
from pathlib import Path

import pytest

from nefstudy.tracking.export import Runs
from nefstudy.tracking.store import store_of

pytestmark = pytest.mark.mlflow


def killed_while_creating(root: str) -> None:
    """Create the store of a root, and end without a trace in the middle of MLflow's migrations."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def end(_connection, _cursor, statement, *_others) -> None:
        if "CREATE TABLE _alembic_tmp_experiments" in statement:
            os._exit(9)

    event.listen(Engine, "after_cursor_execute", end)
    Runs(store_of(root), root=root).check()  # type: ignore[arg-type]  # a local root has a store


def test_a_store_whose_creation_was_killed_is_created_again(tmp_path: Path) -> None:
    """If a process is killed while MLflow creates the tables, the next process creates the store."""
    root = str(tmp_path)
    child = multiprocessing.get_context("spawn").Process(target=killed_while_creating, args=(root,))
    child.start()
    child.join()
    assert child.exitcode == 9
    Runs(store_of(root), root=root).check()  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_is_created_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links, the store is renamed into place."""

    def refuse(_source: Path, _target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    Runs(store_of(str(tmp_path)), root=str(tmp_path)).check()  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_that_another_process_creates_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that appears while this process creates one is used and not replaced."""
    root, link = str(tmp_path), os.link

    def second(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes() + b"of another process")
        link(source, target)

    monkeypatch.setattr(os, "link", second)
    Runs(store_of(root), root=root).check()  # type: ignore[arg-type]
    assert (tmp_path / "mlflow.db").read_bytes().endswith(b"of another process")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_in_memory_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite store in memory is not created as a file."""
    monkeypatch.chdir(tmp_path)
    Runs("sqlite:///:memory:", root=str(tmp_path)).check()
    assert not (tmp_path / ":memory:").exists()
