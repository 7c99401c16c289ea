"""Which ranges a checkpoint keeps, for any row of passages and fragments, and how large it gets."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.passages import PassageEnd
from earwitness.media.source import StreamFragment
from earwitness.store.columns import to_json
from earwitness.tasks.checkpoints import RANGES_MAX, Checkpoint, PassageLog, SpeechRange, StreamPosition, document_of

START = datetime(2026, 1, 1, tzinfo=UTC)
LENGTH = 100
"""Samples of each fragment."""


def walked(lengths: list[tuple[int, bool]], divided: set[int]) -> tuple[PassageLog, int]:
    """A course that has followed these passages, each so long and spoken or not; and where the last one ended."""
    course, total = PassageLog(), sum(length for length, _ in lengths)
    ends, position = [], 0
    for length, spoken in lengths:
        position += length
        ends.append(PassageEnd(position=position, spoken=spoken))
    for index in range(total // LENGTH + 1):
        time = START + timedelta(seconds=index)
        one = StreamFragment(number=str(index), server_time=time, producer_time=time, header=b"", cluster=b"")
        course.arrive(one, begins_at=index * LENGTH, whole=index not in divided)
        if index == 0:
            course.begin_anew(0)
        due = [end for end in ends if end.position <= (index + 1) * LENGTH]
        del ends[: len(due)]
        course.passages_ended(due, settled=due[-1].position if due else 0)
    return course, position


def sample(place: StreamPosition) -> int:
    return int(place.number) * LENGTH + place.offset


@given(
    lengths=st.lists(st.tuples(st.integers(1, 250), st.booleans()), max_size=160),
    divided=st.sets(st.integers(1, 200), max_size=60),
)
def test_all_that_holds_speech_is_kept_or_still_listened_to(lengths: list[tuple[int, bool]], divided: set[int]) -> None:
    """In order, in no more ranges than there may be, and never from within a fragment that nobody can begin with."""
    course, _ = walked(lengths, divided)
    assert course.listening is not None
    spans = [(sample(each.start), sample(each.end)) for each in course.speech]
    assert len(spans) <= RANGES_MAX
    assert all(start < end for start, end in spans)
    assert all(first[1] < second[0] for first, second in pairwise(spans))
    spans.append((sample(course.listening), 1 << 60))
    position = 0
    for length, spoken in lengths:
        assert not spoken or any(start <= position and position + length <= end for start, end in spans)
        position += length
    for each in (*course.speech, SpeechRange(start=course.listening, end=course.listening)):
        assert int(each.start.number) not in divided
        assert int(each.end.number) not in divided


def test_a_range_too_many_is_joined_to_the_last() -> None:
    course, end = walked([(10, True), (10, False)] * (RANGES_MAX + 20), set())
    spans = [(sample(each.start), sample(each.end)) for each in course.speech]
    assert spans[:-1] == [(20 * index, 20 * index + 10) for index in range(RANGES_MAX - 1)]
    assert spans[-1] == (20 * (RANGES_MAX - 1), end - 10)


def test_the_largest_document() -> None:
    """Every task keeps one, and writes it every ten seconds at most."""
    place = StreamPosition(
        number="9" * 47, server_time=datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), offset=20 * 48_000
    )
    largest = Checkpoint(first=place, speech=(SpeechRange(start=place, end=place),) * RANGES_MAX, listening=place)
    assert 13_000 < len(to_json(document_of(largest))) < 14_000
