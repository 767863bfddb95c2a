"""Parsing and validation of ledger addresses, before anything connects."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from nefstudy.errors import BadLedger
from nefstudy.outside_text import printable, shortened, without_secrets
from nefstudy.paths import expanded

OLD_SCHEME, SCHEME = "postgres://", "postgresql://"
# Detect an unresponsive server within half a minute. TCP's defaults wait a quarter of an hour for an acknowledgment,
# and indefinitely for a response.
TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # ms
}
NUMERIC_OPTIONS = {*TIMEOUTS, "keepalives", "prepare_threshold"}
LIST_OPTIONS = ("host", "port")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MISTYPED = re.compile(r"(sqlite|postgres|mysql|mariadb)\w*(\+\w+)?:")  # a scheme without // after it


def address_of(url: str) -> URL:
    """Parse a path, sqlite:///PATH or postgresql://... and return its address.

    Raises:
        BadLedger: the text is none of these, or has an option that the database driver does not accept.
    """
    if not url.strip() or "\0" in url or ("://" not in url and _MISTYPED.match(url)):
        raise BadLedger(f"ledger {_shown(url)} is not a path, sqlite:///PATH or postgresql://...; correct --ledger")
    try:
        url.encode()
    except UnicodeEncodeError:
        raise BadLedger(f"ledger {url!a} is not UTF-8; rename its folder or pass another --ledger") from None
    if "://" not in url:
        return URL.create("sqlite", database=str(expanded(url)))
    if url.startswith(OLD_SCHEME):
        url = SCHEME + url.removeprefix(OLD_SCHEME)
    try:
        address = make_url(url)
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise BadLedger(
            f"ledger {_shown(url)} is not a path, sqlite:///PATH or postgresql://...; correct --ledger"
        ) from None
    if address.get_backend_name() == "postgresql":
        _check_user_info(url)
        address = address.set(drivername="postgresql+psycopg")
        _check_options(address)
        return address
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        raise BadLedger(f"ledger {_shown(url)}: only SQLite files and PostgreSQL are supported; correct --ledger")
    if "?" in url:
        raise BadLedger(
            f"ledger {_shown(url)}: SQLite addresses have no options after '?'; correct --ledger (in a path, write %3F)"
        )
    return address.set(database=str(expanded(address.database)))


def ledger_file(url: str) -> Path | None:
    """Return the path of a SQLite ledger as given in its address, or None for a ledger on a server.

    Raises:
        BadLedger: see `address_of`.
    """
    address = address_of(url)
    return Path(str(address.database)) if address.get_backend_name() == "sqlite" else None


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file; the path may contain any characters."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def redacted_address(address: URL) -> str:
    """Return an address as text without its password, even if the password is in the query string."""
    return without_secrets(address.render_as_string(hide_password=True))


def mlflow_url(path: Path) -> str:
    """Return the URL of an MLflow store in a SQLite file.

    Given a sqlite:/// URL, MLflow creates the file's folder under its percent-encoded name, next to the intended one.
    A URL that names the driver avoids this.
    """
    url = sqlite_url(path)
    return url if url == f"sqlite:///{path}" else url.replace("sqlite", "sqlite+pysqlite", 1)


def connection_options(address: URL) -> dict[str, Any]:
    """Return the keyword arguments for psycopg, with numeric options as int.

    Prepared statements are off unless the address enables them: behind a PgBouncer in transaction mode, the next
    transaction may run on a connection that does not have them.
    """
    numeric = {name: int(str(value)) for name, value in address.query.items() if name in NUMERIC_OPTIONS}
    return {**TIMEOUTS, "prepare_threshold": None, **numeric}


def _check_user_info(url: str) -> None:
    """Reject user info that contains @ or /, because the URL parser would cut the password there."""
    user_info, at, _ = url.partition("://")[2].partition("?")[0].rpartition("@")
    if at and any(mark in user_info for mark in "@/"):
        raise BadLedger(f"ledger {_shown(url)}: its user or password contains @ or /; write them as %40 and %2F")


def _check_options(address: URL) -> None:
    try:
        from psycopg.pq import Conninfo
    except ImportError:
        raise BadLedger("a PostgreSQL ledger needs psycopg; run: pip install 'nefstudy[postgres]'") from None
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"prepare_threshold"}
    for name, value in address.query.items():
        shown = without_secrets(printable(f"{name}={','.join(value) if isinstance(value, tuple) else value}"))
        if name not in known:
            raise BadLedger(
                f"ledger option {shortened(shown, 80)!r} is not one of PostgreSQL's connection parameters "
                "(sslmode, connect_timeout, ...) or prepare_threshold; correct --ledger"
            )
        if isinstance(value, tuple) and name not in LIST_OPTIONS:
            raise BadLedger(
                f"ledger option {shown!r} occurs {len(value)} times, at most 1 is allowed; correct --ledger"
            )
        if name in NUMERIC_OPTIONS and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
            raise BadLedger(f"ledger option {shown!r} must be a whole number from 0 to 999999999; correct --ledger")
    try:
        address.get_dialect()().create_connect_args(address)
    except (ArgumentError, ValueError) as error:
        raise BadLedger(f"ledger hosts or ports are invalid: {str(error).splitlines()[0]}; correct --ledger") from None


def _shown(url: str) -> str:
    return repr(shortened(without_secrets(printable(url)), 200))
