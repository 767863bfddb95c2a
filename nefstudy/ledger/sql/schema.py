"""The ledger's tables and their version.

studies ─┬─ cells       planned trials, task and objective of each (phase, cell)
         ├─ leases      the process that drives the study; also the exporter
         ├─ commands    requests from users to the driver
         ├─ events      changes, numbered in commit order
         └─ trials ─┬─ documents            large texts, kept apart so that scans of trials read less
                    ├─ measures ── names    every metric and parameter, indexed by (name, value)
                    ├─ curves, artifacts
                    └─ outbox               results not exported yet
neural_datasets                             by digest, shared by all studies
commits                                     nonces of writes to a server whose responses may have been lost
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
)

from nefstudy.errors import BadLedger, NoLedger, OtherVersion

VERSION = 11

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite assigns row ids only to an INTEGER PRIMARY KEY


def _where(condition: str) -> dict[str, Any]:
    """Return the options of a partial index over the rows that meet a condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


ledger_schema = Table("ledger_schema", metadata, Column("version", Integer, nullable=False))

studies = Table(
    "studies",
    metadata,
    Column("study", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

cells = Table(
    "cells",
    metadata,
    Column("study", Text, primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("cell", Text, primary_key=True),
    Column("position", Integer, nullable=False),  # in the order in which cells were first planned
    Column("planned", Integer, nullable=False),
    Column("stopped", Text),  # reason for skipping the remaining trials; NULL if the cell is not stopped
    Column("task", Text, nullable=False),
    Column("metric", Text, nullable=False),  # its value is a trial's score
    Column("direction", Text, nullable=False),  # maximize | minimize
)

trials = Table(
    "trials",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("study", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("score", Double),  # value of the cell's metric; NULL unless finite
    Column("dataset", Text),
    Column("cause", Text),
    Column("reused", Boolean, nullable=False),
    Column("requested_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    UniqueConstraint("study", "phase", "key"),
    Index("trials_by_key", "key"),
    Index("trials_by_state", "study", "phase", "cell", "state"),
    Index("trials_by_score", "study", "score"),
    Index("trials_by_score_in_cell", "study", "phase", "cell", "score"),
    Index("trials_by_end", "study", "ended_at"),
    Index("trials_by_cause", "study", "cause", "phase", "cell", **_where("cause IS NOT NULL")),
    Index("trials_of_study", "study", "id"),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    Column("trial_id", _Id, ForeignKey("trials.id"), primary_key=True, autoincrement=False),
    Column("config", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("error", Text),
)

names = Table(
    "names",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("study", Text, nullable=False),
    Column("kind", Text, nullable=False),  # metric | parameter
    Column("name", Text, nullable=False),
    Column("textual", Boolean, nullable=False),
    UniqueConstraint("study", "kind", "name"),
)

measures = Table(
    "measures",
    metadata,
    Column("trial_id", _Id, primary_key=True, autoincrement=False),
    Column("name_id", _Id, primary_key=True, autoincrement=False),
    Column("number", Double),
    Column("word", Text),
    # a row holds either a number or a word, so partial indexes are smaller
    Index("measures_by_number", "name_id", "number", "trial_id", **_where("number IS NOT NULL")),
    Index("measures_by_word", "name_id", "word", "trial_id", **_where("word IS NOT NULL")),
    sqlite_with_rowid=False,
)

curves = Table(
    "curves",
    metadata,
    Column("trial_id", _Id, ForeignKey("trials.id"), primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("points", Text, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("trial_id", _Id, ForeignKey("trials.id"), primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("trial_id", _Id, ForeignKey("trials.id"), nullable=False, unique=True),
    Column("done", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("error", Text),
    Index("outbox_by_tries", "done", "tries", "id"),
    sqlite_autoincrement=True,
)

neural_datasets = Table(
    "neural_datasets",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("rungs", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("study", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("nonce", Text),  # of the holder; NULL when released
    Column("owner", Text, nullable=False),
    Column("lease_s", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("seen_at", Double, nullable=False),  # by the database's clock
    Column("seen_monotonic", Double, nullable=False),  # by the holder's monotonic clock, valid on its machine only
)

commands = Table(
    "commands",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("study", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("settled_at", Double),
    Column("outcome", Text),
    UniqueConstraint("study", "idempotency_key"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("seq", _Id, primary_key=True),
    Column("study", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("phase", Text),
    Column("key", Text),
    Column("data", Text, nullable=False),
    Column("at", Double, nullable=False),
    Index("events_by_study", "study", "seq"),
    Index("events_of_retries", "study", **_where("kind = 'retried'")),
    sqlite_autoincrement=True,
)


commits = Table("commits", metadata, Column("nonce", Text, primary_key=True))


def version(connection: Connection) -> int | None:
    """Return the schema version of a database, or None if it is empty.

    Raises:
        BadLedger: the database has tables, but is not a ledger.
    """
    tables = set(inspect(connection).get_table_names())
    if ledger_schema.name in tables:
        return int(connection.execute(select(ledger_schema.c.version)).scalar_one())
    if tables:
        raise BadLedger(
            f"this database holds other tables ({', '.join(sorted(tables)[:3])}) and is not a nefstudy ledger; "
            "use a separate database for the ledger"
        )
    return None


def check(version: int | None, *, location: str) -> None:
    """Check that this program can read schema version `version`.

    Raises:
        NoLedger: the version is None. OtherVersion: it is newer or older.
    """
    if version is None:
        raise NoLedger(f"no ledger at {location}; pass the ledger of a study with --ledger or --root, or run a study")
    if version > VERSION:
        raise OtherVersion(
            f"the ledger {location} has version {version}, but this nefstudy reads up to version {VERSION}; "
            "update nefstudy or pass another --ledger"
        )
    if version < VERSION:
        raise OtherVersion(
            f"the ledger {location} was written by an earlier nefstudy (version {version}, not {VERSION}); "
            "start a new root or pass another --ledger"
        )


def create(connection: Connection) -> None:
    """Create the tables in an empty database; do nothing if the database is already a ledger."""
    if version(connection) is None:
        metadata.create_all(connection)
        connection.execute(insert(ledger_schema).values(version=VERSION))
