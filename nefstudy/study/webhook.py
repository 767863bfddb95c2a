"""A message to an address of yours when a study ends: signed, tried a few times, never waited for long.

It is sent by the driver after it has given the study up, whether that is finished, stopped or has failed. A
driver that is killed outright sends nothing; running the same command again does, at its end.
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
from nefstudy.insight.failures import presentable
from nefstudy.insight.progress import progress
from nefstudy.ledger import Ledger

SECRET = "NEFSTUDY_WEBHOOK_SECRET"
TRIES = 3
TIMEOUT_S = 5.0  # of one try
PAUSES_S = (1.0, 3.0)  # between tries
PATIENCE_S = 20.0  # for all of them: the study is over by then, and its command wants to end
HURRY_S = 3.0  # where the driver was told to go at once


def check_webhook(url: str | None) -> None:
    """Refuse an address that no message can go to, without repeating it: it may hold a secret.

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
        raise BadConfig("--webhook is no http or https address; give one such as https://example.org/hook")
    if parts.username is not None:
        raise BadConfig(f"--webhook holds a user or password; leave them out, and sign with {SECRET}")


class Webhook:
    """Tells how a study ended once it was `begun`; nothing to tell without an address.

    Args:
        secret: signs each message; None leaves it unsigned.
        warn: told in one line when a message did not arrive.
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
        self.begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elsewhere = isinstance(error, BadInput | StudyBusy)  # nothing was changed, or another driver goes on
        if self._url is None or not self.begun or elsewhere:
            return
        try:
            body = json.dumps(message(self._ledger, self._study, error=error)).encode()
            self._send(body, hurry=isinstance(error, KeyboardInterrupt | SystemExit))
        except Exception as problem:  # whatever is wrong with a message, the study has ended as it has
            self._warn(f"the webhook was not told: {type(problem).__name__}")

    def _send(self, body: bytes, *, hurry: bool) -> None:
        """Post in a thread that is not waited for beyond its time: a server that drips holds nothing up."""
        found: list[str | None] = []
        assert self._url is not None
        asked = _request(self._url, body, secret=self._secret)
        tries = 1 if hurry else TRIES
        thread = threading.Thread(target=lambda: found.append(_deliver(asked, tries=tries)), daemon=True)
        thread.start()
        thread.join(HURRY_S if hurry else PATIENCE_S)
        problem = found[0] if found else "no answer in time"
        if problem is not None:
            self._warn(f"the webhook at {urlsplit(self._url).hostname} was not told: {problem}")


def message(ledger: Ledger, study: str, *, error: BaseException | None) -> dict[str, Any]:
    """What is posted: the event, the study, its error in one line without folders, and its progress as REST has it."""
    found = progress(ledger, study)
    broken = isinstance(error, Exception)
    return {
        "event": "study.failed" if broken else f"study.{found.state}",
        "study": study,
        "state": found.state,
        "error": presentable(f"{type(error).__name__}: {error}") if broken else None,
        "at": found.at,
        "progress": found.model_dump(mode="json"),
    }


def signature(body: bytes, *, secret: str, timestamp: str) -> str:
    """HMAC-SHA256 over the timestamp, a dot and the body, so that an old message cannot be sent again as new."""
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
    """Leaves a redirect as the answer: what is signed for one address goes to no other."""

    def redirect_request(self, *_asked: Any) -> None:
        """Nowhere."""


def _deliver(asked: urllib.request.Request, *, tries: int) -> str | None:
    """None once a try was answered with 2xx, else what the last one met."""
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
