"""Credentials in every position of a URL, services away: none is printed, stored, served or exported."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nefstudy import tracking
from nefstudy.ledger import Ledger
from nefstudy.study.plan import listed_trials

from ..ledger.records import as_cells, as_record
from ..service.conftest import client_of  # noqa: F401  # a fixture
from .conftest import PROJECT, SCRIPT

SECRET = "hunter2"
AWAY = "127.0.0.1:1"
LEDGERS = [
    f"postgresql://nef:{SECRET}@{AWAY}/nef",
    f"postgresql://nef:p@{SECRET}/9@{AWAY}/nef",
    f"postgresql://nef:p/{SECRET}@{AWAY}/nef",
    f"postgresql://ne/f:{SECRET}@{AWAY}/nef",
    f"postgresql://{AWAY}/nef?user=nef&password={SECRET}",
    f"postgresql://nef@{AWAY}/nef?sslpassword={SECRET}",
    f"postgres://nef:{SECRET}@{AWAY}/nef",
    f"mysql://nef:{SECRET}@{AWAY}/nef",
    f"nonsense://nef:{SECRET}@{AWAY}/nef",
    f"postgresql://nef:{SECRET}@127.0.0.1:port/nef",
    f"sqlite:///nowhere/ledger.db?password={SECRET}",
]
TRACKERS = [f"http://nef:{SECRET}@{AWAY}", f"http://{AWAY}/?token={SECRET}", f"nonsense://nef:{SECRET}@{AWAY}"]
STORED = [f"s3://key:{SECRET}@bucket/x?region=eu-1", f"s3://bucket/x?secret_key={SECRET}", f"gs://t:{SECRET}@b/x"]


def command(*words: str, **environment: str) -> tuple[int, str]:
    """Exit code and all output of a nefstudy command or a study script."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_", "RAY_"))}
    clean |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"} | environment
    done = subprocess.run(
        [sys.executable, *words], cwd=PROJECT, env=clean, capture_output=True, text=True, check=False, timeout=400
    )
    return done.returncode, done.stdout + done.stderr


