"""A ledger's address as people write it, checked before anything connects."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from nefstudy.errors import BadLedger
from nefstudy.outside_text import printable, shortened, without_secrets
from nefstudy.paths import expanded

OLD_SCHEME, SCHEME = "postgres://", "postgresql://"
# a server that fell silent is given up within half a minute; TCP by itself waits a quarter of an hour to acknowledge
# what was sent, and for an answer for ever
PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # ms
}
NUMBERS = {*PATIENCE, "keepalives", "prepare_threshold"}
LISTS = ("host", "port")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MISTYPED = re.compile(r"(sqlite|postgres|mysql|mariadb)\w*(\+\w+)?:")  # a scheme, and what follows is not //


def address_of(url: str) -> URL:
    """Return the address of a path, sqlite:///PATH or postgresql://....

    Raises:
        BadLedger: it is neither, or has an option that its driver does not take.
    """
    if not url.strip() or "\0" in url or ("://" not in url and _MISTYPED.match(url)):
        raise BadLedger(f"ledger {_shown(url)} is not a path, sqlite:///PATH or postgresql://...; correct --ledger")
    try:
        url.encode()
    except UnicodeEncodeError:
        raise BadLedger(f"ledger {url!a} is not UTF-8; rename its folder, or pass another --ledger") from None
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
            f"ledger {_shown(url)}: a SQLite file takes no options after '?'; correct --ledger (in a path, ? is %3F)"
        )
    return address.set(database=str(expanded(address.database)))


def ledger_file(url: str) -> Path | None:
    """Return the file of a SQLite ledger, relative if its address is; None for a ledger on a server.

    Raises:
        BadLedger: as `address_of`.
    """
    address = address_of(url)
    return Path(str(address.database)) if address.get_backend_name() == "sqlite" else None


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file, whatever characters its path holds."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def shown_address(address: URL) -> str:
    """Return an address without its password, which may also be a value of its query."""
    return without_secrets(address.render_as_string(hide_password=True))


def mlflow_url(path: Path) -> str:
    """Return the URL of an MLflow store in a SQLite file.

    MLflow creates the folder that it reads from a sqlite:/// URL without decoding it, next to the real one; it leaves
    a URL that names the driver alone.
    """
    url = sqlite_url(path)
    return url if url == f"sqlite:///{path}" else url.replace("sqlite", "sqlite+pysqlite", 1)


def connection_options(address: URL) -> dict[str, Any]:
    """Return what psycopg is given besides the address itself; numbers are numbers.

    Prepared statements are off unless the address asks for them: behind a PgBouncer that deals connections out by
    transaction, they are some other session's.
    """
    given = {name: int(str(value)) for name, value in address.query.items() if name in NUMBERS}
    return {**PATIENCE, "prepare_threshold": None, **given}


def _check_user_info(url: str) -> None:
    """Refuse user info that holds what ends it: the rest of a password would be taken for a host or a database."""
    user_info, at, _ = url.partition("://")[2].partition("?")[0].rpartition("@")
    if at and any(mark in user_info for mark in "@/"):
        raise BadLedger(f"ledger {_shown(url)}: its user or password holds @ or /; write them as %40 and %2F")


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
        if isinstance(value, tuple) and name not in LISTS:
            raise BadLedger(f"ledger option {shown!r} is given {len(value)} times; correct --ledger")
        if name in NUMBERS and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
            raise BadLedger(f"ledger option {shown!r} must be a whole number from 0 to 999999999; correct --ledger")
    try:
        address.get_dialect()().create_connect_args(address)
    except (ArgumentError, ValueError) as error:
        raise BadLedger(f"the hosts of the ledger do not fit: {str(error).splitlines()[0]}; correct --ledger") from None


def _shown(url: str) -> str:
    return repr(shortened(without_secrets(printable(url)), 200))
