"""Which address of ours a peer reaches: where a socket listens on all of them, the machine's routes decide.

What belongs here: finding out, without sending anything. What must never: what it is told in.
"""

import socket

from earwitness.doors.allowed import plain_address

PEERS_MAX = 1_000
"""Peers whose answer is remembered."""


class OwnAddress:
    """Lives on one event loop."""

    def __init__(self, host: str) -> None:
        """`host` is what is listened at."""
        bound = plain_address(host)
        self._host = host
        self._is_every = bound is None or bound.is_unspecified
        self._found: dict[str, str] = {}

    def seen_by(self, peer: str) -> str:
        """Return our address as a peer reaches it."""
        if not self._is_every:
            return self._host
        if peer not in self._found:
            if len(self._found) >= PEERS_MAX:
                self._found.clear()
            family = socket.AF_INET6 if ":" in peer else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect((peer, 9))
                    self._found[peer] = str(probe.getsockname()[0])
                except OSError:
                    return self._host
        return self._found[peer]
