"""How far tasks are behind their streams, and when that is told; the clock is made up."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, fragments_of, run

from earwitness.engine.engine import Engine
from earwitness.tasks.lag import BEHIND_SECONDS, TELL_AGAIN_SECONDS, Lags


@dataclass
class Stopwatch:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def lags(watch: Stopwatch) -> Lags:
    return Lags(monotonic=watch)


@pytest.fixture
def warned(caplog: Any) -> Iterator[Any]:
    """Its records are the warnings so far."""
    with caplog.at_level(logging.WARNING, "earwitness.lag"):
        yield caplog


def hear(lags: Lags, watch: Stopwatch, task: str, *, behind: float, takes: float = 0.0) -> None:
    lags.hears(task, behind_seconds=behind)
    watch.now += takes
    lags.heard(task)


def test_more_than_two_seconds_are_told_and_two_are_not(lags: Lags, watch: Stopwatch, warned: Any) -> None:
    assert BEHIND_SECONDS == 2.0
    hear(lags, watch, "one", behind=BEHIND_SECONDS)
    assert warned.records == []
    hear(lags, watch, "one", behind=BEHIND_SECONDS + 0.1)
    assert [(record.task_id, record.lag_seconds) for record in warned.records] == [("one", 2.1)]


def test_it_is_told_once_a_minute_and_not_for_every_fragment(lags: Lags, watch: Stopwatch, warned: Any) -> None:
    for _ in range(round(2.5 * TELL_AGAIN_SECONDS)):
        hear(lags, watch, "one", behind=5.0, takes=1.0)
    assert len(warned.records) == 3
    hear(lags, watch, "another", behind=5.0)
    assert [record.task_id for record in warned.records[3:]] == ["another"]


def test_what_hearing_takes_counts_and_waiting_does_not(lags: Lags, watch: Stopwatch, warned: Any) -> None:
    lags.begin("one")
    lags.hears("one", behind_seconds=0.5)
    watch.now += 2.0
    assert lags.seconds("one") == 2.5
    lags.heard("one")
    assert [record.lag_seconds for record in warned.records] == [2.5]
    assert lags.seconds("one") == 0.5
    watch.now += 100.0
    assert lags.seconds("one") == 0.5


def test_only_running_tasks_have_a_lag(lags: Lags, watch: Stopwatch, warned: Any) -> None:
    assert (lags.seconds("one"), lags.all_seconds()) == (None, [])
    lags.begin("one")
    lags.begin("another")
    hear(lags, watch, "another", behind=1.0)
    assert (lags.seconds("one"), lags.all_seconds()) == (0.0, [0.0, 1.0])
    lags.end("another")
    lags.end("never begun")
    assert (lags.seconds("another"), lags.all_seconds()) == (None, [0.0])
    assert warned.records == []


@pytest.mark.slow
@pytest.mark.parametrize(("behind", "times"), [(0.0, 0), (3.0, 1)])
def test_a_task_that_follows_late_tells_once(
    tmp_path: Path, engine: Engine, call: np.ndarray, warned: Any, behind: float, times: int
) -> None:
    async def play(office: Office) -> None:
        late = [replace(one, behind_seconds=behind) for one in fragments_of(call, range(RATE, len(call), RATE))]
        office.line = Line(late)
        await office.follow(office.new_task())
        assert office.lags.all_seconds() == []

    run(tmp_path, engine, play)
    assert [record.getMessage() for record in warned.records if record.name == "earwitness.lag"] == [
        "a task is behind its stream"
    ] * times
