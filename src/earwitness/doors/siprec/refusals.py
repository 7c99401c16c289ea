"""With which status a call is refused, and what the counts of refusals call it.

What belongs here: errors to statuses of RFC 3261, section 21. What must never: sending them.
"""

from earwitness.doors.siprec.message import SipRequest
from earwitness.errors import (
    BodyNotUsable,
    Conflict,
    EarwitnessError,
    LimitExceeded,
    MediaNotAcceptable,
    SessionDescriptionInvalid,
)

_REFUSALS: dict[type[EarwitnessError], tuple[int, str]] = {
    BodyNotUsable: (415, "body not usable"),
    SessionDescriptionInvalid: (400, "session description not readable"),
    MediaNotAcceptable: (488, "no audio that is taken here"),
    Conflict: (486, "call id in use"),
    LimitExceeded: (503, "quota reached"),
}


def refusal_of(error: EarwitnessError) -> tuple[int, str]:
    """Return status and reason; 503 where another recorder may do better."""
    return _REFUSALS.get(type(error), (503, "cannot take calls now"))


def is_recording(request: SipRequest) -> bool:
    """Say whether an INVITE is of a recording client: AudioCodes writes `src` for `+sip.src`, some forget Require."""
    if "siprec" in request.headers.tokens("require"):
        return True
    contact = (request.headers.get("contact") or "").lower().replace(" ", "")
    return ";+sip.src" in contact or ";src" in contact or b"rs-metadata" in request.body
