"""Where a reader of GetMedia is in its stream, and so where its next connection begins.

What belongs here: the choice of a StartSelector, and which fragments come a second time. What must never: connections.
"""

from datetime import UTC, datetime

from earwitness.errors import SourceUnavailable
from earwitness.sources.get_media import Selector
from earwitness.sources.source import StartPosition

_NOW: Selector = {"StartSelectorType": "NOW"}
_NUMBER_DIGITS_MAX = 128


class Place:
    """Moves on with every fragment."""

    def __init__(self, start: StartPosition) -> None:
        self._after = start.after_number
        self._since: datetime | None = None
        self._last = -1 if start.after_number is None else int(start.after_number)
        if start.first_number is not None:
            self._after, self._since = None, start.first_server_time
            self._last = int(start.first_number) - 1
        self._took_one = False

    @property
    def is_live_edge(self) -> bool:
        """Whether reading begins with what comes next, wherever that is."""
        return self._after is None and self._since is None

    def selector(self) -> Selector:
        """Where the next connection begins: behind the last fragment, or at its time, or at the live edge."""
        if self._after is not None:
            return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": self._after}
        if self._since is not None:
            return {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": self._since.astimezone(UTC)}
        return _NOW

    def opened(self, at: datetime | None) -> None:
        """A connection was answered. When nothing comes of it, the next one begins then, so that nothing slips
        between the two."""
        if self.is_live_edge:
            self._since = at

    def take(self, number: str) -> bool:
        """Whether a fragment is new; then this is the place. Raises SourceUnavailable for what is no number."""
        if not (number.isascii() and number.isdecimal() and len(number) <= _NUMBER_DIGITS_MAX):
            raise SourceUnavailable("a fragment comes without a number; look at the endpoint of Kinesis Video Streams")
        if int(number) <= self._last:
            return False
        self._after, self._since, self._last = number, None, int(number)
        self._took_one = True
        return True

    def lose(self) -> None:
        """The stream has no such place: go on at its live edge. What was taken before does not come again."""
        self._after = self._since = None
        if not self._took_one:  # the number was another stream's, and says nothing of this one's
            self._last = -1
