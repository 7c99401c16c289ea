"""Work that is done again and again while the service runs, each kind at its own interval."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from earwitness.errors import EarwitnessError
from earwitness.log import Recurring, frames_of

_log = logging.getLogger("earwitness.background")


AGAIN_SECONDS = 1.0
"""How long after a failure it is tried again to do what is done once."""


async def until_done(work: Callable[[], Awaitable[None]], failure: str) -> None:
    """Do what must be done once after the start, and which nothing else would do; until it succeeds."""
    failing = Recurring(_log)
    while True:
        try:
            await work()
            return
        except EarwitnessError as error:
            failing.tell(logging.WARNING, failure, reason=str(error))
        except Exception as error:
            failing.tell(logging.ERROR, failure, error=type(error).__name__, frames=frames_of(error))
        await asyncio.sleep(AGAIN_SECONDS)


async def end_all(jobs: Sequence[asyncio.Task[None]]) -> None:
    """Cancel these, and return when they have ended, in whatever way."""
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


@dataclass(frozen=True)
class RegularWork:
    """One kind of it. It is done by one at a time, however it is asked for."""

    seconds: float
    work: Callable[[], Awaitable[None]]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _failing: Recurring = field(default_factory=lambda: Recurring(_log))

    async def run(self) -> None:
        """Do it again and again. A failure is logged, once a minute at most, and the next turn tries again."""
        while True:
            try:
                await self.run_once()
            except EarwitnessError as error:
                self._failing.tell(logging.WARNING, "regular work failed and is tried again", reason=str(error))
            except Exception as error:
                context = {"error": type(error).__name__, "frames": frames_of(error)}
                self._failing.tell(logging.ERROR, "regular work failed and is tried again", **context)
            await asyncio.sleep(self.seconds)

    async def run_once(self) -> None:
        """Do it now, and raise what it raises."""
        async with self._turn:
            await self.work()
