"""Tests of opening a database that is not a ledger, or a ledger whose version is not the current one."""

import sqlite3
import threading

import pytest
from sqlalchemy import create_engine, text

from nefstudy.errors import BadLedger, OtherVersion
from nefstudy.ledger import Ledger
from nefstudy.ledger.sql import schema


@pytest.fixture
def engine(url):
    """Yield an SQLAlchemy engine for the database of a new ledger."""
    Ledger.open(url).close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def set_version(engine, version):
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_schema SET version = :version"), {"version": version})


@pytest.mark.parametrize("read_only", [False, True])
def test_newer_ledger_is_refused(url, engine, read_only):
    """Opening a ledger of a newer version raises BadLedger with a message that suggests an update."""
    set_version(engine, schema.VERSION + 1)
    with pytest.raises(BadLedger, match=f"version {schema.VERSION + 1}, .*update nefstudy") as caught:
        Ledger.open(url, read_only=read_only)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("version", [1, schema.VERSION - 1])
def test_earlier_ledger_is_refused(url, engine, version, read_only):
    """Opening a ledger of an earlier version raises a one-line OtherVersion error and changes nothing."""
    set_version(engine, version)
    with pytest.raises(OtherVersion, match=r"earlier .*new root") as caught:
        Ledger.open(url, read_only=read_only)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    with engine.connect() as connection:
        assert schema.version(connection) == version


def test_other_databases_are_refused(url):
    """A database that contains the tables of another program is rejected."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE experiments (id INTEGER)"))
    engine.dispose()
    with pytest.raises(BadLedger, match=r"\(experiments\)"):
        Ledger.open(url)


def test_concurrent_opens_create_one_ledger(url):
    """If several threads open a new ledger at the same time, all of them write to one ledger."""
    failed: list[Exception] = []

    def start(name: str) -> None:
        try:
            with Ledger.open(url) as ledger:
                ledger.studies.put(name, {}, cells={})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Ledger.open(url, read_only=True) as ledger:
        assert {study.study for study in ledger.studies.all()} == {"s0", "s1", "s2", "s3"}


def test_file_that_is_not_a_database_is_refused(tmp_path):
    """A file that is not a SQLite database is rejected and not changed."""
    path = tmp_path / "ledger.db"
    path.write_text("signals,fields\n" * 1000)
    before = path.read_bytes()
    with pytest.raises(BadLedger, match="not a database"):
        Ledger.open(str(path))
    assert path.read_bytes() == before


def test_journal_mode_is_wal(tmp_path):
    """A SQLite ledger uses WAL mode, in which readers and the writer do not block each other."""
    Ledger.open(str(tmp_path / "ledger.db")).close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
