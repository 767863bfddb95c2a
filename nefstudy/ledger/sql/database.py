"""The connection to the ledger's database: one writer at a time, and retries while it is locked or unreachable."""

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, final
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, func, select, text
from sqlalchemy.exc import DataError, DBAPIError

from nefstudy.errors import BadConfig, BadLedger
from nefstudy.ledger.sql import schema
from nefstudy.ledger.sql.address import address_of, connection_options, redacted_address

T = TypeVar("T")

WRITER = 0x6E6566  # key of the PostgreSQL advisory lock of writers, so that event numbers follow commit order
BUSY_S = 10.0  # SQLite waits this long for another writer before a try counts as failed
CACHE_KB = {"rwc": 16_000, "rw": 2_000, "ro": 2_000}  # per connection; a driver has fewer of them than the service
SQLITE_LOCKS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_TRANSIENT = (*SQLITE_LOCKS, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL)
# SQLSTATE: no connection, transaction rolled back, too few resources, operator intervention
TRANSIENT_CLASSES = ("", "08", "40", "53", "57")
READ_ONLY = "25006"  # a standby or a demoted primary, until a failover is complete
TRANSIENT_STATES = (READ_ONLY, "25P03", "55P03", "58030")  # also: idle too long, lock not available, I/O error
# Each write inserts a nonce, so that a retry can see whether it was committed. Transaction numbers do not work: a
# server that crashed may assign the same number again.
_IS_COMMITTED = text("SELECT 1 FROM commits WHERE nonce = :nonce")
_INSERT_NONCE = text(
    "WITH acknowledged AS (DELETE FROM commits WHERE nonce = ANY(CAST(:acknowledged AS text[]))) "
    "INSERT INTO commits VALUES (:nonce)"
)
CHECK_S = 2.0  # seconds between checks of the version of a ledger that another program maintains


