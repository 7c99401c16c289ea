"""Regular work that fails goes on, and does not fill the log."""

import asyncio
import logging

import pytest

from earwitness.errors import StoreUnavailable
from earwitness.tasks import regular
from earwitness.tasks.regular import RegularWork, until_done


def test_work_that_fails_is_tried_at_each_turn_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []

    async def work() -> None:
        turns.append(len(turns))
        if len(turns) <= 50:
            raise StoreUnavailable("the records are away")
        if len(turns) <= 60:
            raise KeyError("a mistake of ours, and perhaps a caller: +15550100")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(RegularWork(0.0, work).run())
    assert len(turns) == 61
    told = [(record.levelno, record.message) for record in caplog.records]
    assert told == [
        (logging.WARNING, "regular work failed and is tried again"),
        (logging.ERROR, "regular work failed and is tried again"),
    ]
    assert "5550100" not in str(vars(caplog.records[1]))


def test_what_is_done_once_is_tried_until_it_succeeds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regular, "AGAIN_SECONDS", 0.0)
    left = 5

    async def work() -> None:
        nonlocal left
        left -= 1
        if left > 2:
            raise StoreUnavailable("the records are away")
        if left:
            raise KeyError("a mistake of ours")

    asyncio.run(until_done(work, "tasks cannot be taken up yet"))
    assert left == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