def in_files(folder: Path) -> list[str]:
    """The files under a folder that hold the secret."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("url", LEDGERS)
def test_a_ledger_address_is_not_repeated(url: str, tmp_path: Path) -> None:
    """A ledger that is away or cannot be, by flag: one line, exit 2, and nothing of the password."""
    code, said = command("-m", "nefstudy", "status", "--ledger", url, "--root", str(tmp_path))
    assert code == 2, said
    assert SECRET not in said
    assert "Traceback" not in said


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("words", [["-m", "nefstudy", "status"], [SCRIPT], ["-m", "nefstudy"]], ids=" ".join)
def test_a_stray_word_is_not_repeated_with_its_secret(words: list[str]) -> None:
    """A URL without its flag is a usage error, which quotes it: not the password."""
    code, said = command(*words, LEDGERS[0])
    assert code == 2, said
    assert SECRET not in said
    assert "Error:" in said


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("url", STORED)
def test_credentials_that_would_be_stored_are_refused(url: str, tmp_path: Path) -> None:
    """A root or data URI is kept with every result: refused in one line that names the variables to set."""
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    for words in (["--root", url], ["--root", str(tmp_path), "--data", f"mnist={url}"]):
        script = SCRIPT if words[1] == url else "studies/phase2.py"
        code, said = command(script, "--dry-run", "--ledger", ledger, *words, "--cells", "mnist/siren")
        assert code == 2, said
        assert SECRET not in said
        assert "is stored" in said
        assert "Traceback" not in said
    code, said = command("-m", "nefstudy", "signals", "check", url)
    assert code == 2, said
    assert SECRET not in said
    assert not in_files(tmp_path)


@pytest.mark.fault
@pytest.mark.mlflow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_that_is_away_is_named_without_its_secret(tracker: str, tmp_path: Path, quick_plan, caplog) -> None:
    """The warning, and the error that waits in the outbox, hold the address alone."""
    with Ledger.open(str(tmp_path / "ledger.db")) as book:
        book.studies.put("quick", {}, cells={})
        plan = quick_plan()
        trial = next(listed_trials(plan, plan.cells[0]))
        token = book.trials.request("quick", "phase2", record=as_record(trial))
        book.trials.fail("quick", "phase2", key=trial.key, token=token, cause="bug", error="")
        tracking.drain(book, root=str(tmp_path), tracking_uri=tracker)
        (entry,) = book.outbox.pending(1)
    assert AWAY in str(entry.error)
    assert SECRET not in str(entry.error)
    assert not [record for record in caplog.records if record.name == "nefstudy.tracking" and SECRET in record.message]


@pytest.mark.fault
@pytest.mark.ray
@pytest.mark.mlflow
@pytest.mark.nightly
def test_a_study_leaves_no_secret_behind(tmp_path: Path, client_of) -> None:  # noqa: F811
    """A whole study, its tracker and webhook away: nothing printed, no file, row or answer holds their secrets."""
    tracker = f"http://nef:{SECRET}@{AWAY}/?token={SECRET}"
    webhook = f"http://{AWAY}/hook?token={SECRET}"
    where = ["--root", str(tmp_path), "--study", "quick"]
    code, said = command(SCRIPT, *where, "--webhook", webhook, MLFLOW_TRACKING_URI=tracker)
    assert code == 0, said
    exported, more = command(
        "-m", "nefstudy", "export", "mlflow", "--root", str(tmp_path), "--json", MLFLOW_TRACKING_URI=tracker
    )
    assert exported == 0, more
    assert SECRET not in said + more
    errors = sqlite3.connect(tmp_path / "ledger.db").execute("SELECT error FROM outbox").fetchall()
    assert any(error for (error,) in errors), "the export has failed and said why"
    code, report = command("-m", "nefstudy", "report", "quick", "--root", str(tmp_path))
    assert code == 0, report
    assert SECRET not in report
    with Ledger.open(str(tmp_path / "ledger.db"), read_only=True) as book:
        client = client_of(book, root=tmp_path)
        paths = [path for path in client.get("/v1/openapi.json").json()["paths"] if "{" not in path]
        assert not [path for path in paths if not path.endswith("/events") and SECRET in client.get(path).text]
    assert in_files(tmp_path) == []


@pytest.mark.fault
def test_what_an_error_quotes_is_stored_without_it(tmp_path: Path, quick_plan, client_of) -> None:  # noqa: F811
    """Errors of trials, exports, cells and commands reach ledger, events and REST without secrets."""
    url = f"http://nef:{SECRET}@{AWAY}/"
    with Ledger.open(str(tmp_path / "ledger.db")) as book:
        book.studies.put("quick", {}, cells=as_cells({("phase2", "digits8/siren"): 1}))
        plan = quick_plan()
        trial = next(listed_trials(plan, plan.cells[0]))
        token = book.trials.request("quick", "phase2", record=as_record(trial))
        book.trials.retry("quick", "phase2", key=trial.key, token=token, cause="bug", error=f"OSError: {url}")
        token = book.trials.request("quick", "phase2", record=as_record(trial))
        book.trials.fail("quick", "phase2", key=trial.key, token=token, cause="bug", error=f"OSError: {url}")
        (entry,) = book.outbox.pending(1)
        book.outbox.mark_failed(entry, error=f"refused by {url}")
        book.studies.stop_cell("quick", "phase2", cell="digits8/siren", reason=f"failed at {url}")
        command = book.commands.append("quick", "retry")
        book.commands.settle(command.id, outcome=f"refused: {url}")
        book.events.append("quick", "note", data={"text": url})
        assert AWAY in json.dumps([event.data for event in book.events.since(0, limit=100)])
        client = client_of(book, root=tmp_path)
        assert "OSError" in client.get(f"/v1/trials/{trial.key}?study=quick").text
    assert in_files(tmp_path) == []
