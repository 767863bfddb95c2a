"""Tests of the webhook that reports the end of a study, with real HTTP servers."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from nefstudy.errors import BadConfig, StudyBusy, StudyStopped
from nefstudy.ledger import Ledger, Owner
from nefstudy.study.exchange import webhook
from nefstudy.study.exchange.webhook import Webhook, check_webhook, signature
from nefstudy.tasks.task import Point

from ...classification import all_trials
from ...ledger.records import as_cells, as_record, make_trial
from ...service.client import make_client

SECRET = "a secret of the tests"
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Yield a ledger whose study has just finished."""
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        opened.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 4}))
        opened.leases.release(opened.leases.acquire("digits", Owner.current()), state="finished")
        yield opened


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between attempts to deliver a message."""
    monkeypatch.setattr(webhook, "PAUSES_S", (0.01, 0.01))


def status(code: int, **headers: str) -> Answer:
    """Return a handler that responds with the given status code."""

    def answer(asked: BaseHTTPRequestHandler) -> None:
        asked.send_response(code)
        for name, value in headers.items():
            asked.send_header(name, value)
        asked.send_header("Content-Length", "0")
        asked.end_headers()

    return answer


def hanging(asked: BaseHTTPRequestHandler) -> None:
    """Sleep instead of responding."""
    time.sleep(30)


def dripping(asked: BaseHTTPRequestHandler) -> None:
    """Respond slowly, byte by byte, so that no single wait is long."""
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 600:
        asked.wfile.write(bytes([byte]))
        time.sleep(0.05)


@contextmanager
def server(*answers: Answer) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Yield the address of a server and the list of requests that it receives.

    The server sends the given responses in turn and then repeats the last one.
    """
    seen: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((dict(self.headers), body))
            try:
                answers[min(len(seen), len(answers)) - 1](self)
            except OSError:
                self.close_connection = True

        def do_GET(self) -> None:
            seen.append(({"method": "GET"}, b""))

        def log_message(self, *_args: object) -> None:
            """Suppress the request log."""

    at = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    at.daemon_threads = True
    at.block_on_close = False
    threading.Thread(target=at.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{at.server_port}/hook?key=in-the-address", seen
    finally:
        at.shutdown()
        at.server_close()


def end(ledger: Ledger, url: str | None, error: BaseException | None = None, *, started: bool = True) -> list[str]:
    """Return the warnings that are issued when a study ends, with or without an error."""
    warned: list[str] = []
    hook = Webhook(url, "digits", ledger=ledger, secret=SECRET, warn=warned.append)
    with hook:
        hook.is_started = started
        hook.__exit__(None if error is None else type(error), error, None)
        hook.is_started = False  # already sent, so do not send again on exit
    return warned


def test_the_message_reports_how_the_study_ended(ledger):
    """When a study ends, one POST reports the event, the state and the progress."""
    with server(status(200)) as (url, seen):
        assert end(ledger, url) == []
    ((headers, body),) = seen
    message = json.loads(body)
    assert (message["event"], message["study"], message["state"], message["error"]) == (
        "study.finished",
        "digits",
        "finished",
        None,
    )
    assert (message["progress"]["planned"], message["progress"]["complete"]) == (4, 0)
    assert headers["Content-Type"] == "application/json"


def test_progress_is_the_one_of_the_rest_api(ledger):
    """The progress in the webhook's message equals what the REST API reports, except for the timestamp."""
    for seed, value in enumerate((0.25, 0.75)):
        trial = make_trial(seed)
        token = ledger.trials.request("digits", "phase1", record=as_record(trial))
        metrics = {"val_accuracy": value, "test_accuracy": value, "all_psnr": 20.0}
        ledger.trials.complete("digits", "phase1", key=trial.key, token=token, metrics=metrics)
    with server(status(200)) as (url, seen):
        assert end(ledger, url) == []
    sent = json.loads(seen[0][1])["progress"]
    shown = make_client(ledger).get("/v1/studies/digits/progress").json()
    assert sent | {"at": None} == shown | {"at": None}
    assert (shown["complete"], len(shown["best"])) == (2, 1)


def test_the_signature_is_the_documented_hmac(ledger):
    """The signature can be verified with the secret and depends on the secret, the body and the time."""
    with server(status(204)) as (url, seen):
        end(ledger, url)
    ((headers, body),) = seen
    stamp = headers["X-Nefstudy-Timestamp"]
    by_hand = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Nefstudy-Signature"] == f"sha256={by_hand}" == signature(body, secret=SECRET, timestamp=stamp)
    assert signature(body + b" ", secret=SECRET, timestamp=stamp) != f"sha256={by_hand}"
    assert signature(body, secret=SECRET, timestamp=stamp + "0") != f"sha256={by_hand}"
    assert abs(int(stamp) - time.time()) < 60


def test_a_temporary_error_is_retried_as_the_same_message(ledger):
    """After the responses 503 and 429, the same message is posted again, and there is no warning."""
    with server(status(503), status(429), status(200)) as (url, seen):
        assert end(ledger, url) == []
    assert len(seen) == 3
    assert len({headers["X-Nefstudy-Delivery"] for headers, _ in seen}) == 1


@pytest.mark.parametrize(("answer", "posts"), [(status(500), 3), (status(404), 1), (status(400), 1)])
def test_a_permanent_error_is_named_without_the_address_or_the_secret(ledger, answer, posts):
    """The warning about a failed delivery names the host and the status but nothing that may be secret."""
    with server(answer) as (url, seen):
        (line,) = end(ledger, url)
    assert len(seen) == posts
    assert "127.0.0.1" in line
    assert "answered" in line
    assert SECRET not in line
    assert "in-the-address" not in line


def test_a_redirect_is_not_followed(ledger):
    """A redirect is not followed, so a signed message is never sent to another address."""
    with server(status(200)) as (other, got), server(status(302, Location=other)) as (url, _):
        assert len(end(ledger, url)) == 1
    assert got == []


def test_a_refused_connection_is_one_line(ledger):
    """A refused connection causes a one-line warning and no error."""
    (line,) = end(ledger, "http://127.0.0.1:9/")
    assert "was not delivered" in line


@pytest.mark.parametrize("answer", [hanging, dripping])
def test_a_hanging_server_delays_nothing(ledger, monkeypatch, answer):
    """All attempts to reach a hanging server share one time limit, which is shorter after an interruption."""
    monkeypatch.setattr(webhook, "PATIENCE_S", 3.0)
    monkeypatch.setattr(webhook, "HURRY_S", 0.3)
    with server(answer) as (url, _):
        for error, most in ((None, 20.0), (SystemExit(143), 3.0)):
            began = time.monotonic()
            (line,) = end(ledger, url, error)
            assert time.monotonic() - began < most
            assert "no answer in time" in line


def test_failures_and_interruptions_are_distinguished(ledger):
    """After an error, `study.failed` is sent; after Ctrl-C, `study.finished` is sent.

    The error's line is sent without folders.
    """
    with server(status(200)) as (url, seen):
        end(ledger, url, StudyStopped("study 'digits' stopped: see /srv/place/log.txt"))
        end(ledger, url, KeyboardInterrupt())
    failed, interrupted = (json.loads(body) for _, body in seen)
    assert (failed["event"], failed["error"]) == ("study.failed", "StudyStopped: study 'digits' stopped: see log.txt")
    assert (interrupted["event"], interrupted["error"]) == ("study.finished", None)


def test_a_study_that_never_started_or_runs_elsewhere_is_not_reported(ledger):
    """Nothing is sent if the input is bad, another driver holds the study, or the run did not start."""
    with server(status(200)) as (url, seen):
        for error, started in ((BadConfig("x"), True), (StudyBusy("x"), True), (None, False)):
            assert end(ledger, url, error, started=started) == []
    assert seen == []
    assert end(ledger, None) == []


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://h/x", "file:///etc/passwd", "h/x", "http://", "https:///x", "javascript:alert(1)", "http://a b/"),
        *("http://h:99999/", "http://user:hidden@h/", "http://h/\r\nX: y", "http://[::1", "//h/x"),
    ],
)
def test_other_addresses_are_refused_without_repeating_them(url):
    """Only http and https URLs with a host are accepted, and the error does not show the URL."""
    with pytest.raises(BadConfig, match="--webhook") as refused:
        check_webhook(url)
    assert "hidden" not in str(refused.value)
    assert "passwd" not in str(refused.value)
    for fine in (None, "", "http://h", "https://h:8443/a?b=c", "http://[::1]:80/"):
        check_webhook(fine)


