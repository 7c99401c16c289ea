"""Clocks that jump, and gaps that are jumped over: what is heard is the same, and only what must be is read."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import Line, Office, cut_off, fragments_of, fragments_of_bytes, run
from store_examples import MINE, START

from earwitness.engine.engine import Engine
from earwitness.media.source import StartPosition, StreamFragment

pytestmark = pytest.mark.slow

STEP = 2 * 8_000
HALF = 36_000
"""Milliseconds from the beginning; the call is at rest there."""
YEARS_MS = 1_750_000_000_000


def printed(office: Office, task: Any) -> tuple[Any, bytes]:
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return office.now(task).identification, found.voiceprint.vector


class Counting(Line):
    """Notes which fragments are read."""

    def __init__(self, fragments: list[StreamFragment]) -> None:
        super().__init__(fragments)
        self.read: list[int] = []

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        async for one in super().fragments(start):
            self.read.append(int(one.number))
            yield one


async def plain(office: Office, fragments: list[StreamFragment]) -> tuple[Any, bytes]:
    office.line = Line(fragments)
    task = office.new_task()
    await office.follow(task)
    return printed(office, task)


async def interrupted(office: Office, fragments: list[StreamFragment]) -> tuple[Any, bytes]:
    task = office.new_task()
    await cut_off(office, task, fragments[:25])
    kept = office.now(task).checkpoint
    assert kept is not None
    speech = kept["speech"]
    assert isinstance(speech, list)
    assert len(speech) == 2
    office.line = Counting(fragments)
    await office.follow(task)
    assert office.now(task).status_message is None
    return printed(office, task)


def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "plain", tmp_path / "interrupted"
    for folder in folders:
        folder.mkdir()
    return folders


@pytest.mark.parametrize(
    "timecode",
    [
        lambda ms: YEARS_MS + ms + (61_000 if ms > HALF else 0),
        lambda ms: YEARS_MS + ms + (86_400_000 if ms > HALF else 0),
        lambda ms: YEARS_MS + ms - (3_600_000 if ms > HALF else 0),
        lambda ms: YEARS_MS + ms if ms < HALF else ms - HALF,
        lambda ms: 0,  # noqa: ARG005  # a clock that stands still
    ],
    ids=["a minute on", "a day on", "an hour back", "to 1970", "it stands still"],
)
def test_the_producers_clock_may_jump(
    tmp_path: Path, engine: Engine, halting: np.ndarray, timecode: Callable[[int], int]
) -> None:
    """Order and silence are those of the samples; the producer's time says nothing of either."""
    cuts = list(range(2 * STEP, 2 * len(halting), 2 * STEP))
    jumping = [
        replace(one, producer_time=datetime.fromtimestamp(timecode(2_000 * index) / 1_000, UTC))
        for index, one in enumerate(fragments_of_bytes(halting, cuts, timecode=timecode))
    ]
    first, second = two_folders(tmp_path)
    expected = run(first, engine, lambda office: plain(office, fragments_of_bytes(halting, cuts)))
    assert run(second, engine, lambda office: interrupted(office, jumping)) == expected


@pytest.mark.parametrize(("apart_seconds", "connections"), [(2, 1), (60, 3)])
def test_a_gap_of_more_than_a_minute_is_not_read(
    tmp_path: Path, engine: Engine, halting: np.ndarray, apart_seconds: int, connections: int
) -> None:
    """Two silences lie between what is heard again and the end; fragments that come slowly make them long."""
    slow = [
        replace(one, server_time=START + timedelta(seconds=apart_seconds * int(one.number)))
        for one in fragments_of(halting, list(range(STEP, len(halting), STEP)))
    ]

    async def again(office: Office) -> tuple[Any, bytes]:
        answers = await interrupted(office, slow)
        assert len(office.line.starts) == connections
        skipped = set(range(1, max(office.line.read) + 1)) - set(office.line.read)
        assert bool(skipped) is (connections > 1)
        assert all(start.first_server_time is not None for start in office.line.starts)
        return answers

    first, second = two_folders(tmp_path)
    assert run(second, engine, again) == run(first, engine, lambda office: plain(office, slow))
