"""Notices: who waits for one can be ended at any moment."""

import asyncio

import pytest

from earwitness.tasks.notices import Notices
from patience import PATIENCE_SECONDS


@pytest.mark.parametrize("turns", range(4))
def test_who_is_cancelled_as_a_notice_comes_waits_no_more(turns: int) -> None:
    """`turns` of the event loop lie between the notice and the end."""

    async def scene() -> None:
        with Notices().listening() as listener:

            async def wait_again_and_again() -> None:
                while True:
                    await listener.wait(PATIENCE_SECONDS)

            waiting = asyncio.create_task(wait_again_and_again())
            await asyncio.sleep(0)
            listener.heard.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            for _ in range(4):
                await asyncio.sleep(0)
            assert waiting.cancelled()

    asyncio.run(scene())


def test_a_notice_between_two_waits_is_not_lost() -> None:
    async def scene() -> None:
        notices = Notices()
        with notices.listening() as listener:
            notices.notify()
            assert await listener.wait(PATIENCE_SECONDS)
            assert not await listener.wait(0.0)

    asyncio.run(scene())
