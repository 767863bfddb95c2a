"""Opening: what is no ledger, or another version's, is refused with what to do."""

import sqlite3
import threading

import pytest
from sqlalchemy import create_engine, text

from nefstudy.errors import BadLedger, OtherVersion
from nefstudy.ledger import Ledger, schema


@pytest.fixture
def engine(url):
    """A plain connection to the database under a ledger."""
    Ledger.open(url).close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def set_version(engine, version):
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_schema SET version = :version"), {"version": version})


@pytest.mark.parametrize("read_only", [False, True])
def test_newer_ledger_is_refused(url, engine, read_only):
    """A ledger of a newer program is not touched, and the message says to update."""
    set_version(engine, schema.VERSION + 1)
    with pytest.raises(BadLedger, match=f"has version {schema.VERSION + 1}, .* update nefstudy") as caught:
        Ledger.open(url, read_only=read_only)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("version", [1, schema.VERSION - 1])
def test_a_ledger_of_the_first_edition_is_refused(url, engine, version, read_only):
    """One line says to start a new root; nothing is changed."""
    set_version(engine, version)
    with pytest.raises(OtherVersion, match=r"was written by the first edition .* start a new root") as caught:
        Ledger.open(url, read_only=read_only)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    with engine.connect() as connection:
        assert schema.version(connection) == version


def test_other_databases_are_refused(url):
    """A database with somebody else's tables is not made a ledger."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE experiments (id INTEGER)"))
    engine.dispose()
    with pytest.raises(BadLedger, match=r"holds other tables \(experiments\) and is not a nefstudy ledger"):
        Ledger.open(url)


def test_drivers_that_start_together_create_one_ledger(url):
    """Opening a new ledger from several threads at once works for all of them."""
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


def test_file_that_is_no_database_is_refused(tmp_path):
    """Any other file given as a ledger is named and left alone."""
    path = tmp_path / "ledger.db"
    path.write_text("signals,fields\n" * 1000)
    before = path.read_bytes()
    with pytest.raises(BadLedger, match="file is not a database"):
        Ledger.open(str(path))
    assert path.read_bytes() == before


def test_writes_are_synchronous(tmp_path):
    """A SQLite ledger is in WAL mode, so readers and the writer do not wait for each other."""
    Ledger.open(str(tmp_path / "ledger.db")).close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
