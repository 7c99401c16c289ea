"""A server that answers GetMedia from a script, for what our own service never says."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from source_streams import pieces

from earwitness.audio.matroska.get_media import get_media_chunk, get_media_error

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class ScriptedAws:
    """What the next GetMedia are answered with, and what was asked for."""

    url: str = ""
    answers: list[bytes | str] = field(default_factory=list)
    """Payloads, or codes of errors; after the last one the stream is not found."""

    retention_hours: int = 24
    selectors: list[dict[str, Any]] = field(default_factory=list)
    endpoints_asked: int = 0


def chunk(number: int, *, called: str = "") -> bytes:
    """A second of audio whose fragment has this number, or is called something else."""
    ((header, cluster),) = pieces([number])
    at = EPOCH + timedelta(seconds=number)
    return get_media_chunk(
        header,
        cluster,
        producer_tags=b"",
        fragment_number=called or str(number),
        server_timestamp=at,
        producer_timestamp=at,
        millis_behind_now=0,
        continuation_token=str(number),
    )


def error(error_id: int) -> bytes:
    """What GetMedia says when it cannot go on."""
    header = pieces([0])[0][0]
    return get_media_error(header, fragment_number="0", error_id=error_id, error_code="SOME_ERROR")


@contextmanager
def scripted_aws() -> Iterator[ScriptedAws]:
    script = ScriptedAws()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/describeStream":
                self._say(json.dumps({"StreamInfo": {"DataRetentionInHours": script.retention_hours}}).encode())
            elif self.path == "/getDataEndpoint":
                script.endpoints_asked += 1
                self._say(json.dumps({"DataEndpoint": script.url}).encode())
            else:
                script.selectors.append(sent["StartSelector"])
                answer = script.answers.pop(0) if script.answers else "ResourceNotFoundException"
                self._say(b"{}" if isinstance(answer, str) else answer, code=answer if isinstance(answer, str) else "")

        def _say(self, body: bytes, *, code: str = "") -> None:
            self.send_response(400 if code else 200)
            if code:
                self.send_header("x-amzn-ErrorType", code)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()
