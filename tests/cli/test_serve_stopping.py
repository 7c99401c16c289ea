"""`earwitness serve` ends when it is told to, and answers, whatever its threads do and whoever reads its log."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from running import Process

pytestmark = pytest.mark.slow

STUCK = """
import time
from concurrent.futures import ThreadPoolExecutor
from earwitness.cli.main import main
ThreadPoolExecutor(1).submit(time.sleep, 3_600)
main()
"""
"""A service with a thread that Python would wait for at its exit, as for a decoder in the middle of a long file."""


def test_a_thread_that_does_not_end_does_not_keep_the_process(tmp_path: Path) -> None:
    settings = {"EARWITNESS_LIMITS": "stop_seconds=3"}
    with Process(tmp_path / "data", "--dev", environment=settings, program=("-c", STUCK)) as served:
        assert httpx.get(f"{served.url}/health").status_code == 200
        told = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.wait() == 0
        assert 2.9 < time.monotonic() - told < 60  # by itself it would take an hour
    assert "threads were still at work" in served.lines[-1]


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes nothing more, and nobody who reads it."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4096)
    os.set_blocking(writing, True)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def test_a_log_that_nobody_reads_stops_neither_requests_nor_the_end(tmp_path: Path) -> None:
    port = tmp_path / "port"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from earwitness.cli.main import main\n"
        "from earwitness.server import run\n"
        "opened = run.open_socket\n"
        "def noted(listening):\n"
        "    socket = opened(listening)\n"
        f"    Path({str(port)!r}).write_text(str(socket.getsockname()[1]))\n"
        "    return socket\n"
        "run.open_socket = noted\n"
        "main()\n"
    )  # the address that it says cannot be read
    command = [sys.executable, "-c", program, "serve", "--dev", "--port", "0", "--data", str(tmp_path / "data")]
    environment = {**os.environ, "EARWITNESS_LOG_LEVEL": "debug", "PYTHONWARNINGS": "always"}
    with full_pipe() as (_, writing):
        process = subprocess.Popen(command, stderr=writing, env=environment)
        try:
            while process.poll() is None and not (port.is_file() and port.read_text()):
                time.sleep(0.01)
            url = f"http://127.0.0.1:{port.read_text()}"
            with httpx.Client(timeout=120, headers={"authorization": "Bearer test"}) as client:
                unknown = f"{url}/earwitness/v1/tasks/unknown?region=us-east-1"
                refused = [client.get(unknown).status_code for _ in range(300)]  # a line each
                assert set(refused) == {404}
                assert client.get(f"{url}/health").json() == {"status": "ok"}
            process.terminate()
            assert process.wait(120) == 0
        finally:
            process.kill()
            process.wait()
