"""What consumers get of a stream whose file is damaged on the disk: all that is whole, and the truth about the rest."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from media_client import HEADER, cluster, fragments, new_stream, put, read_some, tone
from media_client import client as client_of
from serving import Served, start, stop

from earwitness.audio.matroska.get_media import ConsumedFragment, ConsumerEvent, GetMediaReader, ServiceFailed
from earwitness.audio.matroska.tracks import Track
from earwitness.audio.matroska.writer import write_block, write_cluster, write_header
from earwitness.fragments.record import MAGIC

pytestmark = pytest.mark.slow

NOW_MS = 1_790_000_000_000
PIECES = [tone(1.0, seed=index) for index in range(4)]
HIT = 1


@pytest.fixture(params=["head", "body"])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Served, str, list[str]]]:
    """A service that was started again after the second of four fragments was damaged; the stream, and all numbers."""
    before = start(tmp_path)
    stream = new_stream(before.url)
    acks = put(before.url, stream, HEADER + b"".join(cluster(NOW_MS + 1_000 * n, pcm) for n, pcm in enumerate(PIECES)))
    numbers = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    stop(before)
    (path,) = tmp_path.rglob("*.segment")
    content = bytearray(path.read_bytes())
    content[
        [found.start() for found in re.finditer(MAGIC, content)][HIT] + (5 if request.param == "head" else 500)
    ] ^= 4
    path.write_bytes(content)
    path.with_suffix(".index").unlink()
    served = start(tmp_path)
    yield served, stream, numbers
    stop(served)


def fetched(url: str, stream: str, numbers: list[str]) -> list[ConsumerEvent]:
    archive = client_of(url, "kinesis-video-archived-media")
    payload, reader = (
        archive.get_media_for_fragment_list(StreamName=stream, Fragments=numbers)["Payload"],
        GetMediaReader(),
    )
    return [event for data in iter(lambda: read_some(payload), b"") for event in reader.feed(data)] + reader.close()


def test_what_is_whole_is_read_and_what_is_not_is_called_damaged(damaged: tuple[Served, str, list[str]]) -> None:
    served, stream, numbers = damaged
    whole = [number for place, number in enumerate(numbers) if place != HIT]
    assert [fragment.number for fragment in fragments(served.url, stream, at_most=3)] == whole  # and no error tag
    behind_it = fragments(
        served.url, stream, at_most=2, StartSelectorType="FRAGMENT_NUMBER", AfterFragmentNumber=numbers[HIT]
    )
    assert [fragment.number for fragment in behind_it] == numbers[HIT + 1 :]
    first, failed = fetched(served.url, stream, [numbers[0], numbers[HIT], numbers[3]])
    assert isinstance(first, ConsumedFragment)
    assert first.number == numbers[0]
    assert failed == ServiceFailed(error_id=5000, error_code="INTERNAL_ERROR", fragment_number=numbers[HIT])


def test_a_stream_that_is_deleted_while_its_archive_is_read(tmp_path: Path) -> None:
    served = start(tmp_path)
    stream, block = new_stream(served.url), write_block(1, 0, bytes(1_000_000))
    media = b"".join(write_cluster(NOW_MS + 1_000 * n, [block]) for n in range(40))  # more than sockets hold
    header = write_header([Track(number=1, type=1, codec_id="V_MPEG4/ISO/AVC")])
    acks = put(served.url, stream, header + media)
    numbers = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    archive = client_of(served.url, "kinesis-video-archived-media")
    payload = archive.get_media_for_fragment_list(StreamName=stream, Fragments=numbers)["Payload"]
    reader = GetMediaReader()
    while not reader.feed(read_some(payload)):
        continue
    kinesis = client_of(served.url)
    kinesis.delete_stream(StreamARN=kinesis.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"])
    events = [event for data in iter(lambda: read_some(payload), b"") for event in reader.feed(data)] + reader.close()
    assert [event.error_code for event in events if isinstance(event, ServiceFailed)] == ["STREAM_READ_ERROR"]
    stop(served)
