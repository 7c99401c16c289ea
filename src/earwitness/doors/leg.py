"""A leg's timeline: samples in their places, silence where there are none, fragments of a second out of it.

Phone systems send packets of 20 ms that may be late, lost, twice there or out of order, and nothing at all while a call
is on hold. What comes out has no holes: a sample's place in it is its time, so the legs of a call stay side by side.

What belongs here: places and silence. Time is an argument, in seconds of any clock that never jumps. What must never:
sockets, the media log, who speaks.
"""

from dataclasses import dataclass, field

from earwitness.doors.events import Leg

FRAGMENT_SECONDS = 1.0

REORDER_SECONDS = 0.3
"""A packet may come so much later than those behind it: fifteen packets of 20 ms."""

LATE_SECONDS = 1.0
"""How long after its time audio is waited for. Then silence is written in its place. A sender whose TCP connection
loses a segment stalls for less than this."""

CLOCK_JUMP_SECONDS = 3.0
"""A sender's clock is believed so far ahead of what it has sent. Time that passes is added to it again: a sender that
lost packets for a minute was silent for a minute, and silence was written meanwhile."""

CLOCK_STEPPED_BACK_SECONDS = 0.5
"""So much audio in a row that is too late means that the sender's clock was set back, not that packets were."""

SILENCE_SECONDS_MAX = 60.0
"""At most so much silence is written in one go, however long nobody looked."""

