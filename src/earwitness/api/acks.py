"""PutMedia's acknowledgements as they travel: one flat JSON object a line, as real captures show them."""

import json

from earwitness.audio.matroska.events import MediaFault


def buffering(timecode_ms: int, number: str) -> bytes:
    """The first bytes of a fragment have come."""
    return _line(EventType="BUFFERING", FragmentTimecode=timecode_ms, FragmentNumber=number)


def received(timecode_ms: int, number: str) -> bytes:
    """A fragment has come."""
    return _line(EventType="RECEIVED", FragmentTimecode=timecode_ms, FragmentNumber=number)


def persisted(timecode_ms: int, number: str) -> bytes:
    """A fragment is on the disk."""
    return _line(EventType="PERSISTED", FragmentTimecode=timecode_ms, FragmentNumber=number)


def refused(fault: MediaFault, timecode_ms: int | None, number: str) -> bytes:
    """A fragment, or the session, is refused. A timecode that is not known is left out: AWS's C producer reads it as an
    unsigned number, and -1 breaks its parser."""
    timecode: dict[str, str | int] = {} if timecode_ms is None else {"FragmentTimecode": timecode_ms}
    return _line(
        EventType="ERROR",
        **timecode,
        FragmentNumber=number,
        ErrorId=fault.error_id,
        ErrorCode=fault.error_code,
    )


def idle() -> bytes:
    """The session is open and nothing comes."""
    return _line(EventType="IDLE")


def _line(**members: str | int) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"
