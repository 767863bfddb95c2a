"""A webhook that reports the end of a study: signed, retried a few times, and limited in time.

The driver sends it after releasing the study, whether that has finished, stopped or failed. A killed driver sends
nothing; when the same command runs again, it sends the message at its end.
"""

import hashlib
import hmac
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import nefstudy
from nefstudy.errors import BadConfig, BadInput, StudyBusy
from nefstudy.insight.progress import progress
from nefstudy.insight.questions.failures import presentable
from nefstudy.ledger import Ledger

SECRET = "NEFSTUDY_WEBHOOK_SECRET"
TRIES = 3
TIMEOUT_S = 5.0  # of one try
PAUSES_S = (1.0, 3.0)  # between tries
PATIENCE_S = 20.0  # for all tries: the study is over by then
HURRY_S = 3.0  # after an interruption


def check_webhook(url: str | None) -> None:
    """Raise an error for an unusable address, without repeating the address, because it may contain a secret.

    Raises:
        BadConfig: not http or https, no host, or a password in it.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or any(not "!" <= letter <= "~" for letter in url):
        raise BadConfig("--webhook is not an http or https address; pass one such as https://example.org/hook")
    if parts.username is not None:
        raise BadConfig(f"--webhook holds a user or password; leave them out and sign with {SECRET}")


class Webhook:
    """A context manager that reports how a study ended, if `is_started` is set and there is an address.

    Args:
        secret: signs each message; None leaves it unsigned.
        warn: called with one line if a message was not delivered.
    """

    def __init__(
        self, url: str | None, study: str, *, ledger: Ledger, secret: str | None, warn: Callable[[str], None]
    ) -> None:
        check_webhook(url)
        self._url = url or None
        self._study = study
        self._ledger = ledger
        self._secret = secret or None
        self._warn = warn
        self.is_started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elsewhere = isinstance(error, BadInput | StudyBusy)  # nothing was changed, or another driver continues
        if self._url is None or not self.is_started or elsewhere:
            return
        try:
            body = json.dumps(message(self._ledger, self._study, error=error)).encode()
            self._send(body, hurry=isinstance(error, KeyboardInterrupt | SystemExit))
        except Exception as problem:  # an error here must not change how the study ended
            self._warn(f"the webhook was not delivered: {type(problem).__name__}")

    def _send(self, body: bytes, *, hurry: bool) -> None:
        """Post the message in a thread with a time limit, so that a slow server does not block the driver."""
        outcomes: list[str | None] = []
        assert self._url is not None
        asked = _request(self._url, body, secret=self._secret)
        tries = 1 if hurry else TRIES
        thread = threading.Thread(target=lambda: outcomes.append(_deliver(asked, tries=tries)), daemon=True)
        thread.start()
        thread.join(HURRY_S if hurry else PATIENCE_S)
        problem = outcomes[0] if outcomes else "no answer in time"
        if problem is not None:
            self._warn(f"the webhook at {urlsplit(self._url).hostname} was not delivered: {problem}")


def message(ledger: Ledger, study: str, *, error: BaseException | None) -> dict[str, Any]:
    """Return the webhook's message: the event, the study, its error without paths, and progress as in the REST API."""
    current = progress(ledger, study)
    broken = isinstance(error, Exception)
    return {
        "event": "study.failed" if broken else f"study.{current.state}",
        "study": study,
        "state": current.state,
        "error": presentable(f"{type(error).__name__}: {error}") if broken else None,
        "at": current.at,
        "progress": current.model_dump(mode="json"),
    }


def signature(body: bytes, *, secret: str, timestamp: str) -> str:
    """Return the HMAC-SHA256 of the timestamp, a dot and the body. The timestamp prevents replays of old messages."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _request(url: str, body: bytes, *, secret: str | None) -> urllib.request.Request:
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"nefstudy/{nefstudy.__version__}",
        "X-Nefstudy-Delivery": uuid.uuid4().hex,  # the same in every try: a receiver may see a message twice
        "X-Nefstudy-Timestamp": timestamp,
    }
    if secret is not None:
        headers["X-Nefstudy-Signature"] = signature(body, secret=secret, timestamp=timestamp)
    return urllib.request.Request(url, data=body, headers=headers, method="POST")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A handler that does not follow redirects, so that a signed message only reaches its intended address."""

    def redirect_request(self, *_asked: Any) -> None:
        """Return None, which means that the redirect is not followed."""


def _deliver(asked: urllib.request.Request, *, tries: int) -> str | None:
    """Post the message until an attempt succeeds with 2xx; return the last problem, or None on success."""
    opener = urllib.request.build_opener(_NoRedirect)
    problem: str | None = None
    for number in range(tries):
        if number:
            time.sleep(PAUSES_S[number - 1])
        try:
            opener.open(asked, timeout=TIMEOUT_S).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            problem = f"answered {refused.code}"
            if refused.code < 500 and refused.code != 429:
                return problem  # the same message would be refused again
        except (OSError, http.client.HTTPException) as away:
            reason = getattr(away, "reason", away)
            problem = type(reason).__name__ if isinstance(reason, Exception) else "no connection"
        else:
            return None
    return problem
