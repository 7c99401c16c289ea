"""A service that is killed while it delivers an event delivers it again as soon as it is back."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from calls import Application
from serving import kill, start, stop

from earwitness.tasks.deliver import CLAIM_SECONDS
from patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # noqa: S105  # made up


class Receiver(ThreadingHTTPServer):
    """A webhook that leaves the first sender waiting, for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.got: list[bytes] = []
        self.came, self.leave, self.again = threading.Event(), threading.Event(), threading.Event()


class Answering(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        server = self.server
        server.got.append(self.rfile.read(int(self.headers["content-length"])))
        if len(server.got) == 1:
            server.came.set()
            server.leave.wait()
            return
        self.send_response(204)
        self.end_headers()
        if server.got[-1] == server.got[0]:
            server.again.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.leave.set()
    server.shutdown()
    serving.join()
    server.server_close()


def test_an_event_of_a_killed_sender_goes_out_at_the_next_start(receiver: Receiver, tmp_path: Path) -> None:
    settings = tmp_path / "webhook.toml"
    settings.write_text(
        f'webhook_url = "http://127.0.0.1:{receiver.server_port}/"\nwebhook_secret = "{SECRET}"\n'
        'webhook_private_addresses = "on"\n',
        encoding="utf-8",
    )
    served = start(tmp_path / "data", settings_file=settings)
    app = Application(served, "killed")
    try:
        pipeline = app.pipeline(app.stream("line"))
        app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
        assert receiver.came.wait(PATIENCE_SECONDS)
        kill(served)
        killed_at = time.monotonic()
        served = start(tmp_path / "data", settings_file=settings)
        started_seconds = time.monotonic() - killed_at
        assert receiver.again.wait(PATIENCE_SECONDS)
        waited_seconds = time.monotonic() - killed_at - started_seconds
        # It did not wait for the claim to run out; after a slow start nobody can tell.
        assert waited_seconds < CLAIM_SECONDS / 2 or started_seconds > CLAIM_SECONDS / 4
    finally:
        app.close()
        stop(served)
