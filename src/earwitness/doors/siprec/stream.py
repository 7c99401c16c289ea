"""SIP over TCP and TLS (RFC 3261, 18.3): a stream of bytes to messages.

What belongs here: where a message ends. What must never: sockets, time.
"""

from dataclasses import dataclass

from earwitness.doors.siprec.message import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    REASONS,
    SipFault,
    SipMessage,
    content_length,
    read_head,
    split_head,
    with_body,
)
from earwitness.errors import SipUnreadable


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Two empty lines between messages, which are answered with one (RFC 5626, 4.4.1)."""


class SipStream:
    """Feed bytes of any size; take messages. After an error the stream cannot be used any more."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[SipMessage, int] | None = None
        self._is_broken = False

    @property
    def is_within_message(self) -> bool:
        """Say whether a message began that has not ended."""
        return self._head is not None or bool(self._buffer.lstrip(b"\r\n"))

    @property
    def is_broken(self) -> bool:
        """Say whether nobody knows any more where the next message begins."""
        return self._is_broken

    def feed(self, data: bytes) -> list[SipMessage | KeepAlive]:
        """Return what is complete now. Raise SipUnreadable when the stream holds no SIP.

        A message whose length is a lie is returned with its fault; the stream is broken behind it.
        """
        if self._is_broken:
            return []
        self._buffer += data
        found = list[SipMessage | KeepAlive]()
        try:
            while (each := self._next()) is not None:
                found.append(each)
        except SipUnreadable:
            self._is_broken = True
            if not found:
                raise
        return found

    def _next(self) -> SipMessage | KeepAlive | None:
        if self._is_broken:
            return None
        if self._head is None:
            if (keep_alive := self._skip_empty_lines()) is not None:
                return keep_alive
            if not self._read_head():
                return None
        if self._head is None:
            return None
        message, length = self._head
        if length < 0 or length > BODY_BYTES_MAX:
            self._is_broken = True
            status = 400 if length < 0 else 413
            return with_body(message, b"", SipFault(status, REASONS[status]))
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        return with_body(message, body, None)

    def _skip_empty_lines(self) -> KeepAlive | None:
        if self._buffer.startswith(b"\r\n\r\n"):
            del self._buffer[:4]
            return KeepAlive()
        if len(self._buffer) > 2 and self._buffer.startswith(b"\r\n") and not self._buffer.startswith(b"\r\n\r"):
            del self._buffer[:2]
        return None

    def _read_head(self) -> bool:
        head, rest = split_head(bytes(self._buffer[: HEAD_BYTES_MAX + 4]))
        if head is None:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise SipUnreadable("the headers are too long")
            return False
        if not head.strip():
            raise SipUnreadable("an empty message")
        message = read_head(head)
        length = content_length(message.headers)
        del self._buffer[: len(self._buffer[: HEAD_BYTES_MAX + 4]) - len(rest)]
        self._head = (message, 0 if length is None else length)
        return True
