"""Tags go with their fragment where they come in time, and nobody waits for tags that do not come."""

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.api.put_media import FragmentComplete, TagGatherer
from earwitness.audio.matroska.events import FragmentReceived, FragmentStarted, MatroskaEvent, TagsReceived
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.audio.matroska.tags import END_OF_FRAGMENT, TagsElement, write_tags
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.fragments.interface import TAGS_BYTES_MAX


def started(number: int) -> FragmentStarted:
    return FragmentStarted(timecode_ms=number)


def received(number: int) -> FragmentReceived:
    return FragmentReceived(timecode_ms=number, duration_ms=1, cluster=b"")


def tags(raw: bytes = b"t", name: str = "ContactId") -> TagsReceived:
    return TagsReceived(tags=TagsElement(raw=raw, pairs=((name, ""),)))


def complete(number: int, raw: bytes = b"") -> FragmentComplete:
    return FragmentComplete(fragment=received(number), tags=raw)


def test_tags_that_come_at_once_go_with_their_fragment() -> None:
    told = TagGatherer().gather([started(0), received(0), tags(b"a"), tags(b"b"), started(1), received(1)])
    assert told == [started(0), received(0), complete(0, b"ab"), started(1), received(1)]


def test_a_fragment_waits_for_as_many_tags_as_the_one_before_it_had() -> None:
    gatherer = TagGatherer()
    assert gatherer.gather([received(0)]) == [received(0), complete(0)]
    assert gatherer.gather([tags(b"a"), tags(b"b")]) == [tags(b"a"), tags(b"b")]  # too late, and learnt from
    assert gatherer.gather([received(1)]) == [received(1)]
    assert gatherer.gather([tags(b"c")]) == []
    assert gatherer.gather([tags(b"d")]) == [complete(1, b"cd")]
    assert gatherer.gather([received(2)]) == [received(2)]
    assert gatherer.gather([started(3)]) == [complete(2), started(3)]
    assert gatherer.gather([received(3)]) == [received(3), complete(3)]


def test_the_mark_at_the_end_ends_the_wait_and_is_not_kept() -> None:
    gatherer = TagGatherer()
    gatherer.gather([received(0), tags(), received(1)])
    assert gatherer.gather([tags(b"end", END_OF_FRAGMENT)]) == [complete(1)]


def test_more_tags_than_can_be_kept_with_a_fragment_come_after_it() -> None:
    large = tags(bytes(TAGS_BYTES_MAX))
    assert TagGatherer().gather([received(0), large, tags()]) == [
        received(0),
        complete(0, bytes(TAGS_BYTES_MAX)),
        tags(),
    ]


def test_a_release_gives_what_waits_once() -> None:
    gatherer = TagGatherer()
    gatherer.gather([received(0), tags(), received(1)])
    assert gatherer.release() == [complete(1)]
    assert gatherer.release() == []


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.integers(0, 3), max_size=8), seed=st.integers(0, 1_000))
def test_however_a_stream_is_cut_everything_is_told_once_and_in_order(counts: list[int], seed: int) -> None:
    parts = [write_header([pcm_track(rate=8_000)])]
    for number, count in enumerate(counts):
        parts.append(write_cluster(1_000 * number, [write_block(1, 0, bytes(16))], size_known=bool(seed % 2)))
        parts += [write_tags({f"name{index}": "value"}) for index in range(count)]
    stream, rng = b"".join(parts), random.Random(seed)
    reader, gatherer, told = PutMediaReader(), TagGatherer(), list[MatroskaEvent | FragmentComplete]()
    while stream:
        size = rng.choice((1, 20, 60, 400))
        told += gatherer.gather(reader.feed(stream[:size]))
        stream = stream[size:]
    told += [*gatherer.gather(reader.close()), *gatherer.release()]
    assert [event.timecode_ms for event in told if isinstance(event, FragmentReceived)] == [
        1_000 * number for number in range(len(counts))
    ]
    assert kept(told) == counts


def kept(told: Sequence[MatroskaEvent | FragmentComplete]) -> list[int]:
    """Tags elements of each fragment, those that came with it and those that came later."""
    found: list[int] = []
    for event in told:
        if isinstance(event, FragmentComplete):
            found.append(event.tags.count(b"name"))
        elif isinstance(event, TagsReceived):
            found[-1] += 1
    return found
