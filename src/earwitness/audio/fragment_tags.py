"""What a producer's tags say of a fragment: what its audio is, and which call it belongs to.

What belongs here: the names of such tags, and reading their values. What must never: tags as bytes
(`audio/matroska/tags.py`), or what follows from another call.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from earwitness.audio.pcm import Encoding

MEDIA_TYPE_TAG = "MimeType"
"""Amazon Connect writes `audio/L16;rate=8000;channels=1;` here, and something untrue into CodecID and CodecPrivate."""

CALL_TAGS = ("ContactId", "TransactionId")
"""What names a call: Amazon Connect's tag, and the Voice Connector's. Both take streams from a pool and use them again
for later calls, so readers have to stop when the value changes."""

_ENCODINGS = {"audio/l16": Encoding.S16LE, "audio/pcmu": Encoding.MULAW, "audio/pcma": Encoding.ALAW}
"""By media type in lower case. RFC 3551 has L16 in network byte order; in Kinesis Video Streams it is little-endian, as
all of AWS's readers take it."""

_NUMBER = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, kw_only=True)
class MediaType:
    """Audio as a media type describes it. None stands for what it does not say."""

    encoding: Encoding
    rate: int | None
    channels: int | None


def media_type_of(tags: Mapping[str, str]) -> MediaType | None:
    """The media type in a fragment's tags; None when there is none, or one that says nothing of audio we decode."""
    essence, *parameters = tags.get(MEDIA_TYPE_TAG, "").split(";")
    encoding = _ENCODINGS.get(essence.strip().lower())
    if encoding is None:
        return None
    values = {name.strip().lower(): value.strip() for name, _, value in (each.partition("=") for each in parameters)}
    return MediaType(encoding=encoding, rate=_number(values.get("rate")), channels=_number(values.get("channels")))


def call_of(tags: Mapping[str, str]) -> str | None:
    """What names the call in a fragment's tags; None when nothing does."""
    return next((tags[name] for name in CALL_TAGS if tags.get(name)), None)


def _number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.fullmatch(text) and int(text) else None
