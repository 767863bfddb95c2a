"""Addresses of ledgers as people write them: each opens, or is refused in one line without its password."""

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
        *("postgresql://h/db?connect_timeout=soon", "postgresql://h/db?colour=red", "postgresql://h/db?autocommit=1"),
        *("postgresql://h/db?cursor_factory=x", "postgresql://h/db?sslmode=require&sslmode=disable"),
        *("postgresql://h/db?keepalives=no", "sqlite:////tmp/x.db?colour=red", "postgresql:x", "sqlite:/x.db"),
        *("postgresql://h/db?connect_timeout=" + "9" * 30, "postgresql://h:port/db", "postgresql://h/db?port=x"),
    ],
)
def test_an_address_that_cannot_work_is_refused_in_one_line(url):
    """The message names the value and the next step, at once, without trying to connect."""
    with pytest.raises(BadLedger, match="correct --ledger") as caught:
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
def test_an_address_of_an_absent_server_is_tried_and_named(url):
    """Each spelling reaches the driver; nothing answers there, which takes one line without the password."""
    with pytest.raises(BadLedger, match="cannot be used") as caught:
        Ledger.open(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "postgres+what://x", "http://a/b", "://"]
)
def test_url_of_something_else_is_refused(url):
    """Only SQLite files and PostgreSQL are ledgers."""
    with pytest.raises(BadLedger, match="--ledger"):
        Ledger.open(url)


def test_unreachable_server_is_named_without_its_password():
    """A server that does not answer is refused at once; the password stays out of the message."""
    began = time.monotonic()
    with pytest.raises(BadLedger, match=r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/db cannot be used") as caught:
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
    """Whatever stands behind the question mark is used or refused."""
    with pytest.raises(BadLedger) as caught:
        Ledger.open(f"postgresql://127.0.0.1:1/db?{quote(key)}={quote(value)}")
    assert "\n" not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
@pytest.mark.parametrize("options", ["", "&prepare_threshold=0", "&prepare_threshold=5&connect_timeout=3"])
def test_every_spelling_of_a_postgresql_address_opens_its_ledger(postgres, scheme, options):
    """The old name, a driver's name and numeric options as well."""
    with Ledger.open(postgres.url("postgres").replace("postgresql:", f"{scheme}:", 1) + options) as ledger:
        ledger.studies.put("spelled", {}, cells={})
        assert "spelled" in {study.study for study in ledger.studies.all()}


@pytest.mark.postgres
def test_a_password_of_punctuation_is_written_with_percent_escapes(postgres):
    """User info is decoded once; the server trusts whoever comes by its socket."""
    with Ledger.open(postgres.url("postgres").replace("postgres@", "postgres:p%40ss%2F%3A%25@", 1)) as ledger:
        assert "p%40ss" not in ledger.url


@pytest.fixture
def pgbouncer(postgres) -> Iterator[str]:
    """The address of a PgBouncer in transaction mode, two server connections for all its clients."""
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
def test_ledgers_share_the_connections_of_a_pgbouncer_in_transaction_mode(pgbouncer, finish: Callable):
    """Transactions of six ledgers meet on two server connections, which keep nothing between transactions: no
    prepared statement, no lock, no setting. Events keep their order, results are there once.
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
