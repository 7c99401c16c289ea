"""A call in progress: from what its door tells to records, and to fragments in a stream for each leg.

`feed` never waits. Records are asked and told by a task of the call, fragments are written by one for each leg, and a
look at the clock, four times a second, writes the silence of legs that nothing comes from: a call on hold stays a call.

What belongs here: the order of things in one call. What must never: a protocol.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from earwitness.doors.desk import Desk, DoorAccess, KeptCall
from earwitness.doors.events import (
    Audio,
    CallEnded,
    CallStarted,
    CallUpdated,
    DoorEvent,
    Dtmf,
    Leg,
    LegStarted,
)
from earwitness.doors.leg import LATE_SECONDS, SILENCE_SECONDS_MAX, LegFragment, LegTimeline
from earwitness.doors.leg_media import leg_tags
from earwitness.doors.leg_writer import LegWriter
from earwitness.errors import BadRequest, EarwitnessError
from earwitness.log import frames_of
from earwitness.voice.call import LEGS_MAX, RATES

LOOK_SECONDS = 0.25

CHANGES_MAX = 200
"""Legs that begin and updates of one call that are passed on to the records. A phone system has a handful."""

WRITE_OUT_SECONDS = 5.0
"""How long the end of a call waits for its last fragments to be written."""

TELL_AGAIN_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""When a change of a call, or its end, is told to the records again, should they be away."""

ERROR_OF_OURS = "an error of ours"
"""Why a call failed that we could not go on with. The log says more."""


def _nobody_to_tell(_reason: str) -> None:
    """A door looks by itself whether a call is broken off."""


_log = logging.getLogger("earwitness.doors")


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorClock:
    """Where doors have the time from."""

    #: Seconds, of a clock that never jumps.
    monotonic: Callable[[], float] = time.monotonic
    utc: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True)
class _Line:
    """A leg from when it was announced."""

    leg: Leg
    writer: LegWriter
    #: None before the call was first heard.
    timeline: LegTimeline | None = None
    #: Time of place 0.
    begins: datetime | None = None


