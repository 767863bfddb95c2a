"""A database as the ledger uses it: whole transactions, one writer at a time, patience while it is away."""

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
from nefstudy.ledger import schema
from nefstudy.ledger.address import address_of, connection_options, shown_address

T = TypeVar("T")

WRITER = 0x6E6566  # PostgreSQL advisory lock: commits get their event numbers in commit order
BUSY_S = 10.0  # SQLite waits this long for another writer before we count a try as failed
CACHE_KB = {"rwc": 16_000, "rw": 2_000, "ro": 2_000}  # of each connection: a driver has few, the service a handful
SQLITE_LOCKS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_PASSING = (*SQLITE_LOCKS, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL)
# SQLSTATE: no connection, transaction rolled back, too few resources, operator intervention
PASSING_CLASSES = ("", "08", "40", "53", "57")
READ_ONLY = "25006"  # a standby, or a primary that was demoted, until a failover is complete
PASSING_STATES = (READ_ONLY, "25P03", "55P03", "58030")  # also: idle too long, lock not available, I/O error
# A write is signed by a row of its own: transaction numbers are used again after a crash of the server
_LANDED = text("SELECT 1 FROM commits WHERE nonce = :nonce")
_SIGN = text(
    "WITH heard AS (DELETE FROM commits WHERE nonce = ANY(CAST(:heard AS text[]))) INSERT INTO commits VALUES (:nonce)"
)
CHECK_S = 2.0  # a ledger of somebody else's is asked this often whether its version is still ours


