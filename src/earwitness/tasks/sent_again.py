"""Fragments that a producer sent again: AWS's producers do, when they connect anew, with all that was not acknowledged.

What belongs here: telling such a fragment from one that is new. What must never: decoding.
"""

from collections import deque
from datetime import datetime
from zlib import crc32

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import read_children, read_element
from earwitness.errors import MatroskaInvalid

LOOKED_BACK = 64
"""Fragments that are remembered. A producer sends again what it has from a few seconds before its connection broke."""


class SentAgain:
    """What a stream brought lately."""

    def __init__(self) -> None:
        self._latest: deque[tuple[str | None, datetime, int]] = deque(maxlen=LOOKED_BACK)

    def is_known(self, producer_time: datetime, cluster: bytes, *, call: str | None) -> bool:
        """Return whether this fragment came before: of the same call and time, with the same blocks, and no others of
        that time.

        `call` is what its tags name the call. Two calls may have the same times: a producer's clock may be wrong, and a
        recording may be played again as another call.
        """
        key = call, producer_time, crc32(memoryview(cluster)[_first_block(cluster) :])
        if key not in self._latest:
            self._latest.append(key)
            return False
        # Where others have the same time, the producer's clock stands still, and one silence is like another.
        return not any(one[:2] == key[:2] and one != key for one in self._latest)


def _first_block(cluster: bytes) -> int:
    """Return where the first block's content begins: what stands before it may differ in a fragment that is sent again,
    because relative timestamps count from the begin of a connection."""
    try:
        element = read_element(cluster, 0, len(cluster))
        for element_id, start, _ in read_children(cluster, element[2], len(cluster)) if element else ():
            if element_id in (ids.SIMPLE_BLOCK, ids.BLOCK_GROUP):
                return start
    except MatroskaInvalid:  # who decodes it says what is wrong with it
        return 0
    return 0
