"""How long a stream's fragments are kept.

What belongs here: the rule, as pure values. What must never: who deletes, and how.
"""

from dataclasses import dataclass

LIVE_MINUTES = 5.0
LIVE_WINDOW_BYTES = 200_000_000
"""What a stream without retention keeps for its readers: 5 minutes or 200 MB (AWS's CreateStream)."""

BYTES_MAX = 10 * 2**30
"""Bytes of one stream when nothing else is set: a week of one telephone channel (8 kHz, 16 bit) without a pause, so
that one forgotten stream cannot fill the disk. Whoever keeps more sets more."""

_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
_LAG_PARTS = 24
_LAG_MS_MIN, _LAG_MS_MAX = 60_000, _HOUR_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What is kept: the newer than `window_ms` of at most `bytes_kept`, oldest gone first."""

    hours: int
    """0: nothing is persisted, and readers find the live window only."""

    bytes_max: int = BYTES_MAX

    live_minutes: float = LIVE_MINUTES
    """The live window."""

    def __post_init__(self) -> None:
        if self.hours < 0 or self.bytes_max < 0 or self.live_minutes < 0:
            raise ValueError("a retention is never negative")

    @property
    def window_ms(self) -> int:
        """Age that a fragment may reach, by its server timestamp."""
        return self.hours * _HOUR_MS or round(self.live_minutes * _MINUTE_MS)

    @property
    def bytes_kept(self) -> int:
        """Bytes that the stream may have."""
        return self.bytes_max if self.hours else min(self.bytes_max, LIVE_WINDOW_BYTES)

    @property
    def lag_ms(self) -> int:
        """How much later than it is hidden may a fragment leave the medium: a 24th of the window, a minute to an hour.

        Media are freed in pieces, not fragment by fragment; a piece spans at most this.
        """
        return min(max(self.window_ms // _LAG_PARTS, _LAG_MS_MIN), _LAG_MS_MAX)
