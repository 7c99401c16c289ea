"""What the service says of the fragments it gets: one JSON object each, in a stream that is cut anywhere."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from earwitness.errors import PutMediaFailed

_ACK_CHARACTERS_MAX = 4_096
"""Real ones have about 150 (the C producer reads at most 1,024)."""


class AckType(StrEnum):
    """How far a fragment has come."""

    BUFFERING = "BUFFERING"
    """Its first bytes have arrived."""

    RECEIVED = "RECEIVED"
    """All of it has arrived."""

    PERSISTED = "PERSISTED"
    """It is on the disk; comes only where the stream has a retention."""

    ERROR = "ERROR"
    """It was refused, and with it as a rule the session."""

    IDLE = "IDLE"
    """The session is open and nothing comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """One acknowledgement."""

    type: AckType
    """How far the fragment has come."""

    timecode_ms: int | None
    """The fragment's timecode as it was sent; None for IDLE."""

    fragment_number: str
    """Its number, which GetMedia and tasks may start after; empty where there is none."""

    error_code: str
    """For ERROR: what is wrong, as AWS names it; else empty."""


class AckReader:
    """Feed the bytes of the answer, take acknowledgements. Objects may be divided anywhere and stand without blanks."""

    def __init__(self) -> None:
        self._text = ""
        self._decoder = json.JSONDecoder()

    def feed(self, data: bytes) -> list[Ack]:
        """The acknowledgements that are complete now. Raises PutMediaFailed for anything else."""
        self._text += data.decode("utf-8", "replace")
        found: list[Ack] = []
        while text := self._text.lstrip():
            if not text.startswith("{"):
                raise _no_acknowledgement()
            try:
                # `Any`: JSON of the other side.
                document, end = cast("tuple[Any, int]", self._decoder.raw_decode(text))
            except (json.JSONDecodeError, RecursionError):
                if len(text) > _ACK_CHARACTERS_MAX:
                    raise _no_acknowledgement() from None
                self._text = text
                return found
            self._text = text[end:]
            found.append(_ack(document))
        self._text = ""
        return found


def _ack(document: Any) -> Ack:  # `Any`: as above
    try:
        document = document.get(
            "Acknowledgement", document
        )  # the documentation's example nests it, the service does not
        timecode = document.get("FragmentTimecode")
        return Ack(
            type=AckType(document.get("EventType") or document["AckEventType"]),
            timecode_ms=None if timecode is None else int(timecode),
            fragment_number=str(document.get("FragmentNumber") or ""),
            error_code=str(document.get("ErrorCode") or document.get("ErrorId") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _no_acknowledgement() from None


def _no_acknowledgement() -> PutMediaFailed:
    return PutMediaFailed("the answer of the service is no acknowledgement; look at the endpoint")
