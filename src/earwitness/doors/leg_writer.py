"""One leg's fragments into its stream of the media log, in order, beside whatever brings them.

Nothing here waits for the disk but a task of its own: who brings fragments is never held up, and what the disk is too
slow for becomes silence.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from earwitness.doors.events import Leg
from earwitness.doors.leg import LegFragment
from earwitness.doors.leg_media import leg_cluster, leg_header, spoken_at
from earwitness.errors import EarwitnessError, Gone
from earwitness.fragments.stream import FragmentStream

AUDIO_WAITING_MAX = 10
"""Fragments with audio that wait for the disk: ten seconds. More become silence, so that the rest keeps its place."""

WAITING_MAX = 70
"""Fragments that wait at all: what is silence takes no memory. More are not written, and leave a gap."""

_log = logging.getLogger("earwitness.doors")


@dataclass(slots=True)
class WriterCounts:
    """What became of a leg's fragments."""

    written: int = 0
    #: The disk was too slow for their audio: they are silence.
    silenced: int = 0
    #: They are not in the stream.
    not_written: int = 0


class LegWriter:
    """Takes fragments at any time; begins to write when its stream is there."""

    def __init__(
        self,
        leg: Leg,
        *,
        tags: Callable[[], bytes],
        heard: Callable[[int], None],
        failed: Callable[[Exception], None],
        told: dict[str, str | None],
    ) -> None:
        """`tags` returns those of the fragment that is written now, `heard` is called after each with its bytes of
        audio; `failed` is called with an error of ours, after which nothing more is written. `told` goes with what is
        logged.
        """
        self.counts = WriterCounts()
        self._leg = leg
        self._header = leg_header(leg)
        self._tags = tags
        self._heard = heard
        self._failed = failed
        self._told = told
        self._said: set[str] = set()
        self._begins: datetime | None = None
        self._waiting: deque[LegFragment] = deque()
        self._audio_waiting = 0
        self._has_news = asyncio.Event()
        self._is_finishing = False
        # Whether nothing is written any more: the stream was deleted, or an error of ours ended it.
        self._is_gone = False
        self._task: asyncio.Task[None] | None = None

    def put(self, fragment: LegFragment, *, begins: datetime) -> None:
        """Write this when its turn comes. `begins` is the time of the leg's place 0."""
        self._begins = begins
        if self._is_gone:
            self.counts.not_written += 1
            return
        if len(self._waiting) >= WAITING_MAX:
            self.counts.not_written += 1
            self._say("audio of a call could not be written: the disk is too slow, or its stream is not there")
            return
        if fragment.data and self._audio_waiting >= AUDIO_WAITING_MAX:
            fragment = replace(fragment, data=b"")
            self.counts.silenced += 1
            self._say("audio of a call became silence: the disk is too slow for it")
        self._audio_waiting += bool(fragment.data)
        self._waiting.append(fragment)
        self._has_news.set()

    def write_to(self, stream: FragmentStream) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_until_failure(stream))

    async def finish(self, *, seconds_max: float) -> None:
        """Return when all is written; what is not by then is given up."""
        self._is_finishing = True
        self._has_news.set()
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds_max):
                    await self._task
        self.counts.not_written += len(self._waiting)
        self._waiting.clear()

    async def _write_until_failure(self, stream: FragmentStream) -> None:
        try:
            await self._write_all(stream)
        except Exception as error:
            self._is_gone = True
            self.counts.not_written += 1
            self._failed(error)

    async def _write_all(self, stream: FragmentStream) -> None:
        while True:
            while not self._waiting:
                if self._is_finishing:
                    return
                self._has_news.clear()
                await self._has_news.wait()
            fragment = self._waiting.popleft()
            self._audio_waiting -= bool(fragment.data)
            await self._write(stream, fragment)
            if self._is_gone:
                return

    async def _write(self, stream: FragmentStream, fragment: LegFragment) -> None:
        begins = self._begins
        if begins is None:
            raise AssertionError("a fragment waits, so one was put")
        try:
            reservation = await stream.reserve()
            await stream.append(
                reservation.number,
                producer_timestamp=spoken_at(self._leg, fragment, begins=begins),
                duration_ms=round(1_000 * fragment.samples / self._leg.rate),
                header=self._header,
                cluster=leg_cluster(self._leg, fragment, begins=begins),
                tags=self._tags(),
            )
        except Gone:
            self._is_gone = True
            self.counts.not_written += 1
            self._say("the stream of a call was deleted; what comes of that leg is dropped")
            return
        except EarwitnessError as error:
            self.counts.not_written += 1
            self._say("audio of a call could not be written; the call goes on", reason=str(error))
        else:
            self.counts.written += 1
        self._heard(len(fragment.data))

    def _say(self, text: str, **more: str) -> None:
        """Log this once."""
        if text not in self._said:
            self._said.add(text)
            _log.warning(text, extra={**self._told, **more})
