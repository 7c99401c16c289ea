"""A call whose earlier media are gone when it is taken up again: it goes on with what there is, and says so."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragments_of, run
from store_examples import MINE

from earwitness.engine.engine import Engine
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.stream import FragmentStream
from earwitness.media.own import OwnSource
from earwitness.media.source import Source, StartPosition, StreamFragment
from earwitness.store.records import SpeakerSearchTask
from earwitness.tasks.replay import LOST, FragmentSlice
from earwitness.vault.data_key import DataKey
from earwitness.voice.task_status import TaskStatus

pytestmark = pytest.mark.slow

BOTH = ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]
TWO_SECONDS = 2 * RATE


def told(office: Office, task: SpeakerSearchTask) -> list[str]:
    return [detail["detailStatus"] for detail in office.details(task)]


def printed(office: Office, task: SpeakerSearchTask) -> bytes:
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return found.voiceprint.vector


class LiveEdge(Line):
    """A stream that keeps nothing: whoever comes gets what comes from now on."""

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        async with aclosing(super().fragments(StartPosition(since=start.since))) as fragments:
            async for one in fragments:
                yield one


class Watched:
    """Says when so many fragments of a source were heard."""

    def __init__(self, source: Source, count: int) -> None:
        self.source, self.count = source, count
        self.heard = asyncio.Event()

    async def fragments(self, start: StartPosition) -> AsyncGenerator[StreamFragment]:
        left = self.count
        async with aclosing(self.source.fragments(start)) as fragments:
            async for one in fragments:
                yield one
                left -= 1
                if not left:
                    self.heard.set()


def heard_once(pieces: Sequence[FragmentSlice], lengths: dict[str, int]) -> bool:
    """Whether no sample of any fragment is in two pieces."""
    seen: set[tuple[str, int]] = set()
    for piece in pieces:
        number = piece.fragment.number
        samples = range(lengths[number])[piece.start : piece.end]
        own = {(number, sample) for sample in (samples[0], samples[-1])} if samples else set()
        if own & seen:
            return False
        seen |= own
    return True


@pytest.mark.parametrize("kind", [Line, LiveEdge])
@pytest.mark.parametrize("gone", [3, 7, 20, 25])
def test_the_task_goes_on_with_what_there_is_and_says_so(
    tmp_path: Path,
    engine: Engine,
    halting: np.ndarray,
    heard: list[FragmentSlice],
    caplog: Any,
    kind: type[Line],
    gone: int,
) -> None:
    """Gone is a part of the first passage with speech, all of it, the second too, or all that was heard."""
    fragments = fragments_of(halting, list(range(TWO_SECONDS, len(halting), TWO_SECONDS)))

    async def lost(office: Office) -> tuple[Any, bytes]:
        task = office.new_task()
        await cut_off(office, task, fragments[:25])
        kept = office.now(task).checkpoint
        assert kept is not None
        speech = kept["speech"]
        assert isinstance(speech, list)
        assert len(speech) == 2
        assert told(office, task) == BOTH[:1]
        heard.clear()
        office.line = kind([*fragments[gone:], *more])
        with caplog.at_level(logging.WARNING, "earwitness.reading"):
            await office.follow(task)
        assert [record.name for record in caplog.records].count("earwitness.reading") == 1
        now = office.now(task)
        assert (now.status, now.status_message, now.attempt) == (TaskStatus.STOPPED, LOST, 2)
        assert told(office, task) == BOTH  # the search, made before, is not made again
        assert heard_once(heard, {one.number: TWO_SECONDS for one in [*fragments, *more]})
        return now.identification, printed(office, task)

    later = fragments_of(np.concatenate([halting, halting]), list(range(TWO_SECONDS, 2 * len(halting), TWO_SECONDS)))
    more = later[len(fragments) :]
    identification, vector = run(tmp_path, engine, lost)
    assert identification["outcome"] == "no match"
    assert len(vector) > 100


@pytest.mark.parametrize("by", ["age", "bytes"])
def test_media_that_a_real_log_keeps_no_longer(tmp_path: Path, engine: Engine, call: np.ndarray, by: str) -> None:
    """The answers are those of a task that heard only what is still there."""

    async def play(office: Office) -> None:
        log = await open_fragment_log(tmp_path / "media", clock=office.clock)
        identity = StreamIdentity(account_id=MINE.account_id, stream_arn="arn:of:a:stream")
        key = DataKey(os.urandom(32))

        async def opened() -> FragmentStream:
            return await log.open_stream(identity, key=lambda: key, retention=Retention(hours=1))

        async def put(fragments: Sequence[StreamFragment]) -> None:
            stream = await opened()
            for one in fragments:
                number = (await stream.reserve()).number
                await stream.append(
                    number,
                    producer_timestamp=one.producer_time,
                    duration_ms=1_000,
                    header=one.header,
                    cluster=one.cluster,
                )

        fragments = fragments_of(call, [second * RATE for second in range(1, 36)])
        task = office.new_task()
        await put(fragments[:14])
        office.line = first = Watched(OwnSource(opened), 14)
        before = asyncio.ensure_future(office.follow(task))
        await first.heard.wait()
        before.cancel()
        await asyncio.wait({before})
        if by == "age":
            office.clock.advance(timedelta(hours=2))
            await log.expire(office.clock())
        else:
            stream = await opened()
            await stream.set_retention(Retention(hours=1, bytes_max=1))
            await stream.set_retention(Retention(hours=1))
        await put(fragments)
        office.line = OwnSource(opened)
        await office.follow(task)
        other = office.new_task(task.domain_id)
        office.line = Line(fragments)
        await office.follow(other)
        assert told(office, task) == told(office, other) == BOTH
        assert printed(office, task) == printed(office, other)
        assert office.now(task).status_message == LOST
        assert office.now(other).status_message is None
        await log.close()

    run(tmp_path, engine, play)


@pytest.mark.parametrize("interrupted_again", [False, True])
def test_a_result_that_lacks_speech_says_what_became_of_it(
    tmp_path: Path, engine: Engine, call: np.ndarray, interrupted_again: bool
) -> None:
    """However often the task was interrupted since."""

    async def play(office: Office) -> None:
        fragments = fragments_of(call, [second * RATE for second in range(1, 36)])
        task = office.new_task()
        await cut_off(office, task, fragments[:6])
        await cut_off(office, task, fragments[8:12])
        assert office.now(task).status_message == LOST
        if interrupted_again:
            await cut_off(office, task, fragments[8:14])
        office.stop_pipeline(task)
        office.line = Line(fragments[8:14])
        await office.follow(task)
        assert told(office, task) == ["IdentificationFailure", "VoiceprintGenerationFailure"]
        assert all(detail["statusMessage"].endswith(LOST) for detail in office.details(task))

    run(tmp_path, engine, play)


def test_when_nothing_is_left_and_nothing_comes_it_ends_and_says_so(
    tmp_path: Path, engine: Engine, call: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.tasks.follow.CATCH_UP_SECONDS", 0.01)

    async def play(office: Office) -> None:
        task = office.new_task()
        await cut_off(office, task, fragments_of(call, [second * RATE for second in range(1, 36)])[:6])
        office.stop_pipeline(task)
        office.line = Line([])
        await office.follow(task)
        assert office.now(task).status is TaskStatus.STOPPED
        assert [detail["statusMessage"].endswith(LOST) for detail in office.details(task)] == [True, True]

    run(tmp_path, engine, play)
