"""The SQLite file in which MLflow keeps the runs of a local root."""

import glob
import os
import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from mlflow import MlflowClient

from nefstudy.ledger.sql.address import mlflow_url
from nefstudy.paths import MLFLOW
from nefstudy.storage import TEMPORARY

STALE_S = 60.0  # a part that is linked into place lives for milliseconds
LOCKED_S = 10.0  # wait this long for a store that another process is writing


def store_of(root: str) -> str | None:
    """Return the URI of a local root's MLflow store, a SQLite file; None if the root is itself a URI."""
    return None if "://" in root else mlflow_url(Path(root).absolute() / MLFLOW)


def create(file: Path) -> None:
    """Create a store elsewhere and link it into place, unless another process creates it first.

    MLflow creates the tables in many steps, and cannot open a store whose creation was interrupted.
    """
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / file.name
        MlflowClient(tracking_uri=mlflow_url(new)).search_experiments(max_results=1)
        content = new.read_bytes()
    for left in file.parent.glob(f"{glob.escape(file.name)}.*{TEMPORARY}"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > STALE_S:  # a younger one may be another process's
                left.unlink()
    part = file.with_name(f"{file.name}.{uuid4().hex}{TEMPORARY}")
    part.write_bytes(content)
    try:
        os.link(part, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not file.exists():
            part.replace(file)
    part.unlink(missing_ok=True)


def analyze(file: Path) -> None:
    """Update the statistics of a store; without statistics, MLflow's searches are a hundred times slower."""
    with closing(sqlite3.connect(file, timeout=LOCKED_S, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=WAL")  # readers of the MLflow pages do not block the writer
        runs = store.execute("SELECT count(*) FROM runs").fetchone()[0]
        if runs > 2 * _analyzed_runs(store):
            store.execute("ANALYZE")


def _analyzed_runs(store: sqlite3.Connection) -> int:
    """Return the number of runs in SQLite's statistics; 0 before the first ANALYZE."""
    if store.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone() is None:
        return 0
    known = store.execute("SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()[0]
    return int(known or 0)
