"""A gateway in front of an MLflow server that answers with errors, or loses requests and answers."""

import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PER_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server")


class Gateway(ThreadingHTTPServer):
    """Passes requests on; `broken` answers 500 in place of the server, `loses` a share of requests and of answers.

    Attributes:
        fates: how many requests were passed on, refused, lost on the way there and lost on the way back.
    """

    daemon_threads = True

    def __init__(self, server: str, *, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.server = urlsplit(server).netloc
        self.broken = False
        self.loses = 0.0
        self.fates: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fate(self) -> str:
        """What becomes of the next request."""
        with self._lock:
            at = self._random.random()
            lost = "request lost" if at < self.loses / 2 else "answer lost" if at < self.loses else "passed"
            found = "refused" if self.broken else lost
            self.fates[found] += 1
            return found

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone away is no news."""


class Passing(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Gateway

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fate = self.server.fate()
        if fate == "refused":
            self._answer(500, {"Content-Type": "text/html"}, b"<h1>Internal Server Error</h1>")
            return
        self.close_connection = fate != "passed"
        if fate == "request lost":
            return
        status, headers, content = self._asked(body)
        if fate == "passed":
            self._answer(status, headers, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815  # the library's names

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in PER_CONNECTION}
        server = http.client.HTTPConnection(self.server.server, timeout=60)
        try:
            server.request(self.command, self.path, body=body, headers=headers)
            answer = server.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in PER_CONNECTION}
            return answer.status, kept, answer.read()
        except OSError:
            return 502, {}, b""
        finally:
            server.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests are counted."""


@contextmanager
def gateway_to(server: str, *, seed: int = 0) -> Iterator[Gateway]:
    """A gateway that is open, to a server's address."""
    with Gateway(server, seed=seed) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join()
