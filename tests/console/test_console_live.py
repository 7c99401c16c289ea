"""Pages that change by themselves: what is sent, how often, to whom, and when it ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar, cast

import pytest

from earwitness.access.held_keys import HeldKey
from earwitness.console.context import ConsoleCall, Content, Mark, PageWatch
from earwitness.console.live import LOOKS_AT_ONCE, PING, LivePage, LiveViews, Rendered
from earwitness.errors import EarwitnessError, NotFound, StoreUnavailable, Throttled, Unavailable
from earwitness.tasks.notices import Notices
from earwitness.wire.exchange import Principal
from patience import PATIENCE_SECONDS

ResultT = TypeVar("ResultT")


class Shown:
    """What a page shows, and how often it was looked at."""

    def __init__(self) -> None:
        self.number = 0
        self.looks = 0
        self.failure: Exception | None = None

    def __call__(self, _call: object = None) -> Content:
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        return {"number": self.number}


class Marked(Shown):
    """The same of a page that has a mark. `progress` is what the process knows by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = 0
        self.brought_up = 0


class Marks:
    """The marks of all pages of a kind; each page's call is what it shows."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.failure: Exception | None = None
        self.watch = PageWatch(marks=self.of, again=self.again)

    def of(self, calls: Sequence[ConsoleCall[Any]]) -> Sequence[Mark]:
        self.reads.append(len(calls))
        if self.failure is not None:
            raise self.failure
        shown = cast(Sequence[Marked], calls)
        return [Mark(records=(one.number, str(one.failure)), here=one.progress) for one in shown]

    def again(self, call: ConsoleCall[Any], content: Content) -> Content:
        cast(Marked, call).brought_up += 1
        return content


def page(shown: Shown, *, key: str = "page", watch: PageWatch | None = None) -> LivePage:
    def show(content: Content) -> str:
        progress = f" {shown.progress}" if isinstance(shown, Marked) else ""
        return f"<p>{content['number']}{progress}</p>"

    return LivePage(key=key, handler=shown, call=cast(Any, shown), show=show, watch=watch)


async def run_here(work: Callable[[], ResultT]) -> ResultT:
    return work()


def held() -> HeldKey:
    return HeldKey(Principal(key_id="tok", account_id="111122223333", role="reader"))


def views_of(notices: Notices, **seconds: float) -> LiveViews:
    usual = {"pace_seconds": 0.0, "look_again_seconds": PATIENCE_SECONDS}
    return LiveViews(notices, run_in_thread=run_here, **{**usual, **seconds})


def opened(views: LiveViews, shown: Shown, key: HeldKey | None = None) -> AsyncGenerator[bytes]:
    live = page(shown)
    return views.messages(live, live.first(), key or held())


async def within(stream: AsyncGenerator[bytes]) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(stream)


async def all_of(stream: AsyncGenerator[bytes]) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [message async for message in stream]


def test_what_there_is_comes_at_once_and_then_each_change() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = opened(views_of(notices), shown)
        assert await within(stream) == b"data: <p>0</p>\n\n"
        for number in (1, 2):
            shown.number = number
            notices.notify()  # the first before anybody listens
            assert await within(stream) == f"data: <p>{number}</p>\n\n".encode()
        await stream.aclose()

    asyncio.run(follow())


def test_one_look_serves_all_who_look_at_the_same() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        views = views_of(notices)
        live = page(shown)
        first = live.first()
        streams = [views.messages(live, first, held()) for _ in range(50)]
        for stream in streams:
            await within(stream)
        shown.number = 1
        notices.notify()
        messages = [await within(stream) for stream in streams]
        assert set(messages) == {b"data: <p>1</p>\n\n"}
        assert len({id(message) for message in messages}) == 1  # put into words once, and not for each of them
        assert shown.looks <= 3  # at first, when the first browser came, and when it changed
        for stream in streams:
            await stream.aclose()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while notices.listener_count:  # until its task is cancelled
                await asyncio.sleep(0)

    asyncio.run(follow())


def test_a_browser_that_comes_back_gets_what_it_missed() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        views = views_of(notices)
        stream = opened(views, shown)
        await within(stream)
        await stream.aclose()
        shown.number = 7
        again = opened(views, shown)
        assert await within(again) == b"data: <p>7</p>\n\n"
        await again.aclose()

    asyncio.run(follow())


def test_nothing_is_sent_twice_and_silence_is_filled_with_pings() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = opened(views_of(notices, ping_seconds=0.01), shown)
        await within(stream)
        notices.notify()
        assert [await within(stream) for _ in range(3)] == [PING] * 3
        await stream.aclose()

    asyncio.run(follow())


def test_a_stream_ends_with_its_key_with_its_time_and_with_the_service() -> None:
    async def follow() -> None:
        notices, shown, key = Notices(), Shown(), held()
        views = views_of(notices)
        stream = opened(views, shown, key)
        await within(stream)
        asyncio.get_running_loop().call_soon(key.end, "disabled")
        assert await all_of(stream) == []
        short = opened(views_of(notices, stream_seconds_max=0.01), shown)
        assert (await all_of(short))[0].startswith(b"data: ")
        stopping = opened(views, shown)
        await within(stopping)
        asyncio.get_running_loop().call_soon(notices.close)
        assert await all_of(stopping) == []

    asyncio.run(follow())


@pytest.mark.parametrize(
    "failure",
    [
        StoreUnavailable("the database is away; wait"),
        Unavailable("the service is over its capacity; wait"),
        Throttled("too many requests; wait"),
    ],
    ids=["records away", "over capacity", "throttled"],
)
def test_a_failure_that_may_go_away_ends_no_stream(failure: EarwitnessError) -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = opened(views_of(notices, look_again_seconds=0.001), shown)
        await within(stream)
        shown.failure, looks = failure, shown.looks
        async with asyncio.timeout(PATIENCE_SECONDS):
            while shown.looks < looks + 3:
                await asyncio.sleep(0.001)
        shown.failure, shown.number = None, 1
        assert await within(stream) == b"data: <p>1</p>\n\n"
        await stream.aclose()

    asyncio.run(follow())


def test_a_page_whose_subject_is_deleted_ends() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = opened(views_of(notices), shown)
        await within(stream)
        shown.failure = NotFound("the task is gone")
        notices.notify()
        assert await all_of(stream) == []

    asyncio.run(follow())


# Pages that have marks.


async def both_of(views: LiveViews, marks: Marks) -> tuple[list[Marked], list[AsyncGenerator[bytes]]]:
    """Two pages of a kind that are open."""
    shown = [Marked(), Marked()]
    pages = [page(one, key=key, watch=marks.watch) for one, key in zip(shown, "ab", strict=True)]
    streams = [views.messages(one, one.first(), held()) for one in pages]
    for stream in streams:
        await within(stream)
    return shown, streams


async def close_all(streams: Sequence[AsyncGenerator[bytes]]) -> None:
    for stream in streams:
        await stream.aclose()


def test_what_changes_one_page_renders_no_other() -> None:
    async def follow() -> None:
        notices, marks = Notices(), Marks()
        (one, other), streams = await both_of(views_of(notices), marks)
        for number in (1, 2, 3):
            one.number = number
            notices.notify()
            assert await within(streams[0]) == f"data: <p>{number} 0</p>\n\n".encode()
        assert (one.looks, other.looks, other.brought_up) == (4, 1, 0)
        assert marks.reads[:2] == [1, 1]  # each when it was opened
        assert set(marks.reads[2:]) == {2}  # then both together
        await close_all(streams)

    asyncio.run(follow())


def test_progress_does_not_read_the_records_again() -> None:
    async def follow() -> None:
        notices, marks = Notices(), Marks()
        (one, other), streams = await both_of(views_of(notices), marks)
        one.progress = 7
        notices.notify()
        assert await within(streams[0]) == b"data: <p>0 7</p>\n\n"
        assert (one.looks, one.brought_up) == (1, 1)
        one.number, one.progress = 1, 8
        notices.notify()
        assert await within(streams[0]) == b"data: <p>1 8</p>\n\n"
        assert (one.looks, one.brought_up, other.looks) == (2, 1, 1)
        await close_all(streams)

    asyncio.run(follow())


def test_what_another_node_wrote_is_seen_by_the_next_look() -> None:
    async def follow() -> None:
        marks = Marks()
        (one, other), streams = await both_of(views_of(Notices(), look_again_seconds=0.001), marks)
        one.number = 1  # and nobody says so
        assert await within(streams[0]) == b"data: <p>1 0</p>\n\n"
        assert other.looks == 1
        await close_all(streams)

    asyncio.run(follow())


def test_a_page_with_a_mark_ends_with_its_subject_and_others_go_on() -> None:
    async def follow() -> None:
        notices, marks = Notices(), Marks()
        (one, other), streams = await both_of(views_of(notices), marks)
        one.failure = NotFound("the task is gone")
        notices.notify()
        assert await all_of(streams[0]) == []
        other.number = 1
        notices.notify()
        assert await within(streams[1]) == b"data: <p>1 0</p>\n\n"
        assert marks.reads[-1] == 1
        await close_all(streams)

    asyncio.run(follow())


def test_marks_that_cannot_be_read_are_read_again() -> None:
    async def follow() -> None:
        marks = Marks()
        (one, _), streams = await both_of(views_of(Notices(), look_again_seconds=0.001), marks)
        marks.failure, one.number = StoreUnavailable("the database is away; wait"), 1
        reads = len(marks.reads)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(marks.reads) < reads + 3:
                await asyncio.sleep(0.001)
        marks.failure = None
        assert await within(streams[0]) == b"data: <p>1 0</p>\n\n"
        await close_all(streams)

    asyncio.run(follow())


def test_a_mistake_in_one_page_holds_back_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def follow() -> None:
        notices, marks = Notices(), Marks()
        (one, other), streams = await both_of(views_of(notices), marks)
        one.failure, other.number = LookupError("a name of somebody"), 1
        notices.notify()
        assert await within(streams[1]) == b"data: <p>1 0</p>\n\n"
        one.failure, one.number = None, 1
        notices.notify()
        assert await within(streams[0]) == b"data: <p>1 0</p>\n\n"
        await close_all(streams)

    asyncio.run(follow())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "somebody" not in str(vars(caplog.records[0]))


def test_a_change_of_all_pages_takes_few_threads() -> None:
    async def follow() -> None:
        now = most = 0

        async def run_there(work: Callable[[], ResultT]) -> ResultT:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return work()

        notices, shown = Notices(), [Shown() for _ in range(3 * LOOKS_AT_ONCE)]
        views = LiveViews(notices, run_in_thread=run_there, pace_seconds=0.0, look_again_seconds=PATIENCE_SECONDS)
        pages = [page(one, key=str(number)) for number, one in enumerate(shown)]
        streams = [views.messages(one, one.first(), held()) for one in pages]
        for one, stream in zip(shown, streams, strict=True):
            await within(stream)
            one.number = 1
        notices.notify()
        for stream in streams:
            assert await within(stream) == b"data: <p>1</p>\n\n"
        assert most == LOOKS_AT_ONCE
        await close_all(streams)

    asyncio.run(follow())


def test_a_page_that_takes_long_holds_back_no_other_and_misses_nothing() -> None:
    async def follow() -> None:
        slow, quick, notices = Shown(), Shown(), Notices()
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def run_there(work: Callable[[], ResultT]) -> ResultT:
            looks = slow.looks
            done = work()
            if slow.looks != looks:
                begun.set()
                await may_end.wait()
            return done

        views = LiveViews(notices, run_in_thread=run_there, pace_seconds=0.0, look_again_seconds=PATIENCE_SECONDS)
        pages = [page(one, key=key) for one, key in ((slow, "slow"), (quick, "quick"))]
        streams = [views.messages(one, one.first(), held()) for one in pages]
        for stream in streams:
            await within(stream)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await begun.wait()
        for number in (1, 2):
            quick.number = slow.number = number
            notices.notify()
            assert await within(streams[1]) == f"data: <p>{number}</p>\n\n".encode()
        assert slow.looks == 2  # at first, and by the look that takes long
        may_end.set()
        assert await within(streams[0]) == b"data: <p>2</p>\n\n"
        await close_all(streams)

    asyncio.run(follow())


@pytest.mark.parametrize(("html", "lines"), [("a\nb", 2), ("a\rb", 1), ("a\r\nb", 2), ("", 1)])
def test_lines_of_a_message_stay_lines(html: str, lines: int) -> None:
    message = Rendered(html=html, mark=None).message()
    assert message.count(b"data: ") == lines
    assert b"\r" not in message
    assert message.endswith(b"\n\n")
    assert message.count(b"\n\n") == 1
