"""Tests of ledger addresses: each one opens a ledger or raises a one-line error that omits the password."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger

from .records import as_cells

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "mysql://host/db", "mysql+pymysql://u:secret@host/db", "sqlite://", "sqlite:///", "postgres:/x"),
        *("postgresql://h/db?prepare_threshold=often", "postgresql://h/db?prepare_threshold=-1"),
        *("postgresql://h/db?connect_timeout=soon", "postgresql://h/db?theme=red", "postgresql://h/db?autocommit=1"),
        *("postgresql://h/db?cursor_factory=x", "postgresql://h/db?sslmode=require&sslmode=disable"),
        *("postgresql://h/db?keepalives=no", "sqlite:////tmp/x.db?theme=red", "postgresql:x", "sqlite:/x.db"),
        *("postgresql://h/db?connect_timeout=" + "9" * 30, "postgresql://h:port/db", "postgresql://h/db?port=x"),
    ],
)
def test_invalid_address_is_refused_in_one_line(url):
    """An invalid address raises BadLedger before any connection is made.

    The error is one line that states the next step and omits the password.
    """
    with pytest.raises(BadLedger, match="--ledger") as caught:
        Ledger.open(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("postgres://me:secret@127.0.0.1:1/db", "postgresql+psycopg2://me:secret@127.0.0.1:1/db"),
        *("postgresql://me:p%40secret@[::1]:1/db", "postgresql://me:secret@/db?host=127.0.0.1:1,127.0.0.1:2"),
        "postgresql://me:secret@/db?host=127.0.0.1&port=1&sslmode=disable&connect_timeout=2&prepare_threshold=0",
        *("postgresql://me:secret@127.0.0.1:1/db?sslmode=nonsense", "postgresql:///db?host=/nonexistent"),
    ],
)
def test_every_spelling_of_an_unreachable_server_reaches_the_driver(url):
    """An address in any valid form is passed on to the database driver.

    The resulting error about the unreachable server is one line without the password.
    """
    with pytest.raises(BadLedger, match="same command again") as caught:
        Ledger.open(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "postgres+what://x", "http://a/b", "://"]
)
def test_unsupported_databases_are_refused(url):
    """Every database except SQLite files and PostgreSQL is rejected."""
    with pytest.raises(BadLedger, match="--ledger"):
        Ledger.open(url)


def test_unreachable_server_is_named_without_its_password():
    """Opening a ledger on an unreachable server fails at once.

    The error shows the address without the password.
    """
    began = time.monotonic()
    with pytest.raises(BadLedger, match=r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/db ") as caught:
        Ledger.open("postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 5


@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    value=st.text(st.characters(codec="utf-8"), max_size=20),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_query_option_ends_in_a_traceback(key, value):
    """Opening the address of an unreachable server with any query option raises a one-line BadLedger error."""
    with pytest.raises(BadLedger) as caught:
        Ledger.open(f"postgresql://127.0.0.1:1/db?{quote(key)}={quote(value)}")
    assert "\n" not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
@pytest.mark.parametrize("options", ["", "&prepare_threshold=0", "&prepare_threshold=5&connect_timeout=3"])
def test_every_spelling_of_a_postgresql_address_opens_its_ledger(postgres, scheme, options):
    """A ledger's PostgreSQL address may have the old scheme, name a Python driver or contain numeric options."""
    with Ledger.open(postgres.url("postgres").replace("postgresql:", f"{scheme}:", 1) + options) as ledger:
        ledger.studies.put("spelled", {}, cells={})
        assert "spelled" in {study.study for study in ledger.studies.all()}


@pytest.mark.postgres
def test_password_is_percent_decoded(postgres):
    """A password with percent-encoded characters is accepted and is not shown."""
    with Ledger.open(postgres.url("postgres").replace("postgres@", "postgres:p%40ss%2F%3A%25@", 1)) as ledger:
        assert "p%40ss" not in ledger.url


@pytest.fixture
def pgbouncer(postgres) -> Iterator[str]:
    """Yield the address of a PgBouncer in transaction mode, which shares two server connections among all clients."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer: apt-get install pgbouncer")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bounced")
    home = Path(tempfile.mkdtemp(prefix="nefpb", dir="/tmp"))
    (home / "users").write_text('"postgres" ""\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\nbounced = host={postgres.home} user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"
        f"unix_socket_dir = {home}\nauth_type = any\nauth_file = {home}/users\npool_mode = transaction\n"
        f"default_pool_size = 2\nlogfile = {home}/log\n"
    )
    command = [program, "-q", str(home / "pgbouncer.ini")]
    if os.getuid() == 0:  # PgBouncer refuses to run as root
        os.chown(home, pwd.getpwnam("postgres").pw_uid, -1)
        command[1:1] = ["-u", "postgres"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (home / ".s.PGSQL.6432").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield f"postgresql://postgres@/bounced?host={home}&port=6432"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(home)
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE bounced WITH (FORCE)")


@pytest.mark.postgres
def test_ledgers_share_connections_of_pgbouncer_in_transaction_mode(pgbouncer, finish: Callable):
    """Six ledgers can share the two server connections of a PgBouncer in transaction mode.

    PgBouncer keeps no prepared statement, lock or setting between transactions. Events stay in order and every
    result exists once.
    """
    with Ledger.open(pgbouncer) as ledger:
        ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 48}))

    def work(first: int) -> None:
        with Ledger.open(pgbouncer) as ledger:
            for seed in range(first, first + 8):
                finish(ledger, seed)
                ledger.trials.page("digits")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(0, 48, 8)))
    with Ledger.open(pgbouncer, read_only=True) as ledger:
        assert len(ledger.trials.page("digits", limit=None).rows) == 48
        seen = [event.seq for event in ledger.events.since(0, limit=10**4)]
        assert seen == sorted(set(seen))
        completed = [event.key for event in ledger.events.since(0, limit=10**4) if event.kind == "complete"]
        assert len(completed) == len(set(completed)) == 48