class LiveCall:
    """One call. Made by `begin`; ended by a CallEnded or by `close`, which a door calls whatever happens."""

    def __init__(
        self,
        desk: Desk,
        kept: KeptCall,
        started: CallStarted,
        *,
        door: str,
        clock: DoorClock,
        hang_up: Callable[[str], None],
    ) -> None:
        self.door = door
        #: Why its door has to hang up, though the phone system goes on; empty: it need not.
        self.broken_off = ""
        self._hang_up = hang_up
        self._desk = desk
        self._kept = kept
        self._clock = clock
        self._numbers = (started.from_number, started.to_number)
        self._announced_at = clock.monotonic()
        # The time when the call was first heard: place 0 of its legs.
        self._zero: float | None = None
        self._lines: dict[str, _Line] = {}
        self._former: list[_Line] = []
        self._changes: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(CHANGES_MAX)
        self._changed = 0
        self._unknown_labels = 0
        self._has_told_dropped_leg = False
        self._ended: CallEnded | None = None
        self._has_failed = False
        self._over = asyncio.Event()
        for leg in started.legs:
            self._lines[leg.label] = self._line(leg)
            self._open(self._lines[leg.label])
        work = (self._look_again_and_again(), self._tell_changes())
        self._tasks = [asyncio.create_task(self._until_failure(each)) for each in work]
        self._ending = asyncio.create_task(self._end_when_over())

    @classmethod
    async def begin(
        cls,
        desk: Desk,
        access: DoorAccess,
        started: CallStarted,
        *,
        door: str,
        clock: DoorClock | None = None,
        hang_up: Callable[[str], None] = _nobody_to_tell,
    ) -> "LiveCall":
        """Return the call, which is in the records now. Raise what `Desk.begin` raises.

        `door` names the protocol; `hang_up` is told, once, why a call is broken off. Nothing is kept of a call that is
        refused. Raise BadRequest for legs whose rate is not heard. Legs beyond LEGS_MAX are dropped: the records never
        know of them.
        """
        if not all(leg.rate in RATES for leg in started.legs):
            raise BadRequest(f"audio of {RATES[0]} to {RATES[-1]} Hz is heard; send another rate")
        announced, started = started, replace(started, legs=started.legs[:LEGS_MAX])
        beginning = asyncio.ensure_future(desk.begin(access, started, door=door))
        try:
            kept = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(partial(_end_unattended, desk))
            raise
        clock = clock or DoorClock()
        try:
            call = cls(desk, kept, started, door=door, clock=clock, hang_up=hang_up)
        except Exception:  # whoever asked hears of it; the records have a call that nobody would end
            await _tell_end(desk, kept, CallEnded(ERROR_OF_OURS, failed=True), sleep=clock.sleep)
            raise
        if len(announced.legs) > LEGS_MAX:
            call._tell_dropped_leg()
        return call

    @property
    def kept(self) -> KeptCall:
        """The call as the records have it."""
        return self._kept

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return self._kept.access.scope.account_id

    @property
    def is_over(self) -> bool:
        """Whether its door said that it ended, or an error of ours ended it."""
        return self._ended is not None

    def feed(self, event: DoorEvent) -> None:
        """Take what its door tells, at once. What comes behind the end is dropped."""
        if self._ended is not None:
            return
        if isinstance(event, Audio):
            self._place(event)
            return
        match event:
            case LegStarted():
                self._begin_leg(event.leg)
            case CallUpdated():
                self._numbers = (event.from_number or self._numbers[0], event.to_number or self._numbers[1])
                self._change(partial(self._update, event))
            case CallEnded():
                self._ended = event
                self._over.set()
            case Dtmf() | CallStarted():
                pass

    def break_off(self, reason: str) -> None:
        """End the call though its phone system goes on with it, as failed; nothing happens to one that has ended."""
        if self._ended is None:
            self.broken_off = reason
            self.feed(CallEnded(reason, failed=True))
            self._hang_up(reason)

    async def close(self, reason: str = "the connection was lost", *, failed: bool = True) -> None:
        """End the call unless it has ended, and return when its last fragment is written and the records know."""
        self.feed(CallEnded(reason, failed=failed))
        await asyncio.shield(self._ending)

    def _place(self, audio: Audio) -> None:
        line = self._lines.get(audio.label)
        if line is None:
            self._unknown_labels += 1
            if self._unknown_labels == 1:
                _log.warning("a call sends audio of a leg that was not announced", extra=self._told)
            return
        now = self._clock.monotonic()
        if line.timeline is None:
            samples = len(audio.data) // line.leg.coding.sample_bytes
            self._begin_timelines(now - samples / line.leg.rate, now=now)
        if line.timeline is not None:
            for fragment in line.timeline.place(audio.data, audio.at, now=now):
                _put(line, fragment)

    def _begin_timelines(self, zero: float, *, now: float) -> None:
        """Let all legs that were announced begin with the call."""
        self._zero = zero
        for line in self._lines.values():
            if line.timeline is None:
                self._begin_timeline(line, zero, now=now)

    def _begin_timeline(self, line: _Line, begins: float, *, now: float) -> None:
        line.timeline = LegTimeline(line.leg, begins=begins)
        line.begins = self._clock.utc() - timedelta(seconds=now - begins)

    def _begin_leg(self, leg: Leg) -> None:
        former = self._lines.get(leg.label)
        if former is not None and former.leg == leg:
            return
        if leg.rate not in RATES or (former is None and len(self._lines) >= LEGS_MAX):
            self._tell_dropped_leg()
            return
        line = self._line(leg)
        if not self._change(partial(self._add_leg, line, former)):
            return
        if former is not None:
            self._former.append(former)
            self._finish_timeline(former)
        self._lines[leg.label] = line
        if self._zero is not None:
            now = self._clock.monotonic()
            is_with_the_call = former is None and now - self._zero <= SILENCE_SECONDS_MAX
            self._begin_timeline(line, self._zero if is_with_the_call else now, now=now)

    def _tell_dropped_leg(self) -> None:
        if not self._has_told_dropped_leg:
            self._has_told_dropped_leg = True
            _log.warning("a leg of a call is dropped: it has too many, or a rate that is not heard", extra=self._told)

    def _line(self, leg: Leg) -> _Line:
        def heard(size: int) -> None:
            arn = self._kept.stream_arns.get(leg.label)
            if arn is not None:
                self._desk.heard(arn, door=self.door, size=size)

        tags = partial(self._tags, leg)
        return _Line(leg, LegWriter(leg, tags=tags, heard=heard, failed=self._fail, told=self._told))

    def _open(self, line: _Line) -> None:
        stream = self._kept.streams.get(line.leg.label)
        if stream is not None:
            line.writer.write_to(stream)

    def _tags(self, leg: Leg) -> bytes:
        """What a Voice Connector writes (TransactionId, VoiceConnectorId), and whose audio it is."""
        from_number, to_number = self._numbers
        return leg_tags(
            {
                "TransactionId": self._kept.transaction_id,
                "VoiceConnectorId": self._kept.access.connector_id,
                "CallId": self._kept.call_id,
                "Leg": leg.label,
                "From": from_number,
                "To": to_number,
            }
        )

    # `Any`: what a coroutine would send or be sent is nobody's business.
    async def _until_failure(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the call because of an error of ours. The first one is told."""
        if not self._has_failed:
            self._has_failed = True
            context = {**self._told, "error": type(error).__name__, "frames": frames_of(error)}
            _log.error("a call failed", extra=context)
        self.break_off(ERROR_OF_OURS)

    async def _look_again_and_again(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Write the silence that is due by the clock."""
        now = self._clock.monotonic()
        if self._zero is None:
            if now - self._announced_at < LATE_SECONDS:
                return
            self._begin_timelines(self._announced_at, now=now)
        for line in self._lines.values():
            if line.timeline is not None:
                for fragment in line.timeline.elapse(now):
                    _put(line, fragment)

    def _change(self, change: Callable[[], Awaitable[None]]) -> bool:
        """Have the records told this, in its turn; False when a call changes too often."""
        self._changed += 1
        if self._changed > CHANGES_MAX:
            if self._changed == CHANGES_MAX + 1:
                _log.warning("a call changes too often; further changes are not kept", extra=self._told)
            return False
        self._changes.put_nowait(change)
        return True

    async def _tell_changes(self) -> None:
        while True:
            change = await self._changes.get()
            try:
                await _until_kept(change, sleep=self._clock.sleep)
            except EarwitnessError as error:
                _log.warning("a change of a call could not be kept", extra={**self._told, "reason": str(error)})
            finally:
                self._changes.task_done()

    async def _update(self, told: CallUpdated) -> None:
        await self._desk.update(self._kept, told)

    async def _add_leg(self, line: _Line, former: _Line | None) -> None:
        if former is not None:  # they may be in one stream
            await former.writer.finish(seconds_max=WRITE_OUT_SECONDS)
        self._kept = await self._desk.add_leg(self._kept, line.leg)
        self._open(line)

    def _finish_timeline(self, line: _Line) -> None:
        if line.timeline is not None:
            for fragment in line.timeline.finish():
                _put(line, fragment)

    async def _end_when_over(self) -> None:
        await self._over.wait()
        for line in self._lines.values():
            try:
                self._finish_timeline(line)
            except Exception as error:
                self._fail(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITE_OUT_SECONDS):
                await self._changes.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        lines = [*self._former, *self._lines.values()]
        await asyncio.gather(*(line.writer.finish(seconds_max=WRITE_OUT_SECONDS) for line in lines))
        ended = self._ended or CallEnded("it ended")
        if self._has_failed and not ended.failed:  # in its last fragments
            ended = CallEnded(ERROR_OF_OURS, failed=True)
        self._report(lines, ended)
        await _tell_end(self._desk, self._kept, ended, sleep=self._clock.sleep)

    def _report(self, lines: list[_Line], ended: CallEnded) -> None:
        """Say in the log how a call went, for whoever looks for the reason why it was not understood."""
        timelines = [line.timeline.counts for line in lines if line.timeline is not None]
        writers = [line.writer.counts for line in lines]
        _log.info(
            "a call ended",
            extra={
                **self._told,
                "failed": ended.failed,
                "fragments": sum(each.written for each in writers),
                "not_written": sum(each.not_written for each in writers),
                "silenced": sum(each.silenced for each in writers),
                "samples_lost": sum(each.lost for each in timelines),
                "samples_late": sum(each.late for each in timelines),
                "clock_jumps": sum(each.jumps for each in timelines),
            },
        )

    @property
    def _told(self) -> dict[str, str | None]:
        return {"door": self.door, "transaction": self._kept.transaction_id}


def _put(line: _Line, fragment: LegFragment) -> None:
    if line.begins is not None:
        line.writer.put(fragment, begins=line.begins)


async def _until_kept(change: Callable[[], Awaitable[None]], *, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Tell the records, again and again while they are away. Raise what the last try raised."""
    for pause in TELL_AGAIN_SECONDS:
        try:
            await change()
        except EarwitnessError as error:
            if not error.retryable:
                raise
            await sleep(pause)
        else:
            return
    await change()


async def _tell_end(desk: Desk, kept: KeptCall, ended: CallEnded, *, sleep: Callable[[float], Awaitable[None]]) -> None:
    try:
        await _until_kept(lambda: desk.end(kept, ended), sleep=sleep)
    except EarwitnessError as error:
        context = {"transaction": kept.transaction_id, "reason": str(error)}
        _log.error("the end of a call could not be kept; the records have it in progress until they can", extra=context)
    except Exception as error:
        context = {"transaction": kept.transaction_id, "error": type(error).__name__, "frames": frames_of(error)}
        _log.error("the end of a call could not be kept; the records have it in progress until they can", extra=context)


_unattended: set[asyncio.Task[None]] = set()
"""Ends of calls whose door was gone before they had begun; tasks that nobody holds may vanish."""


def _end_unattended(desk: Desk, beginning: "asyncio.Future[KeptCall]") -> None:
    if beginning.cancelled() or beginning.exception() is not None:
        return
    ended = CallEnded("its door was gone before it had begun", failed=True)
    task = asyncio.ensure_future(_tell_end(desk, beginning.result(), ended, sleep=asyncio.sleep))
    _unattended.add(task)
    task.add_done_callback(_unattended.discard)
