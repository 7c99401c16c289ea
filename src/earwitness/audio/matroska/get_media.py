"""What GetMedia sends: a chunk for each fragment, and the error that ends a stream.

What belongs here: the service's tags and their layout, as captured from AWS. What must never: which fragment is next.
A chunk is a Matroska stream of its own: header, the service's tags, one cluster, the producer's tags, the service's.
"""

from datetime import UTC, datetime, timedelta

from earwitness.audio.matroska import ids
from earwitness.audio.matroska.ebml import read_element
from earwitness.audio.matroska.tags import write_tags
from earwitness.audio.matroska.tracks import segment_start
from earwitness.audio.matroska.writer import write_segment_begin

_PREFIX = "AWS_KINESISVIDEO_"
FRAGMENT_NUMBER = f"{_PREFIX}FRAGMENT_NUMBER"
SERVER_TIMESTAMP = f"{_PREFIX}SERVER_TIMESTAMP"
PRODUCER_TIMESTAMP = f"{_PREFIX}PRODUCER_TIMESTAMP"
SERVER_SIDE_TIMESTAMP = f"{_PREFIX}SERVER_SIDE_TIMESTAMP"
PRODUCER_SIDE_TIMESTAMP = f"{_PREFIX}PRODUCER_SIDE_TIMESTAMP"
MILLIS_BEHIND_NOW = f"{_PREFIX}MILLIS_BEHIND_NOW"
CONTINUATION_TOKEN = f"{_PREFIX}CONTINUATION_TOKEN"
ERROR_ID = f"{_PREFIX}ERROR_ID"
ERROR_CODE = f"{_PREFIX}ERROR_CODE"
EXCEPTION_ERROR_CODE = f"{_PREFIX}EXCEPTION_ERROR_CODE"
EXCEPTION_MESSAGE = f"{_PREFIX}EXCEPTION_MESSAGE"
"""Names of the service\'s tags; the SIDE and EXCEPTION ones are those of GetMediaForFragmentList."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def get_media_chunk(
    header: bytes,
    cluster: bytes,
    *,
    producer_tags: bytes,
    fragment_number: str,
    server_timestamp: datetime,
    producer_timestamp: datetime,
    millis_behind_now: int,
    continuation_token: str,
    archived: bool = False,
) -> bytes:
    """One fragment as GetMedia sends it.

    `header` and `cluster` are a producer's bytes, verbatim; `producer_tags` the Tags elements that followed the
    cluster, one after the other, possibly none. `archived` adds the names that GetMediaForFragmentList has for the
    timestamps.
    Raises MatroskaInvalid when `header` is not a stream's.
    """
    server, producer = _write_timestamp(server_timestamp), _write_timestamp(producer_timestamp)
    before = {FRAGMENT_NUMBER: fragment_number, SERVER_TIMESTAMP: server, PRODUCER_TIMESTAMP: producer}
    if archived:
        before |= {SERVER_SIDE_TIMESTAMP: server, PRODUCER_SIDE_TIMESTAMP: producer}
    after = {MILLIS_BEHIND_NOW: str(millis_behind_now), CONTINUATION_TOKEN: continuation_token}
    return b"".join((_begin(header), write_tags(before), cluster, producer_tags, write_tags(after)))


def get_media_error(header: bytes, *, fragment_number: str, error_id: int, error_code: str, message: str = "") -> bytes:
    """What GetMedia sends when it cannot go on; the names of both operations, of which the one calls the integer a
    code that the other calls an id (botocore's service models).

    `header` is the stream's as in `get_media_chunk`. Raises MatroskaInvalid when it is not one.
    """
    values = {FRAGMENT_NUMBER: fragment_number, ERROR_CODE: error_code, ERROR_ID: str(error_id)}
    if message:
        values |= {EXCEPTION_ERROR_CODE: str(error_id), EXCEPTION_MESSAGE: message}
    return _begin(header) + write_tags(values)


def _begin(header: bytes) -> bytes:
    """The header in a Segment of unknown size, whatever it was sent in."""
    start = segment_start(header)
    position = 0
    while (element := read_element(header, position, start)) is not None and element[0] != ids.SEGMENT:
        position = element[2] + element[1]
    return header[:position] + write_segment_begin() + header[start:]


def _write_timestamp(value: datetime) -> str:
    milliseconds = (value - EPOCH) // timedelta(milliseconds=1)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
