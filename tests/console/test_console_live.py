"""Pages that change by themselves: what is sent, how often, to whom, and when it ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import pytest

from earwitness.access.held_keys import HeldKey
from earwitness.console.live import PING, LiveViews, Rendered
from earwitness.errors import NotFound, StoreUnavailable
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

    def __call__(self) -> Rendered:
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        return Rendered(sequence=self.number, html=f"<p>{self.number}</p>")


async def run_here(work: Callable[[], ResultT]) -> ResultT:
    return work()


def held() -> HeldKey:
    return HeldKey(Principal(key_id="tok", account_id="111122223333", role="reader"))


def views_of(notices: Notices, **seconds: float) -> LiveViews:
    usual = {"pace_seconds": 0.0, "look_again_seconds": PATIENCE_SECONDS}
    return LiveViews(notices, run_in_thread=run_here, **{**usual, **seconds})


async def within(stream: AsyncGenerator[bytes]) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(stream)


async def all_of(stream: AsyncGenerator[bytes]) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [message async for message in stream]


def test_what_there_is_comes_at_once_and_then_each_change() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = views_of(notices).messages("page", shown, shown(), held())
        assert await within(stream) == b"id: 0\ndata: <p>0</p>\n\n"
        for number in (1, 2):
            shown.number = number
            notices.notify()  # the first before anybody listens
            assert await within(stream) == f"id: {number}\ndata: <p>{number}</p>\n\n".encode()
        await stream.aclose()

    asyncio.run(follow())


def test_one_look_serves_all_who_look_at_the_same() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        views = views_of(notices)
        first = shown()
        streams = [views.messages("page", shown, first, held()) for _ in range(50)]
        for stream in streams:
            await within(stream)
        shown.number = 1
        notices.notify()
        messages = [await within(stream) for stream in streams]
        assert set(messages) == {b"id: 1\ndata: <p>1</p>\n\n"}
        assert len({id(message) for message in messages}) == 1  # put into words once, and not for each of them
        assert shown.looks <= 3  # at first, when the first browser came, and when it changed
        for stream in streams:
            await stream.aclose()
        assert notices.listener_count == 1  # until its task is cancelled
        await asyncio.sleep(0)
        assert notices.listener_count == 0

    asyncio.run(follow())


def test_a_browser_that_comes_back_gets_what_it_missed() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        views = views_of(notices)
        stream = views.messages("page", shown, shown(), held())
        await within(stream)
        await stream.aclose()
        shown.number = 7
        again = views.messages("page", shown, shown(), held())
        assert await within(again) == b"id: 7\ndata: <p>7</p>\n\n"
        await again.aclose()

    asyncio.run(follow())


def test_nothing_is_sent_twice_and_silence_is_filled_with_pings() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = views_of(notices, ping_seconds=0.01).messages("page", shown, shown(), held())
        await within(stream)
        notices.notify()
        assert [await within(stream) for _ in range(3)] == [PING] * 3
        await stream.aclose()

    asyncio.run(follow())


def test_a_stream_ends_with_its_key_with_its_time_and_with_the_service() -> None:
    async def follow() -> None:
        notices, shown, key = Notices(), Shown(), held()
        views = views_of(notices)
        stream = views.messages("page", shown, shown(), key)
        await within(stream)
        asyncio.get_running_loop().call_soon(key.end, "disabled")
        assert await all_of(stream) == []
        short = views_of(notices, stream_seconds_max=0.01).messages("page", shown, shown(), held())
        assert (await all_of(short))[0].startswith(b"id: ")
        stopping = views.messages("page", shown, shown(), held())
        await within(stopping)
        asyncio.get_running_loop().call_soon(notices.close)
        assert await all_of(stopping) == []

    asyncio.run(follow())


def test_records_that_are_away_end_no_stream() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = views_of(notices, look_again_seconds=0.001).messages("page", shown, shown(), held())
        await within(stream)
        shown.failure, looks = StoreUnavailable("the database is away; wait"), shown.looks
        async with asyncio.timeout(PATIENCE_SECONDS):
            while shown.looks < looks + 3:
                await asyncio.sleep(0.001)
        shown.failure, shown.number = None, 1
        assert await within(stream) == b"id: 1\ndata: <p>1</p>\n\n"
        await stream.aclose()

    asyncio.run(follow())


def test_a_page_whose_subject_is_deleted_ends() -> None:
    async def follow() -> None:
        notices, shown = Notices(), Shown()
        stream = views_of(notices).messages("page", shown, shown(), held())
        await within(stream)
        shown.failure = NotFound("the task is gone")
        notices.notify()
        assert await all_of(stream) == []

    asyncio.run(follow())


@pytest.mark.parametrize(("html", "lines"), [("a\nb", 2), ("a\rb", 1), ("a\r\nb", 2), ("", 1)])
def test_lines_of_a_message_stay_lines(html: str, lines: int) -> None:
    message = Rendered(sequence=3, html=html).message()
    assert message.count(b"data: ") == lines
    assert b"\r" not in message
    assert message.endswith(b"\n\n")
    assert message.count(b"\n\n") == 1