@final
class Database:
    """A database that runs callables as transactions and reruns them after a lost connection.

    Args:
        existing: whether another program creates the ledger; this one then looks for it on each use.
    """

    def __init__(
        self, url: str, *, read_only: bool, timeout_s: float, clock: Callable[[], float], existing: bool = False
    ) -> None:
        self.address = address_of(url)
        self.location = self.address.database if self.is_sqlite else redacted_address(self.address)
        self.read_only = read_only
        self.clock = clock
        self._timeout_s = timeout_s
        self._existing = existing
        self._creates = not (read_only or existing)
        self._busy_s = min(BUSY_S, timeout_s)
        mode = "ro" if read_only else "rw" if existing else "rwc"
        self._engine = (
            _sqlite(self.address, mode=mode, busy_s=self._busy_s) if self.is_sqlite else _server(self.address)
        )
        self._readers = (
            self._engine if self.is_sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._writers = self._engine.execution_options(nefstudy_writes=True)
        self._lock = threading.Lock()
        self._acknowledged: list[str] = []
        self._file: tuple[int, ...] | None = None
        self._table: int | None = None
        self._checked_at = -math.inf
        self.generation = 0  # number of different databases found at the address so far

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.address.get_backend_name() == "sqlite"

    def prepare(self) -> None:
        """Create missing tables if this program may create a ledger; raise BadLedger if the database is unusable."""
        identity = self._file_identity()
        if self.is_sqlite:
            self._prepare_file()
        wait_s = self._busy_s if self.is_sqlite else 0.0
        version, table = self._with_retries(self._readers, self._read_version, timeout_s=wait_s)
        if self._creates and version is None:
            self._with_retries(self._writers, self._create, timeout_s=self._busy_s)
            version, table = self._with_retries(self._readers, self._read_version, timeout_s=wait_s)
        if version is None and self._existing and self.generation:
            raise BadLedger(f"the ledger {self.location} was emptied; restore it and run the same command again")
        schema.check(version, location=str(self.location))
        if not self.generation or (identity, table) != (self._file, self._table):
            self.generation += 1
        self._file, self._table = self._file_identity(), table
        self._checked_at = time.monotonic()

    def _read_version(self, connection: Connection) -> tuple[int | None, int | None]:
        """Return the schema version and, on a server, the table's object id, which reveals a replaced ledger."""
        version = schema.version(connection)
        if self.is_sqlite or version is None:
            return version, None
        return version, connection.execute(text("SELECT CAST(to_regclass('ledger_schema') AS oid)")).scalar_one()

    def _follow(self) -> None:
        """Reopen a file that was replaced, because open connections would keep using the old file."""
        if self.is_sqlite and self._file_identity() != self._file:
            self._engine.dispose()
            if self._file is not None and not Path(str(self.location)).is_file():
                raise BadLedger(f"the ledger {self.location} was removed; restore it and run the same command again")
            self.prepare()
        elif self._existing and time.monotonic() - self._checked_at > CHECK_S:
            self.prepare()

    def _file_identity(self) -> tuple[int, ...] | None:
        """Return the device and inode of a SQLite file, with its modification time and size if the file is frozen.

        Connections to a frozen file do not notice changes to it.
        """
        if not self.is_sqlite:
            return None
        path = Path(str(self.location))
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # the mount is unavailable: the file is not removed, and the next transaction retries
            return self._file
        frozen = (stat.st_mtime_ns, stat.st_size) if not self._creates and is_frozen(path) else ()
        return stat.st_dev, stat.st_ino, *frozen

    def _create(self, connection: Connection) -> None:
        self._lock_writers(connection)
        schema.create(connection)

    def _prepare_file(self) -> None:
        path = Path(str(self.location))
        if not self._creates:
            if not path.is_file():
                schema.check(None, location=str(path))
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadLedger(f"cannot create {path.parent} for the ledger: {error.strerror}; correct --ledger") from None

    def read(self, act: Callable[[Connection], T]) -> T:
        """Run `act` on one snapshot of the database and return its result."""
        self._follow()
        return self._with_retries(self._readers, act, timeout_s=self._timeout_s)

    def write(self, act: Callable[[Connection], T]) -> T:
        """Run `act` and return its result once its writes are committed and on disk."""
        if self.read_only:
            raise BadLedger(f"the ledger {self.location} was opened read-only; open it for writing")

        tries: list[tuple[str, T]] = []  # on a server, each may have been committed although its response was lost

        def act_once(connection: Connection) -> T:
            if self.is_sqlite:  # a commit that fails as busy or locked was not made
                return act(connection)
            self._lock_writers(connection)
            for nonce, result in tries:
                if connection.execute(_IS_COMMITTED, {"nonce": nonce}).first():
                    return result
            nonce = uuid4().hex
            connection.execute(_INSERT_NONCE, {"nonce": nonce, "acknowledged": self._take_acknowledged()})
            result = act(connection)
            tries.append((nonce, result))
            return result

        self._follow()
        result = self._with_retries(self._writers, act_once, timeout_s=self._timeout_s)
        with self._lock:
            self._acknowledged += [nonce for nonce, _ in tries]
        return result

    def _take_acknowledged(self) -> list[str]:
        """Remove the nonces of acknowledged writes from memory and return them, so that their rows can be deleted."""
        with self._lock:
            acknowledged, self._acknowledged = self._acknowledged, []
        return acknowledged

    def now(self, connection: Connection) -> float:
        """Return the time of the database's clock in UTC seconds.

        All drivers that use one server share this clock.
        """
        if self.is_sqlite:
            return self.clock()
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _lock_writers(self, connection: Connection) -> None:
        """Lock out other writers until the transaction ends; a no-op on SQLite, which already does this."""
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER})

    def _with_retries(self, engine: Engine, act: Callable[[Connection], T], *, timeout_s: float) -> T:
        """Run `act` in a transaction, retrying transient errors until `timeout_s` has passed."""
        deadline = time.monotonic() + timeout_s
        pause = 0.05
        while True:
            try:
                with engine.begin() as connection:
                    return act(connection)
            except (DataError, OverflowError, UnicodeError) as error:
                raise BadConfig(f"the ledger cannot store a value: {_first_line(error)}; correct it") from error
            except DBAPIError as error:
                if not self._is_transient(error) or time.monotonic() + pause > deadline:
                    raise BadLedger(self._message(error)) from error
                if _sqlstate(error) == READ_ONLY:
                    self._engine.dispose()  # these connections reach a standby; new ones may reach the primary
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _is_transient(self, error: DBAPIError) -> bool:
        if self.is_sqlite:
            codes = SQLITE_TRANSIENT if self.generation else SQLITE_LOCKS  # a path that never opened is a wrong path
            return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in codes
        state = _sqlstate(error)
        return error.connection_invalidated or state[:2] in TRANSIENT_CLASSES or state in TRANSIENT_STATES

    def _message(self, error: DBAPIError) -> str:
        reason = _first_line(error)
        path = Path(str(self.location))
        if self.is_sqlite and not self._creates and not os.access(path.parent, os.W_OK) and holds_changes(path):
            reason += f" (reading the changes in {path.name}-wal needs write access to the directory)"
            return f"the ledger {path} cannot be used: {reason}; run `nefstudy status` once with write access"
        return f"the ledger {self.location} cannot be used: {reason}; fix this, then run the same command again"


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _server(address: URL) -> Engine:
    return create_engine(address, pool_pre_ping=True, connect_args=connection_options(address))


def is_frozen(path: Path) -> bool:
    """Return whether SQLite must treat a file as immutable: it has no pending changes and an unwritable directory.

    To read a WAL database, SQLite creates a -shm file. Where it cannot, the connection must declare the file immutable
    (https://sqlite.org/wal.html#read_only_databases).
    """
    return not os.access(path.parent, os.W_OK) and not holds_changes(path)


def holds_changes(path: Path) -> bool:
    """Return whether the WAL next to a SQLite file is not empty.

    It may hold commits that are not in the file yet.
    """
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _sqlite(address: URL, *, mode: str, busy_s: float) -> Engine:
    path = Path(str(address.database)).absolute()
    uri = f"file://{quote(str(path))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        frozen = "&immutable=1" if mode != "rwc" and is_frozen(path) else ""
        connection = sqlite3.connect(
            uri + frozen, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB[mode]}")
        if mode == "rwc":  # only the program that creates a ledger sets its journal mode, which is stored in the file
            connection.execute("PRAGMA journal_mode=WAL")
        if mode != "ro":
            connection.execute("PRAGMA synchronous=FULL")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=8)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # a transaction that starts as a reader cannot become a writer once another connection has written
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if connection.get_execution_options().get("nefstudy_writes") else "BEGIN"
        )

    return engine
