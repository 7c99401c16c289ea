"""Sockets for media: a pair of UDP ports for each line, RTP on the even one (RFC 3550, section 11).

What belongs here: having ports, giving them back, reading packets off them. What must never: what packets say.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack

from earwitness.errors import Unavailable

PACKETS_AT_ONCE = 64
"""Read from one socket before others have their turn."""

PACKET_BYTES_MAX = 2_048
"""Longer ones are no telephone audio; they are cut, and refused for it."""

DESCRIPTORS_OF_PORT = 2
"""A socket for RTP, and one for RTCP."""

TRIES_MAX = 64
"""Ports that other programs have which are tried for one line: each costs system calls on the event loop, and the range
may hold thousands. The next line goes on behind them."""

RECEIVE_BUFFER_BYTES = 131_072
"""Kept by the kernel while the event loop is busy: more than two seconds of one party."""


class MediaPort:
    """A pair of ports. What is sent to the odd one, RTCP, is taken by nobody; that it is open keeps senders content."""

    def __init__(self, rtp: socket.socket, rtcp: socket.socket, *, closed: Callable[[int], None]) -> None:
        """`closed` is told the number when the ports are given back."""
        self.number: int = rtp.getsockname()[1]
        self._closed = closed
        self._rtp = rtp
        self._rtcp = rtcp
        self._is_read = False

    def read(self, receive: Callable[[bytes, str], None]) -> None:
        """Hand each packet, and the address it came from, to `receive` from now on."""

        def readable() -> None:
            for _ in range(PACKETS_AT_ONCE):
                try:
                    packet, address = self._rtp.recvfrom(PACKET_BYTES_MAX)
                except (BlockingIOError, InterruptedError):
                    return
                except OSError:  # what ICMP told of a packet that we never sent
                    continue
                receive(packet, str(address[0]))

        asyncio.get_running_loop().add_reader(self._rtp, readable)
        self._is_read = True

    def close(self) -> None:
        """Give the ports back."""
        if self._is_read:
            asyncio.get_running_loop().remove_reader(self._rtp)
            self._is_read = False
        self._rtp.close()
        self._rtcp.close()
        self._closed(self.number)


class MediaPorts:
    """The ports that may be used for media."""

    def __init__(self, host: str, *, low: int, high: int) -> None:
        """`host` is where to listen; ports from `low` to `high`, of which half are for RTP."""
        self._host = host
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._even = range(low + low % 2, high, 2)
        self._next = 0
        self._ours: set[int] = set()

    def open(self) -> MediaPort:
        """Return a pair that is free, not one that was just given back. Raise Unavailable when none is found."""
        tries = 0
        for _ in range(len(self._even)):
            number = self._even[self._next]
            self._next = (self._next + 1) % len(self._even)
            if number in self._ours:
                continue
            try:
                return self._pair(number)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise Unavailable(f"no port for media can be opened: {error.strerror}") from error
            tries += 1
            if tries == TRIES_MAX:
                break
        raise Unavailable("no port for media is free; widen the range of `siprec_media`")

    def _pair(self, number: int) -> MediaPort:
        with ExitStack() as opened:
            rtp, rtcp = (opened.enter_context(self._bound(each)) for each in (number, number + 1))
            rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            rtcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the least there can be
            opened.pop_all()
        self._ours.add(number)
        return MediaPort(rtp, rtcp, closed=self._ours.discard)

    def _bound(self, number: int) -> socket.socket:
        opened = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.bind((self._host, number))
        except OSError:
            opened.close()
            raise
        return opened
