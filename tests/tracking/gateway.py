"""A gateway to an MLflow server that can return errors, or lose requests and responses."""

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
    """A proxy that rejects every request with 500 if `broken`; otherwise it loses a fraction `loss_rate` of the calls.

    Attributes:
        fates: number of calls forwarded, rejected, and lost as request or as response.
    """

    daemon_threads = True

    def __init__(self, server: str, *, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), ForwardingHandler)
        self.server = urlsplit(server).netloc
        self.broken = False
        self.loss_rate = 0.0
        self.fates: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fate(self) -> str:
        """Choose at random what happens to the next request, and count the request."""
        with self._lock:
            draw = self._random.random()
            fate = "request lost" if draw < self.loss_rate / 2 else "response lost"
            if draw >= self.loss_rate:
                fate = "forwarded"
            if self.broken:
                fate = "rejected"
            self.fates[fate] += 1
            return fate

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors caused by disconnected clients."""


class ForwardingHandler(BaseHTTPRequestHandler):
    """The handler of a single client connection."""

    protocol_version = "HTTP/1.1"
    server: Gateway

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fate = self.server.fate()
        if fate == "rejected":
            self._respond(500, {"Content-Type": "text/html"}, b"<h1>Internal Server Error</h1>")
            return
        self.close_connection = fate != "forwarded"
        if fate == "request lost":
            return
        status, headers, content = self._call_server(body)
        if fate == "forwarded":
            self._respond(status, headers, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815  # the library's names

    def _call_server(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in PER_CONNECTION}
        server = http.client.HTTPConnection(self.server.server, timeout=60)
        try:
            server.request(self.command, self.path, body=body, headers=headers)
            response = server.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in PER_CONNECTION}
            return response.status, kept, response.read()
        except OSError:
            return 502, {}, b""
        finally:
            server.close()

    def _respond(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Suppress the request log."""


@contextmanager
def gateway_to(server: str, *, seed: int = 0) -> Iterator[Gateway]:
    """Run a gateway to the server at an address."""
    with Gateway(server, seed=seed) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join()
