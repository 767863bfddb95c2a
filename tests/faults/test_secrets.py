"""Tests that credentials in a URL are never printed, stored, served or exported."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nefstudy.ledger import Ledger
from nefstudy.tracking import export

from ..classification import all_trials
from ..ledger.records import as_cells, as_record
from ..service.client import make_client
from .driver import PROJECT, SCRIPT

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
    """Run a nefstudy command or study script; return its exit code and all its output."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NEFSTUDY_", "MLFLOW_", "RAY_"))}
    clean |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"} | environment
    done = subprocess.run(
        [sys.executable, *words], cwd=PROJECT, env=clean, capture_output=True, text=True, check=False, timeout=400
    )
    return done.returncode, done.stdout + done.stderr


def in_files(folder: Path) -> list[str]:
    """Return the paths of those files in a folder that contain the secret."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("url", LEDGERS)
def test_a_ledger_address_is_not_repeated(url: str, tmp_path: Path) -> None:
    """If a ledger URL is unreachable or invalid, the output shows neither the password nor a traceback.

    The exit code is 2.
    """
    code, output = command("-m", "nefstudy", "status", "--ledger", url, "--root", str(tmp_path))
    assert code == 2, output
    assert SECRET not in output
    assert "Traceback" not in output


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("words", [["-m", "nefstudy", "status"], [SCRIPT], ["-m", "nefstudy"]], ids=" ".join)
def test_a_stray_word_is_not_repeated_with_its_secret(words: list[str]) -> None:
    """If a URL is passed without its option name, the usage error omits the password."""
    code, output = command(*words, LEDGERS[0])
    assert code == 2, output
    assert SECRET not in output
    assert "Error:" in output


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("url", STORED)
def test_credentials_that_would_be_stored_are_refused(url: str, tmp_path: Path) -> None:
    """Credentials in a root or data URI are rejected, because every result would store the URI."""
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    for words in (["--root", url], ["--root", str(tmp_path), "--data", f"mnist={url}"]):
        script = SCRIPT if words[1] == url else "studies/phase2.py"
        code, output = command(script, "--dry-run", "--ledger", ledger, *words, "--cells", "mnist/siren")
        assert code == 2, output
        assert SECRET not in output
        assert "is stored" in output
        assert "Traceback" not in output
    code, output = command("-m", "nefstudy", "signals", "check", url)
    assert code == 2, output
    assert SECRET not in output
    assert not in_files(tmp_path)


@pytest.mark.fault
@pytest.mark.mlflow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_that_is_away_is_named_without_its_secret(tracker: str, tmp_path: Path, quick_plan, caplog) -> None:
    """If an MLflow server is unreachable, the stored error contains its address but not the secret."""
    with Ledger.open(str(tmp_path / "ledger.db")) as book:
        book.studies.put("quick", {}, cells={})
        plan = quick_plan()
        trial = all_trials(plan, plan.cells[0])[0]
        token = book.trials.request("quick", "phase2", record=as_record(trial))
        book.trials.fail("quick", "phase2", key=trial.key, token=token, cause="bug", error="")
        export.drain(book, root=str(tmp_path), tracking_uri=tracker)
        (entry,) = book.outbox.pending(1)
    assert AWAY in str(entry.error)
    assert SECRET not in str(entry.error)
    assert not [
        record for record in caplog.records if record.name == "nefstudy.tracking.export" and SECRET in record.message
    ]


@pytest.mark.fault
@pytest.mark.ray
@pytest.mark.mlflow
@pytest.mark.nightly
def test_a_study_leaves_no_secret_behind(tmp_path: Path) -> None:
    """If the MLflow server and the webhook are unreachable, no output, file, row or response contains their secrets."""
    tracker = f"http://nef:{SECRET}@{AWAY}/?token={SECRET}"
    webhook = f"http://{AWAY}/hook?token={SECRET}"
    where = ["--root", str(tmp_path), "--study", "quick"]
    code, output = command(SCRIPT, *where, "--webhook", webhook, MLFLOW_TRACKING_URI=tracker)
    assert code == 0, output
    exported, more = command(
        "-m", "nefstudy", "export", "mlflow", "--root", str(tmp_path), "--json", MLFLOW_TRACKING_URI=tracker
    )
    assert exported == 0, more
    assert SECRET not in output + more
    errors = sqlite3.connect(tmp_path / "ledger.db").execute("SELECT error FROM outbox").fetchall()
    assert any(error for (error,) in errors), "the failed export has a reason"
    code, report = command("-m", "nefstudy", "report", "quick", "--root", str(tmp_path))
    assert code == 0, report
    assert SECRET not in report
    with Ledger.open(str(tmp_path / "ledger.db"), read_only=True) as book:
        client = make_client(book, root=tmp_path)
        paths = [path for path in client.get("/v1/openapi.json").json()["paths"] if "{" not in path]
        assert not [path for path in paths if not path.endswith("/events") and SECRET in client.get(path).text]
    assert in_files(tmp_path) == []


@pytest.mark.fault
def test_errors_are_stored_without_their_secrets(tmp_path: Path, quick_plan) -> None:
    """Errors are stored and served without their secrets.

    This holds for errors of trials, exports, cells and commands, in the ledger, its events and REST.
    """
    url = f"http://nef:{SECRET}@{AWAY}/"
    with Ledger.open(str(tmp_path / "ledger.db")) as book:
        book.studies.put("quick", {}, cells=as_cells({("phase2", "digits8/siren"): 1}))
        plan = quick_plan()
        trial = all_trials(plan, plan.cells[0])[0]
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
        client = make_client(book, root=tmp_path)
        assert "OSError" in client.get(f"/v1/trials/{trial.key}?study=quick").text
    assert in_files(tmp_path) == []
