"""Where a reader of GetMedia is in its stream, and so where its next connection begins.

What belongs here: the choice of a StartSelector, and which fragments come a second time. What must never: connections.
"""

from datetime import UTC, datetime

from earwitness.errors import SourceUnavailable
from earwitness.media.get_media import Selector
from earwitness.media.source import StartPosition

LIVE_EDGE: Selector = {"StartSelectorType": "NOW"}

_NUMBER_DIGITS_MAX = 128


class ReadCursor:
    """Moves on with every fragment."""

    def __init__(self, start: StartPosition) -> None:
        self._after = start.after_number
        self._since: datetime | None = start.since
        self._last = -1 if start.after_number is None else int(start.after_number)
        if start.first_number is not None:
            self._after, self._since = None, start.first_server_time or start.since
            self._last = int(start.first_number) - 1
        self._took_one = False
        self._missed = False
        self._earliest = None if self.is_numbered else _whole_milliseconds(start.since)
        """Of the first fragment, where no number says which it is."""

    @property
    def is_numbered(self) -> bool:
        """Whether it lies behind a fragment, so that there is something to miss."""
        return self._last >= 0

    def selector(self) -> Selector:
        """Where the next connection begins: behind the last fragment, or at a time, or at the live edge."""
        if self._after is not None:
            return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": self._after}
        if self._since is not None:
            return {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": self._since.astimezone(UTC)}
        return LIVE_EDGE

    def take(self, number: str, server_time: datetime) -> bool:
        """Whether a fragment is new; then this is the place. Raises SourceUnavailable for what is no number."""
        if not (number.isascii() and number.isdecimal() and len(number) <= _NUMBER_DIGITS_MAX):
            raise SourceUnavailable("a fragment comes without a number; look at the endpoint of Kinesis Video Streams")
        if int(number) <= self._last or (self._earliest is not None and server_time < self._earliest):
            return False
        self._after, self._since, self._last, self._earliest = number, server_time, int(number), None
        self._took_one = True
        return True

    def miss(self) -> None:
        """Something that comes next cannot be had."""
        self._missed = True

    def take_missed(self) -> bool:
        """Whether something is missing before the fragment that was just taken."""
        missed, self._missed = self._missed, False
        return missed

    def lose(self) -> None:
        """The stream has no such place: go on at its time, or, where it has no such time either, at the live edge.

        What was taken before does not come again.
        """
        self.miss()
        if self._after is None:
            self._since = None
        self._after = None
        if not self._took_one:  # the number was another stream's, and says nothing of this one's
            self._last = -1


def _whole_milliseconds(time: datetime) -> datetime:
    """As fragments know their time."""
    return time.replace(microsecond=time.microsecond // 1_000 * 1_000)
