"""What AWS may say that our own service does not, and where the next connection then begins."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_aws import EPOCH, ScriptedAws, chunk, error, scripted_aws
from source_streams import HURRY, aws_clients, heard

from earwitness.errors import SourceError, SourceRefused, SourceUnavailable, StreamGone
from earwitness.media.get_media import KinesisVideoStream
from earwitness.media.kvs import KvsSource, ReadCursor
from earwitness.media.source import Source, StartPosition

pytestmark = pytest.mark.anyio

ARN = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/line/1"
NOW = {"StartSelectorType": "NOW"}
START = StartPosition(since=EPOCH)
OF_THE_MOMENT = [error(5000), error(3002), error(4503), b"no Matroska at all", "ConnectionLimitExceededException"]
REFUSALS = [error(4500), error(4506), "NotAuthorizedException", "AccessDeniedException", "ValidationException"]


@pytest.fixture
def script() -> Iterator[ScriptedAws]:
    with scripted_aws() as running:
        yield running


@pytest.fixture
def source(script: ScriptedAws) -> Iterator[Source]:
    clients = aws_clients(script.url)
    with ThreadPoolExecutor(2) as threads:
        yield KvsSource(KinesisVideoStream(ARN, clients), threads=threads, patience=HURRY)
    clients.close()


async def until_error(source: Source, start: StartPosition) -> tuple[list[int], SourceError]:
    """All that comes, and what ends it."""
    seconds: list[int] = []
    async with aclosing(source.fragments(start)) as fragments:
        try:
            async for fragment in fragments:
                assert fragment.number == str(heard(fragment))
                seconds.append(heard(fragment))
        except SourceError as ended:
            return seconds, ended
    raise AssertionError("a stream ended without an error")


def at(time: datetime) -> dict[str, object]:
    return {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": time.timestamp()}


def after(number: int) -> dict[str, str]:
    return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": str(number)}


@pytest.mark.slow
async def test_each_connection_begins_behind_the_last_fragment(script: ScriptedAws, source: Source) -> None:
    whole = chunk(3) + chunk(4)
    script.answers = [chunk(1) + chunk(2), b"", whole[: len(chunk(3)) + 500], whole[len(chunk(3)) :]]
    seconds, ended = await until_error(source, START)
    assert seconds == [1, 2, 3, 4]
    assert isinstance(ended, StreamGone)
    assert script.selectors == [at(EPOCH), after(2), after(2), after(3), after(4)]
    assert script.endpoints_asked == 1


@pytest.mark.slow
async def test_fragments_that_come_again_are_dropped(script: ScriptedAws, source: Source) -> None:
    script.answers = [chunk(1) + chunk(2), chunk(1) + chunk(2) + chunk(3)]
    assert (await until_error(source, START))[0] == [1, 2, 3]


@pytest.mark.slow
async def test_nothing_slips_between_a_silent_connection_and_the_next(script: ScriptedAws, source: Source) -> None:
    script.answers = [b"", b"", chunk(1)]
    assert (await until_error(source, START))[0] == [1]
    assert script.selectors == [at(EPOCH)] * 3 + [after(1)]


@pytest.mark.slow
async def test_what_began_before_is_left_out(script: ScriptedAws, source: Source) -> None:
    script.answers = [chunk(1) + chunk(2) + chunk(3)]
    since = EPOCH + timedelta(seconds=2, microseconds=700)  # fragments know their time in milliseconds
    assert (await until_error(source, StartPosition(since=since)))[0] == [2, 3]


@pytest.mark.slow
async def test_a_first_fragment_is_found_by_its_time(script: ScriptedAws, source: Source) -> None:
    script.answers = [chunk(7) + chunk(8) + chunk(9)]
    time = EPOCH + timedelta(seconds=8)
    start = StartPosition(since=EPOCH, first_number="8", first_server_time=time)
    assert (await until_error(source, start))[0] == [8, 9]
    assert script.selectors == [at(time), after(9)]


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["InvalidArgumentException", error(4000)])
async def test_a_fragment_that_is_not_there_leads_to_its_time(
    script: ScriptedAws, source: Source, answer: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    script.answers = [chunk(5), answer, chunk(5) + chunk(9)]
    with caplog.at_level(logging.WARNING):
        assert (await until_error(source, StartPosition(since=EPOCH, after_number="4")))[0] == [5, 9]
    assert script.selectors == [after(4), after(5), at(EPOCH + timedelta(seconds=5)), after(9)]
    assert "may be missed" in caplog.text


@pytest.mark.slow
async def test_a_time_that_is_not_there_leads_to_the_live_edge(script: ScriptedAws, source: Source) -> None:
    script.answers = ["InvalidArgumentException", "InvalidArgumentException", chunk(2)]
    assert (await until_error(source, StartPosition(since=EPOCH, after_number="9")))[0] == [2]
    assert script.selectors == [after(9), at(EPOCH), NOW, after(2)]


@pytest.mark.slow
async def test_a_stream_without_retention_is_read_from_its_live_edge(script: ScriptedAws, source: Source) -> None:
    script.retention_hours = 0
    script.answers = [chunk(1), chunk(1) + chunk(3)]
    assert (await until_error(source, START))[0] == [1, 3]
    assert script.selectors == [NOW, NOW, NOW]


@pytest.mark.slow
@pytest.mark.parametrize("answer", OF_THE_MOMENT)
async def test_failures_of_the_moment_are_tried_again(script: ScriptedAws, source: Source, answer: bytes | str) -> None:
    script.answers = [chunk(1), answer, answer, chunk(2), answer, chunk(3)]
    seconds, ended = await until_error(source, START)
    assert (seconds, type(ended)) == ([1, 2, 3], StreamGone)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [error(5000), "ClientLimitExceededException"])
async def test_too_many_failures_in_a_row_are_told(script: ScriptedAws, source: Source, answer: bytes | str) -> None:
    script.answers = [chunk(1), *[answer] * (len(HURRY.delays) + 1)]
    seconds, ended = await until_error(source, START)
    assert (seconds, type(ended)) == ([1], SourceUnavailable)
    assert script.answers == []


@pytest.mark.slow
@pytest.mark.parametrize("answer", REFUSALS)
async def test_refusals_are_told_at_once(script: ScriptedAws, source: Source, answer: bytes | str) -> None:
    script.answers = [chunk(1), answer, chunk(2)]
    seconds, ended = await until_error(source, START)
    assert (seconds, type(ended)) == ([1], SourceRefused)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["x", "-1", "٣", "1" * 5_000])
async def test_a_number_that_is_none_is_no_fragment(script: ScriptedAws, source: Source, number: str) -> None:
    script.answers = [chunk(1, called=number), chunk(2)]
    assert (await until_error(source, START))[0] == [2]


@given(
    numbers=st.lists(st.integers(0, 50)),
    start=st.sampled_from(
        [START, StartPosition(since=EPOCH, after_number="9"), StartPosition(since=EPOCH, first_number="9")]
    ),
    lost=st.sets(st.integers(0, 50)),
)
def test_whatever_comes_numbers_grow(numbers: list[int], start: StartPosition, lost: set[int]) -> None:
    place = ReadCursor(start)
    taken: list[int] = []
    for step, number in enumerate(numbers):
        if step in lost:
            place.lose()
            assert "AfterFragmentNumber" not in place.selector()
        if place.take(str(number), EPOCH):
            taken.append(number)
            assert place.selector() == after(number)
        else:
            assert number <= max([*taken, 9])
    assert taken == sorted(set(taken))
    if not lost and start.after_number:
        assert all(number > 9 for number in taken)
    if not lost and start.first_number:
        assert all(number >= 9 for number in taken)
