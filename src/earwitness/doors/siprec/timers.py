"""Session timers (RFC 4028): a dialog that is not refreshed in time is over, though no BYE came.

What belongs here: what is agreed about refreshing, and when it is due. What must never: sending.
"""

from dataclasses import dataclass

from earwitness.doors.siprec.message import SipRequest

INTERVAL_SECONDS_MIN = 90
"""RFC 4028, section 4: no smaller one may be asked for."""

INTERVAL_SECONDS = 1_800
"""Asked of a client that supports timers and names none; the RFC's own suggestion."""

_INTERVAL_SECONDS_MAX = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionTimer:
    """What was agreed with an answer."""

    seconds: int
    #: Whether it is us who refresh.
    is_ours: bool

    @property
    def written(self) -> str:
        """Return the value of Session-Expires."""
        return f"{self.seconds};refresher={'uas' if self.is_ours else 'uac'}"

    @property
    def refresh_after(self) -> float:
        """Return after how many seconds we refresh, if it is us."""
        return self.seconds / 2

    @property
    def end_after(self) -> float:
        """Return after how many seconds without a refresh the dialog is over (RFC 4028, section 10)."""
        return self.seconds - min(32.0, self.seconds / 3)


def interval_of(request: SipRequest) -> int | None:
    """Return the seconds of Session-Expires: None when there are none, 0 when they cannot be read."""
    value = request.headers.get("session-expires")
    if value is None:
        return None
    text = value.partition(";")[0].strip()
    return min(int(text), _INTERVAL_SECONDS_MAX) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def agreed_timer(request: SipRequest) -> SessionTimer | None:
    """Return what to answer to a request; None when its sender does not support timers, or we could not refresh."""
    headers = request.headers
    if "timer" not in headers.tokens("supported") | headers.tokens("require"):
        return None
    value = headers.get("session-expires") or ""
    is_ours = "refresher=uas" in value.lower().replace(" ", "")
    if is_ours and "update" not in headers.tokens("allow"):
        return None
    return SessionTimer(seconds=max(interval_of(request) or INTERVAL_SECONDS, INTERVAL_SECONDS_MIN), is_ours=is_ours)
