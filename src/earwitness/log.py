"""Structured logs: constant text, context as keys, one line an event.

What belongs here: the formatter, the one call that installs it, the stream that lets no log line block its caller, and
how often a failure that lasts is told.
What must never: personal data. A key that could hold any is named `pii.*` and its value is replaced before it is
written.
"""

import io
import json
import logging
import os
import select
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNWRITTEN_BYTES_MAX = 1 << 20
"""What may wait to be written to standard error: some 5,000 log lines. More is dropped and counted."""

LAST_LINES_SECONDS = 1.0
"""How long the end of a process waits for its last lines to be written."""

TELL_AGAIN_SECONDS = 60.0
"""How often a failure is told that comes again and again."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, room, text, and the `extra` keys of the call."""

    def format(self, record: logging.LogRecord) -> str:
        # `Any`: the values of `extra` are whatever the caller logged; json renders them or falls back to repr.
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "room": record.name,
            "text": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line[key] = "(withheld)" if key.startswith("pii.") else value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=repr)


def install(*, level: str) -> None:
    """Send the logs of `earwitness` to standard error as JSON lines, from `level` (debug … critical) up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("earwitness")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def frames_of(error: BaseException) -> list[str]:
    """Where an error came from, `file:line function`, without its message or any value: those may be personal."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


class Recurring:
    """Failures that come again and again while their cause lasts, as every second while the records are away.

    One of a kind is told at once, and then one a minute, with how many came meanwhile. Any thread may tell.
    """

    def __init__(self, log: logging.Logger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._told_at: dict[tuple[int, str], float] = {}
        self._untold = Counter[tuple[int, str]]()

    def tell(self, level: int, text: str, **context: object) -> None:
        """Log this, unless a failure of the same level and text was logged within a minute."""
        kind, now = (level, text), self._monotonic()
        with self._lock:
            self._untold[kind] += 1
            if now - self._told_at.get(kind, float("-inf")) < TELL_AGAIN_SECONDS:
                return
            self._told_at[kind] = now
            failures = self._untold.pop(kind)
        self._log.log(level, text, extra={"failures": failures, **context}, stacklevel=2)


class StderrWriter(io.TextIOBase):
    """A text stream whose `write` never waits. A thread writes to the descriptor, in order.

    A pipe that nobody reads blocks whoever writes to it; here that is the thread. What does not fit into the queue
    meanwhile is dropped, and a log line tells how many lines were dropped when there is room again.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int, *, unwritten_bytes_max: int = UNWRITTEN_BYTES_MAX) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._unwritten_bytes_max = unwritten_bytes_max
        self._queue: deque[bytes] = deque()
        self._unwritten_bytes = 0
        self._dropped_untold = 0
        self._ending = False
        self._changed = threading.Condition()
        self.lines_dropped = 0
        """Lines dropped since the start."""
        # A daemon: it may be stuck in a write when the process ends. It holds no lock and no Python buffer then.
        self._thread = threading.Thread(target=self._write_all, name="earwitness stderr", daemon=True)
        self._thread.start()

    def write(self, text: str, /) -> int:
        """Queue the text, or drop it when too much is waiting."""
        encoded = text.encode(errors="replace")
        with self._changed:
            if self._unwritten_bytes + len(encoded) > self._unwritten_bytes_max:
                self._count_dropped(encoded)
            else:
                self._put(encoded)
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Say whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Return the descriptor, for programs that are started with it as their standard error."""
        return self._descriptor

    def drain(self, *, seconds_max: float) -> bool:
        """Wait until everything is written; False when it took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unwritten_bytes, seconds_max)

    def end(self) -> None:
        """Let the thread end when everything is written."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def _put(self, encoded: bytes) -> None:
        self._queue.append(encoded)
        self._unwritten_bytes += len(encoded)
        self._changed.notify_all()

    def _count_dropped(self, encoded: bytes) -> None:
        lines = max(1, encoded.count(b"\n"))
        self.lines_dropped += lines
        self._dropped_untold += lines

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ending)
                if not self._queue:
                    return
                batch = b"".join(self._queue)
                self._queue.clear()
            is_written = self._write_batch(batch)
            with self._changed:
                self._unwritten_bytes -= len(batch)
                if not is_written:
                    self._count_dropped(batch)
                elif self._dropped_untold:
                    self._put(_dropped_line(self._dropped_untold))
                    self._dropped_untold = 0
                self._changed.notify_all()

    def _write_batch(self, batch: bytes) -> bool:
        """Write it all, however long that takes; False when nobody can read it any more."""
        rest = memoryview(batch)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares the descriptor has made it so
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()
            except OSError:  # the reader of the pipe is gone, or the terminal
                return False
        return True


def _dropped_line(count: int) -> bytes:
    record = logging.makeLogRecord(
        {
            "name": "earwitness.log",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "lines were dropped here because nobody read this log",
            "lines": count,
        }
    )
    return JsonLines().format(record).encode() + b"\n"


@contextmanager
def without_waiting() -> Generator[None]:
    """Let nothing that is written to standard error make its writer wait, neither logs nor notes nor warnings.

    At the end the last lines get a second. If they cannot be written in it, standard error stays as it is, so that what
    comes after does not wait either.
    """
    before = sys.stderr
    try:
        descriptor = before.fileno()
    except (OSError, ValueError, AttributeError):  # no file: text that a test gathers, or none at all
        yield
        return
    before.flush()
    writer = StderrWriter(descriptor)
    _redirect(writer)
    try:
        yield
    finally:
        if writer.drain(seconds_max=LAST_LINES_SECONDS):
            _redirect(before)
            writer.end()


def lines_dropped() -> int:
    """Return how many lines this process could not write to standard error."""
    return sys.stderr.lines_dropped if isinstance(sys.stderr, StderrWriter) else 0


def drain() -> None:
    """Give the lines that are still queued a second to be written."""
    if isinstance(sys.stderr, StderrWriter):
        sys.stderr.drain(seconds_max=LAST_LINES_SECONDS)


def _redirect(stream: io.TextIOBase | Any) -> None:  # `Any`: TextIO and TextIOBase are of different families
    sys.stderr = stream
    for handler in logging.getLogger("earwitness").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)