@final
class Database:
    """Runs functions of a connection as transactions; the same function may run again after a lost connection.

    Args:
        existing: another program makes the ledger; it is looked for at each use.
    """

    def __init__(
        self, url: str, *, read_only: bool, patience_s: float, clock: Callable[[], float], existing: bool = False
    ) -> None:
        self.address = address_of(url)
        self.where = self.address.database if self.is_sqlite else shown_address(self.address)
        self.read_only = read_only
        self.clock = clock
        self._patience_s = patience_s
        self._existing = existing
        self._makes = not (read_only or existing)
        self._busy_s = min(BUSY_S, patience_s)
        mode = "ro" if read_only else "rw" if existing else "rwc"
        self._engine = (
            _sqlite(self.address, mode=mode, busy_s=self._busy_s) if self.is_sqlite else _server(self.address)
        )
        self._readers = (
            self._engine if self.is_sqlite else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._writers = self._engine.execution_options(nefstudy_writes=True)
        self._lock = threading.Lock()
        self._heard: list[str] = []
        self._file: tuple[int, ...] | None = None
        self._table: int | None = None
        self._checked_at = -math.inf
        self.edition = 0  # counts the databases that were found at the address one after the other

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.address.get_backend_name() == "sqlite"

    def prepare(self) -> None:
        """Create the tables where that is allowed; raise BadLedger where they cannot be used."""
        identity = self._identity()
        if self.is_sqlite:
            self._prepare_file()
        wait_s = self._busy_s if self.is_sqlite else 0.0
        found, table = self._patiently(self._readers, self._look, patience_s=wait_s)
        if self._makes and found is None:
            self._patiently(self._writers, self._create, patience_s=self._busy_s)
            found, table = self._patiently(self._readers, self._look, patience_s=wait_s)
        if found is None and self._existing and self.edition:
            raise BadLedger(f"the ledger {self.where} was emptied; restore it and run the same command again")
        schema.check(found, where=str(self.where))
        if not self.edition or (identity, table) != (self._file, self._table):
            self.edition += 1
        self._file, self._table = self._identity(), table
        self._checked_at = time.monotonic()

    def _look(self, connection: Connection) -> tuple[int | None, int | None]:
        """The version of the tables, and on a server which tables they are: another ledger's have other numbers."""
        version = schema.version(connection)
        if self.is_sqlite or version is None:
            return version, None
        return version, connection.execute(text("SELECT CAST(to_regclass('ledger_schema') AS oid)")).scalar_one()

    def _follow(self) -> None:
        """Turn to the file that is at the path now: a connection would go on with one that was removed or replaced."""
        if self.is_sqlite and self._identity() != self._file:
            self._engine.dispose()
            if self._file is not None and not Path(str(self.where)).is_file():
                raise BadLedger(f"the ledger {self.where} was removed; put it back and run the same command again")
            self.prepare()
        elif self._existing and time.monotonic() - self._checked_at > CHECK_S:
            self.prepare()

    def _identity(self) -> tuple[int, ...] | None:
        """The file at the path; of one that is read as frozen also its last change, which such a reader cannot see."""
        if not self.is_sqlite:
            return None
        path = Path(str(self.where))
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # its mount is away: not removed, and the transaction that follows waits for it
            return self._file
        frozen = (found.st_mtime_ns, found.st_size) if not self._makes and is_frozen(path) else ()
        return found.st_dev, found.st_ino, *frozen

    def _create(self, connection: Connection) -> None:
        self._exclude(connection)
        schema.create(connection)

    def _prepare_file(self) -> None:
        path = Path(str(self.where))
        if not self._makes:
            if not path.is_file():
                schema.check(None, where=str(path))
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadLedger(f"cannot create {path.parent} for the ledger: {error.strerror}; correct --ledger") from None

    def read(self, act: Callable[[Connection], T]) -> T:
        """What `act` returns, all its reads from one snapshot."""
        self._follow()
        return self._patiently(self._readers, act, patience_s=self._patience_s)

    def write(self, act: Callable[[Connection], T]) -> T:
        """What `act` returns once everything it wrote is committed and on disk."""
        if self.read_only:
            raise BadLedger(f"the ledger {self.where} was opened read-only; open it for writing")

        tried: list[tuple[str, T]] = []  # tries of this write on a server whose answers may have been lost

        def alone(connection: Connection) -> T:
            if self.is_sqlite:  # a commit that fails for a moment (busy, locked) has not landed
                return act(connection)
            self._exclude(connection)
            for nonce, found in tried:
                if connection.execute(_LANDED, {"nonce": nonce}).first():
                    return found
            nonce = uuid4().hex
            connection.execute(_SIGN, {"nonce": nonce, "heard": self._take_heard()})
            found = act(connection)
            tried.append((nonce, found))
            return found

        self._follow()
        found = self._patiently(self._writers, alone, patience_s=self._patience_s)
        with self._lock:
            self._heard += [nonce for nonce, _ in tried]
        return found

    def _take_heard(self) -> list[str]:
        """Return the signatures of writes whose answers arrived, for deletion."""
        with self._lock:
            heard, self._heard = self._heard, []
        return heard

    def now(self, connection: Connection) -> float:
        """Seconds by the database's own clock: all drivers of a server share it, whatever their hosts think."""
        if self.is_sqlite:
            return self.clock()
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _exclude(self, connection: Connection) -> None:
        """Become the only writer; SQLite's own transactions do that already."""
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER})

    def _patiently(self, engine: Engine, act: Callable[[Connection], T], *, patience_s: float) -> T:
        deadline = time.monotonic() + patience_s
        pause = 0.05
        while True:
            try:
                with engine.begin() as connection:
                    return act(connection)
            except (DataError, OverflowError, UnicodeError) as error:
                raise BadConfig(
                    f"a value given cannot be held by the ledger: {_first_line(error)}; correct it"
                ) from error
            except DBAPIError as error:
                if not self._passes(error) or time.monotonic() + pause > deadline:
                    raise BadLedger(self._complaint(error)) from error
                if _sqlstate(error) == READ_ONLY:
                    self._engine.dispose()  # these connections lead to a standby; new ones may reach the primary
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _passes(self, error: DBAPIError) -> bool:
        if self.is_sqlite:
            passing = SQLITE_PASSING if self.edition else SQLITE_LOCKS  # a path that never opened is just wrong
            return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in passing
        state = _sqlstate(error)
        return error.connection_invalidated or state[:2] in PASSING_CLASSES or state in PASSING_STATES

    def _complaint(self, error: DBAPIError) -> str:
        said = _first_line(error)
        path = Path(str(self.where))
        if self.is_sqlite and not self._makes and not os.access(path.parent, os.W_OK) and holds_changes(path):
            said += f" (changes in {path.name}-wal cannot be read in a directory that cannot be written)"
            return f"the ledger {path} cannot be used: {said}; run `nefstudy status` once where it can be written"
        return f"the ledger {self.where} cannot be used: {said}; mend that and run the same command again"


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _server(address: URL) -> Engine:
    return create_engine(address, pool_pre_ping=True, connect_args=connection_options(address))


def is_frozen(path: Path) -> bool:
    """Return whether a SQLite file is complete and its directory cannot be written.

    SQLite reads a WAL database through a -shm file that it creates; without that right it must be told that the
    file does not change (https://sqlite.org/wal.html#read_only_databases).
    """
    return not os.access(path.parent, os.W_OK) and not holds_changes(path)


def holds_changes(path: Path) -> bool:
    """Return whether commits may wait next to a SQLite file to be merged into it."""
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
        if mode == "rwc":  # only its maker may turn a file into a ledger
            connection.execute("PRAGMA journal_mode=WAL")
        if mode != "ro":
            connection.execute("PRAGMA synchronous=FULL")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=8)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # a transaction that starts as a reader cannot become the writer once somebody else has written
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if connection.get_execution_options().get("nefstudy_writes") else "BEGIN"
        )

    return engine