BEGIN_SECONDS = 0.06
"""A leg that is first heard so soon after its call's begin was there from the begin: the rest is jitter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LegFragment:
    """A stretch of a leg: whole samples of its coding. The next one begins where it ends."""

    #: The place of the first sample, counted from the timeline's begin.
    first: int
    samples: int
    #: Empty: silence.
    data: bytes = field(repr=False)


@dataclass(slots=True)
class LegCounts:
    """What was wrong with a leg, in samples."""

    #: Came after its place was given away; copies of what was there in time among them.
    late: int = 0
    #: Came twice.
    duplicate: int = 0
    #: Never came, between samples that did.
    lost: int = 0
    #: How often the sender's clock jumped.
    jumps: int = 0


class LegTimeline:
    """Feed audio as it comes and look at the clock a few times a second; take fragments, in order."""

    def __init__(self, leg: Leg, *, begins: float) -> None:
        """`begins` is the time of place 0."""
        self.counts = LegCounts()
        self._rate = leg.rate
        self._bytes = leg.coding.sample_bytes
        self._silence = leg.coding.silence
        self._length = round(FRAGMENT_SECONDS * leg.rate)
        self._reorder = round(REORDER_SECONDS * leg.rate)
        # Samples from `_cut` to `_end` are not given out yet; `_heard` says which of them came, the rest is silence.
        self._cut = 0
        self._window = bytearray()
        self._heard: list[tuple[int, int]] = []
        # Place 0 of the sender's clock; None before the first audio.
        self._origin: int | None = None
        # When the latest audio ended, by the clock, and where.
        self._anchor_time, self._anchor_place = begins, 0
        # Whether silence was written by the clock since then, and where audio went on after the latest such silence:
        # nothing was lost before.
        self._is_resting, self._resumed = False, 0
        # How much may still be lost at once, as of when.
        self._credit, self._credit_time = CLOCK_JUMP_SECONDS * leg.rate, begins
        # Audio in a row that was too late, and where it would go on by the sender's clock.
        self._late_run, self._late_next = 0, 0

    @property
    def _end(self) -> int:
        return self._cut + len(self._window) // self._bytes

    def place(self, data: bytes, at: int | None, *, now: float) -> list[LegFragment]:
        """Put samples where they belong; return what is complete by them.

        `at` is their place by the sender's clock; None: behind what came before. Half a sample at the end is dropped.
        """
        samples = len(data) // self._bytes
        if not samples:
            return []
        end = self._end
        stop = end + samples
        if self._goes_on(at, end) and stop < self._cut + self._length:  # the usual case, fifty times a second
            self._window += data[: samples * self._bytes]
            self._heard[-1] = (self._heard[-1][0], stop)
            self._anchor_time, self._anchor_place = now, stop
            self._late_run = 0
            return []
        if self._origin is None:
            first = self._begin(samples, at or 0, now=now)
        elif at is None:
            first = self._now_place(samples, now=now) if self._is_resting else self._end
        else:
            first = self._by_senders_clock(samples, at, now=now)
        self._put(first, data[: samples * self._bytes], now=now)
        return self._take_ripe(now)

    def elapse(self, now: float) -> list[LegFragment]:
        """Return what is complete by the clock: silence where nothing came in time."""
        written = (self._end - self._anchor_place) / self._rate
        self._anchor_time = max(self._anchor_time, now - LATE_SECONDS - SILENCE_SECONDS_MAX - written)
        return self._take_ripe(now)

    def finish(self) -> list[LegFragment]:
        """Return the rest, up to the last sample that came."""
        return [self._take(self._end)] if self._window else []

    def _goes_on(self, at: int | None, end: int) -> bool:
        """Return whether audio follows the latest without a gap."""
        if self._is_resting or self._origin is None or not self._heard or self._heard[-1][1] != end:
            return False
        return at is None or self._origin + at == end

    def _begin(self, samples: int, at: int, *, now: float) -> int:
        """Return the place of a leg's first audio: where it is by the clock."""
        first = self._now_place(samples, now=now) - at
        origin = self._cut if first <= self._cut + BEGIN_SECONDS * self._rate else first
        if at > CLOCK_JUMP_SECONDS * self._rate:  # it counts from something else than its first sample
            origin = self._now_place(samples, now=now) - at
        self._origin = self._resumed = origin
        self._is_resting = False
        return origin + at

    def _now_place(self, samples: int, *, now: float) -> int:
        """Return where samples belong that were spoken just now, but nowhere where others are."""
        return max(self._end, self._anchor_place + round((now - self._anchor_time) * self._rate) - samples)

    def _by_senders_clock(self, samples: int, at: int, *, now: float) -> int:
        first = (self._origin or 0) + at
        if first + samples <= self._cut:
            self._late_run = self._late_run + samples if at == self._late_next else samples
            self._late_next = at + samples
            if self._late_run < CLOCK_STEPPED_BACK_SECONDS * self._rate:
                return first
        else:
            self._late_run = 0
            if first - self._end <= self._credit_at(now):
                return first
        self.counts.jumps += 1
        self._late_run = 0
        first = min(self._now_place(samples, now=now), self._end + int(self._credit_at(now)))
        self._origin = first - at
        return first

    def _credit_at(self, now: float) -> float:
        most = CLOCK_JUMP_SECONDS * self._rate
        self._credit = min(most, self._credit + (now - self._credit_time) * self._rate)
        self._credit_time = now
        return self._credit

    def _put(self, first: int, data: bytes, *, now: float) -> None:
        """Write samples into the window: those whose place is free and not given away."""
        stop, end = first + len(data) // self._bytes, self._end
        if first < self._cut:
            self.counts.late += min(stop, self._cut) - first
            data, first = data[(self._cut - first) * self._bytes :], self._cut
        if first >= stop:
            return
        if first < end:
            self._put_between(first, data[: (end - first) * self._bytes])
            data, first = data[(end - first) * self._bytes :], end
        if data:
            self._window += self._silence * (first - end)
            self._window += data
            self._note_heard(first, stop)
            self._anchor_time, self._anchor_place = now, stop
            if self._is_resting:
                self._is_resting, self._resumed = False, first

    def _put_between(self, first: int, data: bytes) -> None:
        """Write samples where the window has places already; the first that came to a place stay."""
        stop = first + len(data) // self._bytes
        free, place = 0, first
        for low, high in [*self._heard, (stop, stop)]:
            until = min(low, stop)
            if place < until:
                start = (place - self._cut) * self._bytes
                piece = data[(place - first) * self._bytes : (until - first) * self._bytes]
                self._window[start : start + len(piece)] = piece
                free += until - place
            place = max(place, high)
        self.counts.duplicate += stop - first - free
        self._note_heard(first, stop)

    def _note_heard(self, first: int, stop: int) -> None:
        if self._heard and self._heard[-1][0] <= first <= self._heard[-1][1]:  # the usual case
            self._heard[-1] = (self._heard[-1][0], max(self._heard[-1][1], stop))
            return
        joined: list[tuple[int, int]] = []
        for low, high in sorted([*self._heard, (first, stop)]):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            else:
                joined.append((low, high))
        self._heard = joined

    def _take_ripe(self, now: float) -> list[LegFragment]:
        """Return the fragments that nothing can be added to any more."""
        taken: list[LegFragment] = []
        due = self._anchor_place + (now - self._anchor_time - LATE_SECONDS) * self._rate
        while True:
            stop, end = self._cut + self._length, self._end
            if due >= stop:
                self._is_resting = self._is_resting or stop > end
                self._window += self._silence * max(0, stop - end)
            elif end < stop or (not self._is_whole(stop) and end - stop < self._reorder):
                return taken
            taken.append(self._take(stop))

    def _is_whole(self, stop: int) -> bool:
        return bool(self._heard) and self._heard[0][0] <= self._cut and self._heard[0][1] >= stop

    def _take(self, stop: int) -> LegFragment:
        size = (stop - self._cut) * self._bytes
        data, self._window = bytes(self._window[:size]), self._window[size:]
        first, self._cut = self._cut, stop
        # Behind the latest audio it is silence by the clock.
        self._credit = max(0.0, self._credit - self._missing(first, min(stop, self._anchor_place)))
        self.counts.lost += self._missing(max(first, self._resumed), min(stop, self._anchor_place))
        has_audio = bool(self._heard) and self._heard[0][0] < stop
        self._heard = [(max(low, stop), high) for low, high in self._heard if high > stop]
        return LegFragment(first=first, samples=stop - first, data=data if has_audio else b"")

    def _missing(self, first: int, stop: int) -> int:
        """Return how many samples between these places never came."""
        came = sum(max(0, min(high, stop) - max(low, first)) for low, high in self._heard)
        return max(0, stop - first - came)
