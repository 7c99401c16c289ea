"""One recording session's signalling (RFC 3261, section 12): a dialog that a client began with INVITE.

What belongs here: states, sequence numbers, what waits for an ACK or a refresh, requests of ours. Time is an argument,
in seconds of any clock that never jumps. What must never: sockets; what the bodies say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from earwitness.doors.siprec.addresses import addresses, read_name_address
from earwitness.doors.siprec.message import Headers, SipRequest, write
from earwitness.doors.siprec.timers import SessionTimer

T1_SECONDS = 0.5
"""Estimated round trip (RFC 3261, 17.1.1.1): the first wait before a message is sent again."""

T2_SECONDS = 4.0
"""The longest wait before it is sent again."""

GIVE_UP_SECONDS = 64 * T1_SECONDS
"""When nobody waits for an answer any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """Where messages come from and answers go."""

    #: UDP, TCP or TLS.
    transport: str
    address: str
    port: int
    #: Ours, as the other side can reach it.
    local_address: str
    local_port: int
    #: Which connection; 0 with UDP.
    connection: int = 0

    @property
    def is_reliable(self) -> bool:
        """Say whether nothing is lost on the way."""
        return self.transport != "UDP"


class DialogState(StrEnum):
    """Where a dialog is. It moves down this list only."""

    INVITED = "invited"
    ANSWERED = "answered"
    """We said 200 and wait for the ACK."""

    CONFIRMED = "confirmed"
    ENDED = "ended"


@dataclass(slots=True)
class Repeated:
    """Bytes that are sent again, at growing intervals, until something stops it."""

    data: bytes = field(repr=False)
    next_at: float
    interval: float
    give_up_at: float

    @classmethod
    def from_now(cls, data: bytes, now: float) -> "Repeated":
        """Begin when it was sent for the first time."""
        return cls(data=data, next_at=now + T1_SECONDS, interval=T1_SECONDS, give_up_at=now + GIVE_UP_SECONDS)

    def is_due(self, now: float) -> bool:
        """Say whether it is to be sent again now; the next time is set."""
        if now < self.next_at:
            return False
        self.interval = min(2 * self.interval, T2_SECONDS)
        self.next_at = now + self.interval
        return True


class Dialog:
    """Made of an INVITE; what it is answered with comes later."""

    def __init__(self, invite: SipRequest, flow: Flow, *, local_tag: str, new_token: Callable[[], str]) -> None:
        self.state = DialogState.INVITED
        self.flow = flow
        self.call_id = invite.call_id
        self.local_tag = local_tag
        self.remote_tag = invite.sender.tag
        self.timer: SessionTimer | None = None
        #: Says whether an address may send to this call; set by whoever knows the connector.
        self.may_send: Callable[[str], bool] = lambda address: address == flow.address
        #: The 200 that no ACK came for, by the INVITE's sequence number.
        self.unacknowledged: dict[int, Repeated] = {}
        #: The sequence number of the latest request of theirs.
        self.remote_sequence = invite.sequence
        self._new_token = new_token
        self._local_sequence = 0
        self._invite = invite
        self._target = _target(invite)
        self._routes = addresses(invite.headers.all("record-route"))
        self._refreshed_at = 0.0
        self._refresh_sent = False

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what requests of this dialog have in common."""
        return (self.call_id, self.local_tag, self.remote_tag)

    @property
    def record_routes(self) -> list[tuple[str, str]]:
        """Return the headers that an answer repeats, for requests to take the same way."""
        return [("record-route", route) for route in self._routes]

    def contact(self) -> str:
        """Return our Contact, with the feature tag of a session recording server (RFC 7866, 6.1.2)."""
        host = f"[{self.flow.local_address}]" if ":" in self.flow.local_address else self.flow.local_address
        transport = "" if self.flow.transport == "UDP" else f";transport={self.flow.transport.lower()}"
        return f"<sip:srs@{host}:{self.flow.local_port}{transport}>;+sip.srs"

    def takes(self, request: SipRequest, flow: Flow) -> bool:
        """Note a request in its order, and where its sender is now. Return False when an earlier one overtook it."""
        if request.sequence <= self.remote_sequence:
            return False
        self.remote_sequence = request.sequence
        self.flow = flow
        if request.method in ("INVITE", "UPDATE") and request.headers.get("contact"):
            self._target = _target(request)
        return True

    def answered(self, sequence: int, data: bytes, *, timer: SessionTimer | None, now: float) -> None:
        """Note that an INVITE was answered with 200, which is sent until the ACK comes."""
        self.unacknowledged[sequence] = Repeated.from_now(data, now)
        if self.state is DialogState.INVITED:
            self.state = DialogState.ANSWERED
        self.refreshed(timer, now)

    def refreshed(self, timer: SessionTimer | None, now: float) -> None:
        """Note that the session was refreshed, and what is agreed from now on."""
        self.timer, self._refreshed_at, self._refresh_sent = timer, now, False

    def acknowledged(self, sequence: int) -> bool:
        """Note an ACK. Return whether it is the first one."""
        self.unacknowledged.pop(sequence, None)
        if self.state is not DialogState.ANSWERED:
            return False
        self.state = DialogState.CONFIRMED
        return True

    def acknowledged_by_going_on(self) -> None:
        """Note that the client goes on: it has our answers, and its ACK was lost (RFC 5407, 3.1.4)."""
        for sequence in list(self.unacknowledged):
            self.acknowledged(sequence)

    def is_expired(self, now: float) -> bool:
        """Say whether the session should have been refreshed and was not."""
        return self.timer is not None and now - self._refreshed_at >= self.timer.end_after

    def needs_refresh(self, now: float) -> bool:
        """Say, once, that it is time for us to refresh."""
        timer = self.timer
        if timer is None or not timer.is_ours or self._refresh_sent or now - self._refreshed_at < timer.refresh_after:
            return False
        self._refresh_sent = True
        return True

    def request(self, method: str, *more: tuple[str, str]) -> tuple[str, bytes]:
        """Return a request of ours within the dialog: the name of its transaction, and its bytes."""
        self._local_sequence += 1
        branch = "z9hG4bK" + self._new_token()
        flow = self.flow
        host = f"[{flow.local_address}]" if ":" in flow.local_address else flow.local_address
        headers = [
            ("via", f"SIP/2.0/{flow.transport} {host}:{flow.local_port};branch={branch};rport"),
            ("max-forwards", "70"),
            *(("route", route) for route in self._routes),
            ("from", f"{self._invite.headers.get('to')};tag={self.local_tag}"),
            ("to", self._invite.headers.get("from") or ""),
            ("call-id", self.call_id),
            ("cseq", f"{self._local_sequence} {method}"),
            *more,
        ]
        return branch, write(SipRequest(method=method, uri=self._target, headers=Headers(tuple(headers))))


def _target(request: SipRequest) -> str:
    contact = read_name_address(request.headers.get("contact") or "") or request.sender
    return contact.uri
