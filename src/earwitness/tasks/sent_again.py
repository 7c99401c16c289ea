"""Fragments that a producer sent again: AWS's producers do, when they connect anew, with all that was not acknowledged.

What belongs here: telling such a fragment from one that is new. What must never: decoding.
"""

from collections import deque
from datetime import datetime
from zlib import crc32

LOOKED_BACK = 64
"""Fragments that are remembered. A producer sends again what it has from a few seconds before its connection broke."""

TAIL_BYTES = 4_096
"""Of a fragment that are compared: a quarter of a second at least in telephone quality. Its begin may differ, because
relative timestamps count from the begin of a connection."""


class SentAgain:
    """What a stream brought lately."""

    def __init__(self) -> None:
        self._latest: deque[tuple[datetime, int]] = deque(maxlen=LOOKED_BACK)

    def is_known(self, producer_time: datetime, cluster: bytes) -> bool:
        """Return whether this fragment came before: of the same time, to the millisecond, with the same end."""
        key = producer_time, crc32(memoryview(cluster)[-TAIL_BYTES:])
        if key in self._latest:
            return True
        self._latest.append(key)
        return False
