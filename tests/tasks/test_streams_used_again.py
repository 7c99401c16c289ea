"""Streams that one call after the other goes through, as Amazon Connect's do: a task hears its own, and all of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import RATE, Line, Office, cut_off, fragment, fragments_of, run

from earwitness.audio.channel import CONNECT_TRACKS
from earwitness.audio.matroska.tracks import Track
from earwitness.audio.matroska.writer import write_block, write_cluster, write_header
from earwitness.engine.engine import Engine
from earwitness.voice.task_status import TaskStatus

pytestmark = pytest.mark.slow

SECONDS = [second * RATE for second in range(1, 36)]
BOTH = ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]


def told(office: Office, task: Any) -> list[str]:
    return [detail["detailStatus"] for detail in office.details(task)]


def of_calls(call: np.ndarray, *contacts: str) -> list[Any]:
    """The call as fragments of a second, the first of one contact each, the rest of the last."""
    fragments = fragments_of(call, SECONDS)
    names = [*contacts, *contacts[-1:] * len(fragments)]
    return [replace(one, tags={"ContactId": name}) for one, name in zip(fragments, names, strict=False)]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_task_hears_its_own_contact_only(
    tmp_path: Path, engine: Engine, call: np.ndarray, restarted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream goes on with another one: that is the end of the audio, for a later attempt too."""

    async def play(office: Office) -> None:
        fragments = of_calls(call, *["secret-1"] * 16, "secret-2")
        task = office.new_task()
        if restarted:
            await cut_off(office, task, fragments[:16])
            assert "secret" not in str(office.now(task).checkpoint)
            fragments = fragments[16:]
        office.line = Line(fragments)
        await office.follow(task)
        assert office.now(task).status is TaskStatus.STOPPED
        assert told(office, task) == ["IdentificationNoMatchesFound", "VoiceprintGenerationFailure"]
        said = office.details(task)[1]["statusMessage"]
        assert said.endswith("and 20 s are needed; another call has begun in the stream") or restarted
        assert said.startswith("only ")
        assert "secret" not in said + caplog.text

    run(tmp_path, engine, play)


def test_another_call_with_the_same_times_and_speech_ends_the_audio(
    tmp_path: Path, engine: Engine, call: np.ndarray
) -> None:
    """A recording that is played twice, as two calls, by a program whose clock stands still."""

    async def play(office: Office) -> None:
        first = [replace(one, tags={"ContactId": "one"}) for one in fragments_of(call[: 6 * RATE], SECONDS[:5])]
        second = [
            replace(one, number=str(len(first) + number), tags={"ContactId": "two"})
            for number, one in enumerate(first, start=1)
        ]
        office.line = Line([*first, *second])
        task = office.new_task()
        await office.follow(task)
        assert office.now(task).status is TaskStatus.STOPPED
        assert "another call has begun in the stream" in office.details(task)[-1]["statusMessage"]

    run(tmp_path, engine, play)


def test_a_fragment_that_names_no_contact_belongs_to_the_call_before_it(
    tmp_path: Path, engine: Engine, call: np.ndarray
) -> None:
    async def play(office: Office) -> None:
        fragments = of_calls(call, *["one"] * 3)
        office.line = Line([replace(one, tags={}) if index % 4 == 0 else one for index, one in enumerate(fragments)])
        task = office.new_task()
        await office.follow(task)
        assert told(office, task) == BOTH

    run(tmp_path, engine, play)


def test_amazon_connects_customer_is_heard_behind_a_prompt(tmp_path: Path, engine: Engine, call: np.ndarray) -> None:
    """The agent's track alone is announced at first, AAC for what is PCM; one fragment later has no customer."""

    async def play(office: Office) -> None:
        office.line = Line(as_connect(fragments_of(call, SECONDS)))
        task = office.new_task()
        await office.follow(task)
        assert office.now(task).status is TaskStatus.STOPPED, office.now(task).status_message
        assert told(office, task) == BOTH

    run(tmp_path, engine, play)


def as_connect(fragments: list[Any]) -> list[Any]:
    """The call as the track of Amazon Connect's customer, behind two fragments with a prompt; the sixth is the agent's
    alone."""
    customer, agent = (
        Track(number=number, type=2, codec_id="A_AAC", name=name, codec_private=bytes.fromhex("1190"))
        for number, name in enumerate(CONNECT_TRACKS, start=1)
    )
    prompt = write_cluster(0, [write_block(2, 0, bytes(16_000))])
    both, alone = write_header([customer, agent]), write_header([agent])
    tags = {"MimeType": "audio/L16;rate=8000;channels=1;", "ContactId": "one"}
    shapes = [(alone, prompt)] * 2 + [(both, one.cluster) for one in fragments]
    shapes.insert(6, (alone, prompt))
    return [
        replace(fragment(number, cluster=cluster, header=header), tags=tags)
        for number, (header, cluster) in enumerate(shapes, start=1)
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_producer_sends_again_is_heard_once(
    tmp_path: Path, engine: Engine, call: np.ndarray, restarted: bool
) -> None:
    """Its connection breaks each time before the last three seconds are acknowledged. Their timestamps are other bytes,
    because they count from the begin of a connection."""

    async def play(office: Office) -> None:
        once, numbered = fragments_of(call[: 16 * RATE], SECONDS[:15]), []
        for last in range(len(once)):
            for one in once[max(0, last - 3) : last + 1]:
                relative = write_cluster(len(numbered) % 5, [one.cluster[one.cluster.index(b"\xa3") :]])
                number = fragment(len(numbered) + 1, cluster=relative)
                numbered.append(replace(number, producer_time=one.producer_time))
        task, plain = office.new_task(), office.new_task()
        if restarted:
            await cut_off(office, task, numbered[:40])
        for each, fragments in ((task, numbered), (plain, once)):
            office.line = Line(fragments)
            following = asyncio.ensure_future(office.follow(each))
            exhausted = asyncio.ensure_future(office.line.exhausted.wait())
            await asyncio.wait({following, exhausted}, return_when=asyncio.FIRST_COMPLETED)
            exhausted.cancel()
            if not following.done():
                office.stop_pipeline(each)
            await following
        heard, expected = (office.details(each)[-1] for each in (task, plain))
        assert told(office, task) == told(office, plain)
        assert heard["statusMessage"] == expected["statusMessage"]
        assert "s of speech were heard before the audio ended" in expected["statusMessage"]

    run(tmp_path, engine, play)
