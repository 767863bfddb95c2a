"""Tests of durability when a driver is killed, crashes or is suspended.

Acknowledged writes exist exactly once; other writes are complete or absent.
"""

import os
import random
import signal
import time

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nefstudy.errors import StudyBusy
from nefstudy.ledger import Ledger, Owner, TrialState

from ..present import present
from .records import as_record

pytestmark = [pytest.mark.fault, pytest.mark.slow]

HERE = ("digits", "phase1")
CURVES = {"val_loss": [(0, 1.0), (1, 0.5)]}


class Child:
    """A forked process that runs a function and sends lines of text to its parent."""

    def __init__(self, act) -> None:
        self._reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                act(lambda line: os.write(writer, f"{line}\n".encode()))
                code = 0
            finally:
                os._exit(code)
        os.close(writer)

    def line(self) -> str:
        """Wait for the next line from the child process and return it."""
        text = b""
        while not text.endswith(b"\n") and (byte := os.read(self._reader, 1)):
            text += byte
        return text.decode().strip()

    def end(self, how: signal.Signals | None = None) -> tuple[int, list[str]]:
        """Send a signal if one is given, wait for the process, and return its exit status and unread lines."""
        if how is not None:
            os.kill(self.pid, how)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with os.fdopen(self._reader) as rest:
            return status, [line.strip() for line in rest if line.endswith("\n")]


@pytest.fixture
def path(tmp_path) -> str:
    path = str(tmp_path / "ledger.db")
    with Ledger.open(path) as ledger:
        ledger.studies.put("digits", {}, cells={})
    return path


def run_trial(ledger, made) -> None:
    """Request, start and complete a trial."""
    token = ledger.trials.request(*HERE, record=as_record(made))
    ledger.trials.start(*HERE, key=made.key, token=token)
    metrics = {"val_accuracy": made.seed / 1000, "all_psnr": 20.0}
    ledger.trials.complete(
        *HERE, key=made.key, token=token, metrics=metrics, curves=CURVES, artifacts={"a.png": "a.png"}
    )


def check_whole(ledger, rows) -> None:
    """Check that each COMPLETE trial has one event, one outbox entry and its measurements; other trials have none."""
    announced = [event.key for event in ledger.events.since(0, limit=100_000) if event.kind == "complete"]
    posted = [entry.key for entry in ledger.outbox.pending(100_000)]
    complete = {row.key for row in rows if row.state is TrialState.COMPLETE}
    assert sorted(announced) == sorted(posted) == sorted(complete)
    for row in rows:
        whole = row.key in complete
        assert bool(row.metrics) == bool(ledger.trials.curves(*HERE, key=row.key)) == whole
        assert bool(ledger.trials.artifacts(*HERE, key=row.key)) == whole
    measured = ledger.trials.columns("digits", ["all_psnr"], state=None)["all_psnr"]
    assert sum(value is not None for value in measured) == len(complete)


def test_kills_at_random_moments_lose_and_duplicate_nothing(path, trial):
    """Killing forty drivers while they write neither loses nor duplicates an acknowledged trial.

    Each acknowledged trial is COMPLETE once and has all its parts.
    """
    draw = random.Random(5)
    acknowledged: list[str] = []

    def drive(first):
        def act(send) -> None:
            with Ledger.open(path) as ledger:
                lease = ledger.leases.acquire("digits", Owner.current())
                ledger.trials.interrupt("digits", lease=lease)
                for seed in range(first, first + 1000):
                    made = trial(seed)
                    run_trial(ledger, made)
                    send(made.key)

        return act

    for kill in range(40):
        child = Child(drive(1000 * kill))
        time.sleep(draw.uniform(0.05, 0.25))
        status, keys = child.end(signal.SIGKILL)
        assert status == -signal.SIGKILL
        acknowledged += keys
    with Ledger.open(path) as ledger:
        ledger.trials.interrupt("digits")
        rows = ledger.trials.page("digits", limit=None).rows
        complete = [row.key for row in rows if row.state is TrialState.COMPLETE]
        assert len(acknowledged) > 40
        assert set(acknowledged) <= set(complete)
        assert len(complete) - len(acknowledged) <= 40, "at most one trial in flight per kill"
        assert {row.state for row in rows} <= {TrialState.COMPLETE, TrialState.INTERRUPTED}
        check_whole(ledger, rows)


def test_crash_at_every_statement_leaves_whole_trials(path, trial):
    """If a driver crashes at any SQL statement, each change of a trial's state is written entirely or not at all."""

    def die_at(number):
        def act(send) -> None:
            count = 0

            def before(*_) -> None:
                nonlocal count
                count += 1
                if count == number:
                    os._exit(9)

            with Ledger.open(path) as ledger:
                event.listen(Engine, "before_cursor_execute", before)
                event.listen(Engine, "commit", before)
                run_trial(ledger, trial(number))

        return act

    with Ledger.open(path) as ledger:
        run_trial(ledger, trial(0))  # the first trial also inserts the names of its measures
    statuses: list[int] = []
    while 0 not in statuses:
        statuses.append(Child(die_at(len(statuses) + 1)).end()[0])
        assert statuses[-1] in (0, 9)
    assert len(statuses) > 20
    with Ledger.open(path) as ledger:
        rows = ledger.trials.page("digits", limit=None).rows
        states = [row.state for row in rows]
        assert {TrialState.REQUESTED, TrialState.RUNNING, TrialState.COMPLETE} == set(states)
        check_whole(ledger, rows)
        for row in rows:
            if row.state is not TrialState.COMPLETE:
                run_trial(ledger, trial(row.seed))
        check_whole(ledger, ledger.trials.page("digits", limit=None).rows)


def test_suspended_driver_is_fenced(path, trial):
    """A driver whose lease was taken over while it was suspended cannot commit after it resumes."""
    made = trial(1)

    def act(send) -> None:
        with Ledger.open(path) as ledger:
            lease = ledger.leases.acquire("digits", Owner.current(), lease_s=0.3)
            token = ledger.trials.request(*HERE, record=as_record(made), lease=lease)
            send("ready")
            time.sleep(0.4)
            try:
                ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.1}, lease=lease)
            except StudyBusy:
                send("refused")

    child = Child(act)
    assert child.line() == "ready"
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(0.4)
    with Ledger.open(path) as ledger:
        lease = ledger.leases.acquire("digits", Owner.current())
        assert ledger.trials.interrupt("digits", lease=lease) == 1
        token = ledger.trials.request(*HERE, record=as_record(made), lease=lease)
        ledger.trials.complete(*HERE, key=made.key, token=token, metrics={"val_accuracy": 0.9}, lease=lease)
        assert child.end(signal.SIGCONT) == (0, ["refused"])
        assert present(ledger.trials.get(made.key)).metrics["val_accuracy"] == 0.9
