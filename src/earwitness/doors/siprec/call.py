"""A recorded call: what INVITEs and re-INVITEs say becomes legs, events and answers.

What belongs here: which line of a session description is which leg, from one offer to the next. What must never:
sockets, transactions, the records.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from earwitness.doors.desk import DoorAccess
from earwitness.doors.events import Audio, CallStarted, CallUpdated, DoorEvent, Dtmf, Leg, LegStarted
from earwitness.doors.siprec.body import SessionBody, read_body
from earwitness.doors.siprec.caller import callers_label, number_of
from earwitness.doors.siprec.message import SipRequest, uri_of
from earwitness.doors.siprec.metadata import RecordingMetadata, read_metadata
from earwitness.doors.siprec.rtp import RtpStream
from earwitness.doors.siprec.sdp import Address, AnsweredLine, MediaLine, read_offer, write_answer
from earwitness.doors.siprec.srtp import SUITES, Decryption, SrtpKey, is_available
from earwitness.errors import MediaNotAcceptable, RecordingMetadataInvalid
from earwitness.voice.call import LEGS_MAX

RATE = 8_000

LABELS_REMEMBERED_MAX = 64
"""Labels of a call, on lines or not: a party that comes back in a later offer is the same leg."""

_HEADERS_MAX = 32
_CALL_ID_CHARACTERS_MAX = 256
_NUMBER_CHARACTERS_MAX = 128
_HEADER_CHARACTERS_MAX = 1_024
_HEADERS_TOLD = (
    "from", "to", "call-id", "contact", "user-agent", "diversion", "p-asserted-identity", "history-info", "session-id",
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class ReceivedLine:
    """A line that was accepted: whose packets they are, and how they are read."""

    label: str
    #: Where the offer says that packets come from; None when it does not say.
    address: Address | None = field(repr=False)
    stream: RtpStream
    key: SrtpKey | None = field(repr=False)
    decryption: Decryption | None

    def receive(self, packet: bytes, *, now: float) -> bool:
        """Take a packet from an address that may send. Return False when it cannot be decrypted."""
        opened = packet if self.decryption is None else self.decryption.open(packet)
        if opened is not None:
            self.stream.receive(opened, now=now)
        return opened is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedLine:
    """A line of an offer, and whether it is taken."""

    line: MediaLine
    label: str
    is_taken: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What an offer would make of a call."""

    lines: tuple[PlannedLine, ...]
    body: SessionBody

    @property
    def taken(self) -> list[int]:
        """Return the indices of the lines that need a port."""
        return [index for index, each in enumerate(self.lines) if each.is_taken]


