"""Pages that change by themselves: what a reload would show, sent whenever it is another than before.

One look serves all browsers that look at the same thing with the same role, three times a second at most. Pages that
have marks are rendered only when theirs is another than before; the marks of all that are open are read together, so
that what happens in one call costs the pages of others nothing. What is sent is the state and not a change of it, so a
browser that was away for a while misses nothing.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from earwitness.access.held_keys import HeldKey
from earwitness.console.context import ConsoleCall, Content, Mark, PageHandler, PageWatch
from earwitness.errors import EarwitnessError, RequestError
from earwitness.log import Recurring, frames_of
from earwitness.tasks.notices import Notices, Subscription
from earwitness.threads import RunInThread

PACE_SECONDS = 0.35
LOOK_AGAIN_SECONDS = 1.0
"""How often pages are looked at when nobody says that something was written: another node may have done it."""

LOOKS_AT_ONCE = 4
"""Pages that are rendered at one time: what changes all of them leaves threads for requests."""

PING_SECONDS = 15.0
"""Below the 30 s and more after which proxies give up on a silent answer."""

STREAM_SECONDS_MAX = 600.0
"""Then the browser connects again, which replaces the value of its cookie."""

PING = b": ping\n\n"

_log = logging.getLogger("earwitness.console")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The part of a page that changes."""

    html: str
    #: Read before the page was; None for a page that has none.
    mark: Mark | None

    def message(self) -> bytes:
        """Return it as a message of an event stream."""
        lines = "".join(f"data: {line}\n" for line in self.html.replace("\r", "&#13;").split("\n"))
        return f"{lines}\n".encode()


@dataclass(slots=True, kw_only=True)
class LivePage:
    """A page that is open. It is rendered in threads, by one at a time."""

    #: Equal for equal pages.
    key: Hashable
    handler: PageHandler
    call: ConsoleCall[Any]  # `Any`: the parameters of its page
    #: Returns what the handler found as HTML.
    show: Callable[[Content], str]
    #: None where only the handler tells whether it shows something else by now.
    watch: PageWatch | None = None
    #: What the handler found, and the mark of before.
    _found: tuple[Mark | None, Content] | None = None

    def first(self) -> Rendered:
        """Return what the page shows. Raise what its handler raises."""
        return self.rendered(None if self.watch is None else self.watch.marks([self.call])[0])

    def rendered(self, mark: Mark | None) -> Rendered:
        """Return what the page shows, by its mark of just now. The handler is not asked while the records are the same.

        Raise what the handler raises.
        """
        before, found = self._found or (None, None)
        if self.watch is None or mark is None or before is None or found is None or before.records != mark.records:
            found = self.handler(self.call)
        else:
            found = self.watch.again(self.call, found)
        self._found = mark, found
        return Rendered(html=self.show(found), mark=mark)


@dataclass(slots=True)
class _View:
    """What several browsers look at."""

    page: LivePage
    latest: Rendered
    #: `latest` as all of them are sent it: made once, as there may be fifty.
    message: bytes
    number: int = 1
    followers: int = 0
    #: Rounds leave it out meanwhile, so that a page that takes long holds back no other.
    is_looked_at: bool = False
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

    async def put(self, rendered: Rendered) -> None:
        """Tell those who wait, if it shows something else."""
        is_same, self.latest = rendered.html == self.latest.html, rendered
        if not is_same:
            self.message = rendered.message()
            self.number += 1
            async with self.changed:
                self.changed.notify_all()

    async def end(self) -> None:
        """Tell those who wait that nothing comes any more."""
        self.has_ended = True
        async with self.changed:
            self.changed.notify_all()


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
        self._looking: asyncio.Task[None] | None = None  # while there are views
        self._listener: Subscription | None = None
        self._round = 0
        self._places = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._failing = Recurring(_log)

    async def messages(self, page: LivePage, first: Rendered, held: HeldKey) -> AsyncGenerator[bytes]:
        """Yield the messages of a stream: what there is, and then each change, until the key that holds it ends.

        `first` is what the page showed just now.
        """
        async with self._followed(page, first) as view:
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
    async def _followed(self, page: LivePage, first: Rendered) -> AsyncGenerator[_View]:
        view = self._views.get(page.key)
        if view is None:
            view = self._views[page.key] = _View(page, first, first.message())
            self._look_soon()
        view.followers += 1
        try:
            yield view
        finally:
            view.followers -= 1
            if not view.followers and self._views.get(page.key) is view:
                del self._views[page.key]
                if not self._views and self._looking is not None:
                    self._looking.cancel()
                    self._looking = None

    # Looking.

    def _look_soon(self) -> None:
        """Look at a new view: something may have been written since it was first rendered."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_again_and_again())
        elif self._listener is not None:
            self._listener.heard.set()

    async def _look_again_and_again(self) -> None:
        with self._notices.listening() as self._listener:
            async with asyncio.TaskGroup() as looks:
                while self._views and not self._notices.closed:
                    self._round += 1
                    for view, mark in await self._due():
                        looks.create_task(self._look_at(view, mark, self._listener))
                    await asyncio.sleep(self._pace_seconds)
                    await self._listener.wait(self._look_again_seconds)
        self._looking = None
        for view in self._taken_out():
            await view.end()

    def _taken_out(self) -> list[_View]:
        left = list(self._views.values())
        self._views.clear()
        return left

    async def _due(self) -> list[tuple[_View, Mark | None]]:
        """Return the views to look at in this round, with the marks of those that have one."""
        by_watch: dict[PageWatch | None, list[_View]] = {}
        for view in self._views.values():
            if not view.is_looked_at:
                by_watch.setdefault(view.page.watch, []).append(view)
        due: list[tuple[_View, Mark | None]] = [(view, None) for view in by_watch.pop(None, [])]
        for watch, views in by_watch.items():
            if watch is not None:
                due += await self._changed(watch, views)
        return due

    async def _changed(self, watch: PageWatch, views: Sequence[_View]) -> list[tuple[_View, Mark]]:
        """Return the views whose mark is another by now, with that."""
        calls, marks = [view.page.call for view in views], list[Mark]()
        with self._told():
            marks += await self._run_in_thread(lambda: watch.marks(calls))
        return [(view, mark) for view, mark in zip(views, marks, strict=False) if mark != view.latest.mark]

    async def _look_at(self, view: _View, mark: Mark | None, listener: Subscription) -> None:
        view.is_looked_at, begun = True, self._round
        async with self._places:
            with self._told():
                try:
                    await view.put(await self._run_in_thread(lambda: view.page.rendered(mark)))
                except RequestError as error:
                    if error.retryable:
                        raise
                    # What it shows is gone: a reload says so.
                    if self._views.get(view.page.key) is view:
                        del self._views[view.page.key]
                    await view.end()
        view.is_looked_at = False
        if self._round != begun:  # it was left out, and may show something else again
            listener.heard.set()

    @contextmanager
    def _told(self) -> Generator[None]:
        """Log what goes wrong with a look; the next round tries again."""
        try:
            yield
        except EarwitnessError as error:
            self._failing.tell(logging.WARNING, "a page cannot be looked at now", reason=str(error))
        except Exception as error:  # a mistake in one page must not hold back all others, nor go unseen
            context = {"error": type(error).__name__, "frames": frames_of(error)}
            self._failing.tell(logging.ERROR, "a page cannot be looked at now", **context)
