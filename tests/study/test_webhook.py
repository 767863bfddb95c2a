"""The webhook against real HTTP servers: told once, signed, tried again where that helps, and never waited for long."""

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
from nefstudy.study import webhook
from nefstudy.study.webhook import Webhook, check_webhook, signature

from ..ledger.records import as_cells, as_record

SECRET = "a secret of the tests"
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose study has just been finished."""
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        opened.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/siren"): 4}))
        opened.leases.release(opened.leases.acquire("digits", Owner.here()), state="finished")
        yield opened


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are short here."""
    monkeypatch.setattr(webhook, "PAUSES_S", (0.01, 0.01))


def status(code: int, **headers: str) -> Answer:
    """Answers with a status."""

    def answer(asked: BaseHTTPRequestHandler) -> None:
        asked.send_response(code)
        for name, value in headers.items():
            asked.send_header(name, value)
        asked.send_header("Content-Length", "0")
        asked.end_headers()

    return answer


def hanging(asked: BaseHTTPRequestHandler) -> None:
    """Never answers."""
    time.sleep(30)


def dripping(asked: BaseHTTPRequestHandler) -> None:
    """Answers a byte now and then, for ever: no single wait is long."""
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 600:
        asked.wfile.write(bytes([byte]))
        time.sleep(0.05)


@contextmanager
def server(*answers: Answer) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Address of a server that answers in turn, the last for ever, and what was posted to it."""
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

        def log_message(self, *_said: object) -> None:
            """Quiet."""

    at = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    at.daemon_threads = True
    at.block_on_close = False
    threading.Thread(target=at.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{at.server_port}/hook?key=in-the-address", seen
    finally:
        at.shutdown()
        at.server_close()


def end(ledger: Ledger, url: str | None, error: BaseException | None = None, *, begun: bool = True) -> list[str]:
    """What was warned of when a study ended, by an error or without."""
    warned: list[str] = []
    told = Webhook(url, "digits", ledger=ledger, secret=SECRET, warn=warned.append)
    with told:
        told.begun = begun
        told.__exit__(None if error is None else type(error), error, None)
        told.begun = False  # told once
    return warned


def test_the_message_says_what_came_of_the_study(ledger):
    """One post with the event, the state and the progress that REST has."""
    with server(status(200)) as (url, seen):
        assert end(ledger, url) == []
    ((headers, body),) = seen
    said = json.loads(body)
    assert (said["event"], said["study"], said["state"], said["error"]) == (
        "study.finished",
        "digits",
        "finished",
        None,
    )
    assert (said["progress"]["planned"], said["progress"]["complete"]) == (4, 0)
    assert headers["Content-Type"] == "application/json"


def test_the_signature_is_the_documented_hmac(ledger):
    """Anyone with the secret can check it by hand; with another secret, body or time it is another."""
    with server(status(204)) as (url, seen):
        end(ledger, url)
    ((headers, body),) = seen
    stamp = headers["X-Nefstudy-Timestamp"]
    by_hand = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Nefstudy-Signature"] == f"sha256={by_hand}" == signature(body, secret=SECRET, timestamp=stamp)
    assert signature(body + b" ", secret=SECRET, timestamp=stamp) != f"sha256={by_hand}"
    assert signature(body, secret=SECRET, timestamp=stamp + "0") != f"sha256={by_hand}"
    assert abs(int(stamp) - time.time()) < 60


def test_a_passing_fault_is_tried_again_as_the_same_message(ledger):
    """503, then 429, then 200: three posts of one delivery, and no complaint."""
    with server(status(503), status(429), status(200)) as (url, seen):
        assert end(ledger, url) == []
    assert len(seen) == 3
    assert len({headers["X-Nefstudy-Delivery"] for headers, _ in seen}) == 1


@pytest.mark.parametrize(("answer", "posts"), [(status(500), 3), (status(404), 1), (status(400), 1)])
def test_a_lasting_fault_is_named_without_the_address_or_the_secret(ledger, answer, posts):
    """So many tries and no more; the line names the host and the status, nothing that may be secret."""
    with server(answer) as (url, seen):
        (line,) = end(ledger, url)
    assert len(seen) == posts
    assert "127.0.0.1" in line
    assert "answered" in line
    assert SECRET not in line
    assert "in-the-address" not in line


def test_a_redirect_is_not_followed(ledger):
    """What was signed for one address goes to no other."""
    with server(status(200)) as (other, got), server(status(302, Location=other)) as (url, _):
        assert len(end(ledger, url)) == 1
    assert got == []


def test_nobody_there_is_one_line(ledger):
    """A refused connection ends nothing."""
    (line,) = end(ledger, "http://127.0.0.1:9/")
    assert "was not told" in line


@pytest.mark.parametrize("answer", [hanging, dripping])
def test_a_server_that_hangs_holds_nothing_up(ledger, monkeypatch, answer):
    """However it hangs, all tries together take no longer than their patience, and less when in a hurry."""
    monkeypatch.setattr(webhook, "PATIENCE_S", 3.0)
    monkeypatch.setattr(webhook, "HURRY_S", 0.3)
    with server(answer) as (url, _):
        for error, most in ((None, 20.0), (SystemExit(143), 3.0)):
            began = time.monotonic()
            (line,) = end(ledger, url, error)
            assert time.monotonic() - began < most
            assert "no answer in time" in line


def test_failures_and_interruptions_are_told_as_what_they_are(ledger):
    """An error is `study.failed` with its line and no folder; Ctrl-C leaves the study's own state."""
    with server(status(200)) as (url, seen):
        end(ledger, url, StudyStopped("study 'digits' stopped: see /srv/place/log.txt"))
        end(ledger, url, KeyboardInterrupt())
    failed, interrupted = (json.loads(body) for _, body in seen)
    assert (failed["event"], failed["error"]) == ("study.failed", "StudyStopped: study 'digits' stopped: see log.txt")
    assert (interrupted["event"], interrupted["error"]) == ("study.finished", None)