class RecordedCall:
    """One call, from its INVITE on. `plan` looks at an offer, `begin` and `change` take it."""

    def __init__(self, access: DoorAccess, *, new_key: Callable[[int], bytes], session: int) -> None:
        """`new_key` returns so many random bytes; `session` names the call in our session descriptions."""
        self.lines: dict[int, ReceivedLine] = {}
        #: Why the latest metadata were not read; empty when they were.
        self.metadata_problem = ""
        #: Whether the metadata of the call were too much to be remembered, at any time.
        self.has_forgotten_metadata = False
        self._access = access
        self._new_key = new_key
        self._session, self._version = session, 0
        self._metadata = RecordingMetadata()
        self._legs: dict[str, Leg] = {}
        self._streams: dict[str, RtpStream] = {}
        self._own_keys: dict[int, SrtpKey] = {}
        self._answered: list[AnsweredLine] = []

    def plan(self, request: SipRequest, *, is_confidential: bool) -> Plan | None:
        """Return what the request's offer would make of the call; None when it has no offer.

        `is_confidential`: it came over TLS, so that keys in it are worth something. Raise BodyNotUsable,
        SessionDescriptionInvalid, or MediaNotAcceptable when none of its lines can be taken.
        """
        body = read_body(request)
        if body.description is None:
            return None if body.metadata is None else Plan(lines=(), body=body)
        offer = read_offer(body.description)
        labels = _labels(offer)
        taken = [self._is_acceptable(line, is_confidential=is_confidential) for line in offer]
        if not any(taken):
            raise MediaNotAcceptable(self._why_none(offer, is_confidential=is_confidential))
        if sum(taken) > LEGS_MAX:
            raise MediaNotAcceptable(f"more than {LEGS_MAX} lines of audio")
        planned = zip(offer, labels, taken, strict=True)
        lines = tuple(PlannedLine(line=line, label=label, is_taken=takes) for line, label, takes in planned)
        return Plan(lines=lines, body=body)

    def begin(self, plan: Plan, request: SipRequest) -> CallStarted:
        """Take the first offer. Return the event."""
        document = self._read_metadata(plan.body)
        self._take(plan.lines)
        labels = list(self._legs)
        caller = callers_label(
            labels,
            addresses={label: self._metadata.address_of(label) for label in labels},
            setting=self._access.caller_label,
            senders=(self._metadata.original_from, request.headers.get("from") or ""),
            receivers=(self._metadata.original_to, request.headers.get("to") or ""),
        )
        self._legs = {label: replace(leg, is_caller=label == caller) for label, leg in self._legs.items()}
        return CallStarted(
            call_id=plain_text(request.call_id, most=_CALL_ID_CHARACTERS_MAX),
            legs=tuple(self._legs.values()),
            from_number=self._number(is_caller=True) or _number(request.headers.get("from") or ""),
            to_number=self._number(is_caller=False) or _called_number(request),
            siprec_metadata=document,
            invite_headers=_told_headers(request),
        )

    def change(self, plan: Plan) -> list[DoorEvent]:
        """Take a later offer, or metadata alone. Return the events."""
        had_metadata = self._metadata
        document = self._read_metadata(plan.body)
        legs = self._take(plan.lines) if plan.lines else []
        events: list[DoorEvent] = [LegStarted(leg) for leg in legs]
        if document and self._metadata != had_metadata:
            from_number, to_number = self._number(is_caller=True), self._number(is_caller=False)
            events.append(CallUpdated(from_number=from_number, to_number=to_number, siprec_metadata=document))
        return events

    def answer(self, plan: Plan | None, ports: Mapping[int, int], *, address: str) -> bytes:
        """Return the session description to answer with; `ports` are ours by line, `address` is where they are.

        Without a plan, or without lines in it, what was answered last.
        """
        if plan is not None and plan.lines:
            self._answered = [
                AnsweredLine(line=each.line, port=ports[index], key=self._own_key(index, each.line))
                if each.is_taken
                else AnsweredLine(line=each.line, port=0)
                for index, each in enumerate(plan.lines)
            ]
            self._version += 1
        return write_answer(self._answered, address=address, session=self._session, version=self._version)

    def take_audio(self) -> list[DoorEvent]:
        """Return what came since the last time."""
        events: list[DoorEvent] = []
        for line in self.lines.values():
            events += [Audio(line.label, bytes(each.data), each.at) for each in line.stream.take()]
            events += [Dtmf(line.label) for _ in range(min(line.stream.take_keys(), 16))]
        return events

    def _is_acceptable(self, line: MediaLine, *, is_confidential: bool) -> bool:
        if not line.is_usable or line.is_encrypted != self._must_encrypt(line):
            return False
        return not line.is_encrypted or (is_confidential and is_available())

    def _must_encrypt(self, line: MediaLine) -> bool:
        return self._access.require_encryption or line.is_encrypted

    def _why_none(self, offer: Sequence[MediaLine], *, is_confidential: bool) -> str:
        if any(line.is_encrypted for line in offer) and not is_confidential:
            return "keys are taken over TLS only"
        if any(line.is_encrypted for line in offer) and not is_available():
            return "encrypted media need the extra `srtp`"
        if self._access.require_encryption and not any(line.is_encrypted for line in offer):
            return "this connector takes encrypted media only"
        return "no line has PCMU or PCMA"

    def _read_metadata(self, body: SessionBody) -> str:
        """Return the document as it came, if it could be read. Damaged metadata cost the names, not the call."""
        self.metadata_problem = ""
        if body.metadata is None:
            return ""
        try:
            self._metadata = read_metadata(body.metadata, self._metadata)
        except RecordingMetadataInvalid as error:
            self.metadata_problem = str(error)
            return ""
        self.has_forgotten_metadata = self.has_forgotten_metadata or self._metadata.is_cut
        return body.metadata.decode("utf-8", "replace").replace("\0", "").strip()

    def _take(self, planned: Sequence[PlannedLine]) -> list[Leg]:
        """Have the lines be received. Return the legs that are new, or have other audio from now on."""
        before, new = self.lines, list[Leg]()
        self.lines = {}
        for index, each in enumerate(planned):
            if each.is_taken:
                former = before.get(index)
                leg = self._leg_of(each, former)
                if self._legs.get(each.label) != leg:
                    self._legs[each.label] = leg
                    new.append(leg)
                self.lines[index] = self._received(each, former)
        self._forget_labels()
        return new

    def _forget_labels(self) -> None:
        """Forget the labels that are on no line any more, oldest first, when there are too many."""
        present = {line.label for line in self.lines.values()}
        too_many = max(0, len(self._legs) - LABELS_REMEMBERED_MAX)
        for label in [each for each in self._legs if each not in present][:too_many]:
            del self._legs[label]
            self._streams.pop(label, None)

    def _leg_of(self, planned: PlannedLine, former: ReceivedLine | None) -> Leg:
        """Return the leg of a line. A label that is new on a line is another party in the former one's place."""
        known = self._legs.get(planned.label) or (self._legs.get(former.label) if former else None)
        coding = planned.line.codings[0][1]
        return Leg(label=planned.label, is_caller=known is not None and known.is_caller, coding=coding, rate=RATE)

    def _received(self, planned: PlannedLine, former: ReceivedLine | None) -> ReceivedLine:
        line = planned.line
        payload_type = line.codings[0][0]
        stream = self._streams.get(planned.label)
        if stream is None:
            stream = self._streams[planned.label] = RtpStream(payload_type=payload_type, event_type=line.event_type)
        elif (stream.payload_type, stream.event_type) != (payload_type, line.event_type):
            stream.renew(payload_type=payload_type, event_type=line.event_type)
        key = line.keys[0] if line.is_encrypted else None
        decryption = former.decryption if former is not None and former.key == key else None
        if key is not None and decryption is None:
            decryption = Decryption(key)
        return ReceivedLine(label=planned.label, address=line.address, stream=stream, key=key, decryption=decryption)

    def _own_key(self, index: int, line: MediaLine) -> SrtpKey | None:
        """Return the key that a crypto line needs, though we send nothing: same tag and suite (RFC 4568, 5.1.2)."""
        if not line.is_encrypted:
            return None
        theirs, own = line.keys[0], self._own_keys.get(index)
        if own is None or (own.tag, own.suite) != (theirs.tag, theirs.suite):
            own = SrtpKey(tag=theirs.tag, suite=theirs.suite, key=self._new_key(SUITES[theirs.suite]))
            self._own_keys[index] = own
        return own

    def _number(self, *, is_caller: bool) -> str:
        """Return who is on the caller's leg, or on the first other one, of those that are received now."""
        for line in self.lines.values():
            if self._legs[line.label].is_caller == is_caller:
                return _number(self._metadata.address_of(line.label))
        return ""


