"""A small HTTP server on this machine that keeps every request as it came and answers as it is told."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Recorded:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    #: What was answered.
    status: int


@dataclass
class Recording:
    """What came, and what is answered: status, headers, body; nothing at all while `is_silent`."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    is_silent: bool = False
    requests: list[Recorded] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """As it was at the start."""
        fresh = Recording(port=self.port)
        vars(self).update(vars(fresh))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def recording(*, tls: ssl.SSLContext | None = None, answers: Iterator[int] | None = None) -> Iterator[Recording]:
    """Serve on a free port. `answers` are the statuses of the answers one after the other, instead of one for all."""
    kept = Recording()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = kept.status if answers is None else next(answers)
            kept.requests.append(Recorded(self.command, self.path, headers, body, status))
            if kept.is_silent:
                kept.over.wait(30)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in kept.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(kept.body)))
            self.end_headers()
            self.wfile.write(kept.body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that hangs up is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield kept
        finally:
            kept.over.set()
            server.shutdown()
            thread.join()