def test_what_was_never_begun_or_goes_on_elsewhere_is_not_told(ledger):
    """Bad input, a study that another driver holds, and a run that took no lease post nothing."""
    with server(status(200)) as (url, seen):
        for error, begun in ((BadConfig("x"), True), (StudyBusy("x"), True), (None, False)):
            assert end(ledger, url, error, begun=begun) == []
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
    """Only http and https with a host; the message shows nothing of the address."""
    with pytest.raises(BadConfig, match="--webhook") as refused:
        check_webhook(url)
    assert "hidden" not in str(refused.value)
    assert "passwd" not in str(refused.value)
    for fine in (None, "", "http://h", "https://h:8443/a?b=c", "http://[::1]:80/"):
        check_webhook(fine)


@pytest.mark.slow
def test_a_run_tells_its_end_and_keeps_the_secret(tmp_path, monkeypatch):
    """A whole run with nothing left to do posts `study.finished`, signed; the secret is in no file and no output."""
    from nefstudy.config import SignalsConfig
    from nefstudy.study.options import StudyOptions
    from nefstudy.study.place import resolve_place
    from nefstudy.study.plan import CellPlan, StudyPlan, listed_trials
    from nefstudy.study.session import run_study
    from nefstudy.study.space import Choice

    monkeypatch.setenv("NEFSTUDY_WEBHOOK_SECRET", SECRET)
    space = {"init": Choice(("shared",)), "steps": Choice((5,))}
    fixed = {"hidden": 8, "layers": 3, "omega_0": 9.0}
    cell = CellPlan("phase2", SignalsConfig(name="digits8", subset=60), "siren", space=space, fixed=fixed)
    plan = StudyPlan("digits", (cell,))
    place = resolve_place(str(tmp_path), environment={})
    with Ledger.open(place.ledger) as book:
        book.studies.put("digits", {}, cells={})
        pinned = plan.pinned()
        for trial in listed_trials(pinned, pinned.cells[0]):
            token = book.trials.request("digits", "phase2", record=as_record(trial))
            metrics = {"val_accuracy": 0.5, "test_accuracy": 0.5, "all_psnr": 20.0}
            book.trials.complete("digits", "phase2", key=trial.key, token=token, metrics=metrics)
    said = StringIO()
    with server(status(200)) as (url, seen):
        options = StudyOptions(study="digits", root=str(tmp_path), webhook=url)
        ending = run_study(plan, options, place=place, console=Console(file=said))
    ((headers, body),) = seen
    assert (ending.state, json.loads(body)["event"]) == ("finished", "study.finished")
    assert headers["X-Nefstudy-Signature"].startswith("sha256=")
    hidden = SECRET.encode(), b"in-the-address"
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] + [said.getvalue().encode()]
    assert not any(secret in text for secret in hidden for text in texts)