def plain_text(text: str, *, most: int) -> str:
    """Return what may be kept and shown of what a stranger wrote: printable characters, not too many."""
    return "".join(each if each.isprintable() else "?" for each in text[:most])


def _number(text: str) -> str:
    return plain_text(number_of(text), most=_NUMBER_CHARACTERS_MAX)


def _labels(offer: Sequence[MediaLine]) -> list[str]:
    """Return a name for each line: its label, or its number where it has none or another line has the same."""
    labels = list[str]()
    for number, line in enumerate(offer, start=1):
        label = line.label or str(number)
        while label in labels:
            label = f"{label}-{number}"
        labels.append(label)
    return labels


def _called_number(request: SipRequest) -> str:
    """Return who was called, unless that is only our connector."""
    called = _number(request.headers.get("to") or "")
    return "" if called == uri_of(request).user.lower() else called


def _told_headers(request: SipRequest) -> dict[str, str]:
    """Return headers that AWS programs may read: whom the phone system names, and what it adds as X-."""
    told = dict[str, str]()
    for name, value in request.headers.fields:
        if (name in _HEADERS_TOLD or name.startswith("x-")) and name not in told and len(told) < _HEADERS_MAX:
            told[plain_text(name, most=64)] = plain_text(value, most=_HEADER_CHARACTERS_MAX)
    return {"-".join(word.capitalize() for word in name.split("-")): value for name, value in told.items()}
