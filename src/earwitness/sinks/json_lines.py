"""A local file of events, one JSON object a line. Turning the file over is left to the machine's own tools."""

import fcntl
import os
import stat
from pathlib import Path

from earwitness.errors import SinkRefused, SinkUnavailable
from earwitness.sinks.targets import require_sendable
from earwitness.voice.events import EventKind

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe without a reader must not block
_OWNER_ONLY = 0o600  # events may name people


class JsonLinesSink:
    """A file that is opened for every event, so that it may be moved away at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, event_body: bytes, *, event_id: str, ordering_key: str, kind: EventKind) -> None:  # noqa: ARG002
        """Return when the line is on the disk. The event is the whole line."""
        require_sendable(event_body)
        if b"\n" in event_body:
            raise SinkRefused("the event has several lines; it was not written by this service, or is damaged")
        try:
            self._append(event_body + b"\n")
        except OSError as error:
            raise SinkUnavailable(
                "the file of events cannot be written; look at its folder, its rights and the disk"
            ) from error

    def _append(self, line: bytes) -> None:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, _FLAGS, _OWNER_ONLY)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SinkRefused("the file of events is a device or a pipe; name a plain file")
            # Whoever else appends, in this process or another, is let finish: half a line that is being written would
            # look like one that was broken off.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _ends_within_a_line(descriptor):
                line = b"\n" + line
            if os.write(descriptor, line) != len(line):  # the next line begins anew
                raise OSError("the disk took a part of the line")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            self._keep_name()

    def _keep_name(self) -> None:
        """The file's name is on the disk only when its folder is."""
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _ends_within_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