@pytest.mark.slow
def test_a_run_reports_its_end_and_keeps_the_secret(tmp_path, monkeypatch):
    """A run with nothing left to do sends a signed message, and the secret appears in no file or output."""
    from nefstudy.config import SignalsConfig
    from nefstudy.study.driver.session import run_study
    from nefstudy.study.locations import resolve_locations
    from nefstudy.study.options import StudyOptions
    from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
    from nefstudy.study.space import Categorical

    monkeypatch.setenv("NEFSTUDY_WEBHOOK_SECRET", SECRET)
    space = {"init": Categorical(("shared",)), "steps": Categorical((5,))}
    fixed: Point = {"hidden": 8, "layers": 3, "omega_0": 9.0}
    cell = CellPlan("phase2", SignalsConfig(name="digits8", subset=60), "siren", space=space, fixed=fixed)
    plan = StudyPlan("digits", (cell,))
    locations = resolve_locations(str(tmp_path), environment={})
    with Ledger.open(locations.ledger) as book:
        book.studies.put("digits", {}, cells={})
        pinned = plan.pinned()
        for trial in all_trials(pinned, pinned.cells[0]):
            token = book.trials.request("digits", "phase2", record=as_record(trial))
            metrics = {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_psnr": 20.0}
            book.trials.complete("digits", "phase2", key=trial.key, token=token, metrics=metrics)
    output = StringIO()
    with server(status(200)) as (url, seen):
        options = StudyOptions(study="digits", root=str(tmp_path), webhook=url)
        ending = run_study(plan, options, locations=locations, console=Console(file=output))
    ((headers, body),) = seen
    assert (ending.state, json.loads(body)["event"]) == ("finished", "study.finished")
    assert headers["X-Nefstudy-Signature"].startswith("sha256=")
    hidden = SECRET.encode(), b"in-the-address"
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] + [output.getvalue().encode()]
    assert not any(secret in text for secret in hidden for text in texts)
