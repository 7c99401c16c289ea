"""Pages that change by themselves: what a reload would show, sent whenever it is another than before.

One look serves all browsers that look at the same thing with the same role, three times a second at most. What is sent
is the state and not a change of it, so a browser that was away for a while misses nothing.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from earwitness.access.held_keys import HeldKey
from earwitness.errors import EarwitnessError, RequestError, Unavailable
from earwitness.tasks.notices import Notices
from earwitness.threads import RunInThread

PACE_SECONDS = 0.35
LOOK_AGAIN_SECONDS = 1.0
"""How often a page is looked at when nobody says that something was written: another node may have done it."""

PING_SECONDS = 15.0
"""Below the 30 s and more after which proxies give up on a silent answer."""

STREAM_SECONDS_MAX = 600.0
"""Then the browser connects again, which replaces the value of its cookie."""

PING = b": ping\n\n"

_log = logging.getLogger("earwitness.console")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The part of a page that changes."""

    #: The newest event when it was looked at; browsers give it back as Last-Event-ID.
    sequence: int
    html: str

    def message(self) -> bytes:
        """Return it as a message of an event stream."""
        lines = "".join(f"data: {line}\n" for line in self.html.replace("\r", "&#13;").split("\n"))
        return f"id: {self.sequence}\n{lines}\n".encode()


@dataclass(slots=True)
class _View:
    """What several browsers look at."""

    latest: Rendered
    #: `latest` as all of them are sent it: made once, as there may be fifty.
    message: bytes
    number: int = 1
    followers: int = 0
    has_ended: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def next(self, seen: int, seconds: float) -> bool:
        """Wait for another number than `seen`, or the end. Return False when the seconds are over."""
        try:
            async with asyncio.timeout(seconds), self.changed:
                await self.changed.wait_for(lambda: self.number != seen or self.has_ended)
        except TimeoutError:
            return False
        return True


class LiveViews:
    """All views of this process. Lives on the event loop."""

    def __init__(
        self,
        notices: Notices,
        *,
        run_in_thread: RunInThread,
        pace_seconds: float = PACE_SECONDS,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
        ping_seconds: float = PING_SECONDS,
        stream_seconds_max: float = STREAM_SECONDS_MAX,
    ) -> None:
        """`notices` say that something was written."""
        self._notices = notices
        self._run_in_thread = run_in_thread
        self._pace_seconds = pace_seconds
        self._look_again_seconds = look_again_seconds
        self._ping_seconds = ping_seconds
        self._stream_seconds_max = stream_seconds_max
        self._views: dict[Hashable, _View] = {}
        self._looking: dict[Hashable, asyncio.Task[None]] = {}

    async def messages(
        self, key: Hashable, render: Callable[[], Rendered], first: Rendered, held: HeldKey
    ) -> AsyncGenerator[bytes]:
        """Yield the messages of a stream: what there is, and then each change, until the key that holds it ends.

        `key` is equal for equal pages; `first` is what `render` returned just now.
        """
        async with self._followed(key, render, first) as view:
            seen, until = 0, asyncio.get_running_loop().time() + self._stream_seconds_max
            while not held.has_ended and not self._notices.closed:
                if seen != view.number:
                    seen = view.number
                    yield view.message
                if view.has_ended:
                    return
                left = until - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                coming = partial(view.next, seen, min(left, self._ping_seconds))
                if await held.unless_it_ends(coming) is False:
                    yield PING

    @asynccontextmanager
    async def _followed(self, key: Hashable, render: Callable[[], Rendered], first: Rendered) -> AsyncGenerator[_View]:
        view = self._views.get(key)
        if view is None or view.has_ended:
            view = self._views[key] = _View(latest=first, message=first.message())
            self._looking[key] = asyncio.create_task(self._look_again_and_again(view, render))
        view.followers += 1
        try:
            yield view
        finally:
            view.followers -= 1
            if not view.followers and self._views.get(key) is view:
                del self._views[key]
                self._looking.pop(key).cancel()

    async def _look_again_and_again(self, view: _View, render: Callable[[], Rendered]) -> None:
        with self._notices.listening() as listener:
            while not self._notices.closed:
                try:
                    rendered = await self._run_in_thread(render)
                except Unavailable as error:
                    _log.info("a page is not looked at now", extra={"reason": str(error)})
                except RequestError:  # what it shows is gone: a reload says so
                    break
                except EarwitnessError as error:
                    _log.warning("a page cannot be looked at now", extra={"reason": str(error)})
                else:
                    await _put(view, rendered)
                await asyncio.sleep(self._pace_seconds)
                await listener.wait(self._look_again_seconds)
        view.has_ended = True
        async with view.changed:
            view.changed.notify_all()


async def _put(view: _View, rendered: Rendered) -> None:
    if rendered.html == view.latest.html:
        return
    view.latest, view.message = rendered, rendered.message()
    view.number += 1
    async with view.changed:
        view.changed.notify_all()
