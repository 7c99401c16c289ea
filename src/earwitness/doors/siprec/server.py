"""A session recording server's half of SIP (RFC 3261, section 17.2 and 8.2): requests and a time in, events out.

What belongs here: transactions (what is sent again, what is a copy), which dialog a request is of, answers that need
nobody else. What must never: sockets; who may call, which `listener` asks the records.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from earwitness.doors.siprec.dialog import GIVE_UP_SECONDS, Dialog, DialogState, Flow, Repeated
from earwitness.doors.siprec.message import (
    Headers,
    SipFault,
    SipMessage,
    SipRequest,
    SipResponse,
    answer,
    fault_of,
    write,
)
from earwitness.doors.siprec.timers import INTERVAL_SECONDS_MIN, agreed_timer, interval_of
from earwitness.errors import SipUnreadable

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE")
EXTENSIONS = frozenset({"siprec", "timer"})

TRANSACTIONS_MAX = 20_000
"""Beyond it new calls and OPTIONS are answered 503, and nothing is kept of them."""

_ALLOW = ("allow", ", ".join(METHODS))
_SUPPORTED = ("supported", ", ".join(sorted(EXTENSIONS)))
_RETRY_LATER = ("retry-after", "30")
_MIN_INTERVAL = ("min-se", str(INTERVAL_SECONDS_MIN))


@dataclass(slots=True)
class Transaction:
    """A request of theirs and what it was answered with, as long as copies of it may come."""

    key: tuple[str, str, str]
    request: SipRequest = field(repr=False)
    flow: Flow
    dialog: Dialog | None = None
    #: None until there is an answer.
    answer: bytes | None = field(default=None, repr=False)
    is_final: bool = False
    #: An INVITE that was refused over UDP: sent until its ACK comes.
    repeated: Repeated | None = None
    forget_at: float = float("inf")


@dataclass(frozen=True, slots=True)
class SipSend:
    """Bytes for the other side."""

    flow: Flow
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody calls. To be answered with `accept` or `refuse`, or with `drop` when nothing is to be kept of it."""

    transaction: Transaction
    dialog: Dialog


@dataclass(frozen=True, slots=True)
class Changed:
    """A re-INVITE or UPDATE with something in it. To be answered with `accept` or `refuse`."""

    transaction: Transaction
    dialog: Dialog


@dataclass(frozen=True, slots=True)
class Ended:
    """A dialog is over, or was never answered."""

    dialog: Dialog
    reason: str
    failed: bool


ServerEvent: TypeAlias = SipSend | Invited | Changed | Ended


@dataclass(slots=True)
class _Asked:
    """A request of ours, until it is answered."""

    dialog: Dialog
    flow: Flow
    method: str
    repeated: Repeated


class SipServer:
    """Feed messages and the time; do what the events say. Lives on one event loop."""

    def __init__(self, *, new_token: Callable[[], str]) -> None:
        """`new_token` returns a name that nobody guesses, for tags and branches."""
        self.is_draining = False
        self._new_token = new_token
        self._transactions: dict[tuple[str, str, str], Transaction] = {}
        self._dialogs: dict[tuple[str, str, str], Dialog] = {}
        self._merged: set[tuple[str, str, int]] = set()
        self._asked: dict[str, _Asked] = {}

    @property
    def dialogs(self) -> list[Dialog]:
        """Return the dialogs that have not ended."""
        return list(self._dialogs.values())

    def receive(self, message: SipMessage, flow: Flow, *, now: float) -> list[ServerEvent]:
        """Return what follows from a message."""
        if isinstance(message, SipResponse):
            return self._answered(message, now=now)
        fault = fault_of(message)
        if fault is not None:
            return self._refuse_broken(message, fault, flow)
        flow = _answers_to(message, flow)
        key = _key(message)
        known = self._transactions.get(key)
        if message.method == "ACK":
            return self._acknowledge(message, known)
        if known is not None:
            return [SipSend(known.flow, known.answer)] if known.answer is not None else []
        if len(self._transactions) >= TRANSACTIONS_MAX:
            return self._once(Transaction(key=key, request=message, flow=flow), 503, _RETRY_LATER)
        return self._begin(Transaction(key=key, request=message, flow=flow), now=now)

    def elapse(self, *, now: float) -> list[ServerEvent]:
        """Return what follows from the time alone: messages that are sent again, dialogs that are over."""
        events = list[ServerEvent]()
        for transaction in list(self._transactions.values()):
            if transaction.repeated is not None:
                if now >= transaction.repeated.give_up_at:
                    transaction.forget_at = now
                elif transaction.repeated.is_due(now):
                    events.append(SipSend(transaction.flow, transaction.repeated.data))
            if now >= transaction.forget_at:
                self._lose(transaction)
        for dialog in self.dialogs:
            events += self._elapse_dialog(dialog, now=now)
        for branch, asked in list(self._asked.items()):
            if now >= asked.repeated.give_up_at:
                del self._asked[branch]
                if asked.method != "BYE":
                    events += self.hang_up(
                        asked.dialog, "the phone system does not answer any more", failed=True, now=now
                    )
            elif not asked.flow.is_reliable and asked.repeated.is_due(now):
                events.append(SipSend(asked.flow, asked.repeated.data))
        return events

    def proceed(self, transaction: Transaction) -> list[ServerEvent]:
        """Say that a request is being worked on."""
        return self._answer(transaction, 100, now=0.0)

    def accept(self, transaction: Transaction, body: bytes, *, now: float) -> list[ServerEvent]:
        """Answer an INVITE or UPDATE with 200 and a session description, which is empty if there was no offer."""
        dialog, request = transaction.dialog, transaction.request
        if dialog is None or transaction.is_final or dialog.state is DialogState.ENDED:
            return []
        timer = agreed_timer(request)
        more = [("contact", dialog.contact()), _ALLOW, _SUPPORTED]
        more += dialog.record_routes if request.method == "INVITE" else []
        if timer is not None:
            more += [("session-expires", timer.written), ("require", "timer")]
        if body:
            more.append(("content-type", "application/sdp"))
        events = self._answer(transaction, 200, more=more, body=body, now=now)
        if request.method == "INVITE" and transaction.answer is not None:
            dialog.answered(request.sequence, transaction.answer, timer=timer, now=now)
        else:
            dialog.refreshed(timer, now)
        return events

    def refuse(
        self,
        transaction: Transaction,
        status: int,
        *,
        reason: str = "",
        more: Sequence[tuple[str, str]] = (),
        now: float,
    ) -> list[ServerEvent]:
        """Answer with an error. A dialog that was not answered before is over with it, without an event."""
        if transaction.is_final:
            return []
        if transaction.dialog is not None and transaction.dialog.state is DialogState.INVITED:
            self._forget(transaction.dialog)
        return self._answer(transaction, status, reason=reason, more=more, now=now)

    def drop(self, transaction: Transaction, status: int, *more: tuple[str, str]) -> list[ServerEvent]:
        """Answer with an error once and keep nothing: for those who have not proved who they are."""
        if transaction.is_final:
            return []
        self._lose(transaction)
        if transaction.dialog is not None:
            self._forget(transaction.dialog)
        transaction.is_final = True
        return self._once(transaction, status, *more)

    def probe(self, dialog: Dialog, *, now: float) -> list[ServerEvent]:
        """Ask whether the other side still knows a dialog. One that is not answered for, or not known, ends."""
        if dialog.state is not DialogState.CONFIRMED:
            return []
        return self._ask(dialog, "OPTIONS", now=now)

    def hang_up(self, dialog: Dialog, reason: str, *, failed: bool, now: float) -> list[ServerEvent]:
        """End a dialog that was answered, with BYE; one that has ended stays as it is."""
        if dialog.state is DialogState.ENDED:
            return []
        self._forget(dialog)
        waiting = self._abandon(dialog, now=now)
        return [*waiting, *self._ask(dialog, "BYE", now=now), Ended(dialog, reason, failed)]

    def _begin(self, transaction: Transaction, *, now: float) -> list[ServerEvent]:
        request = transaction.request
        if request.method == "CANCEL":
            return self._cancel(transaction, now=now)
        if request.method not in METHODS:
            return self._once(transaction, 405, _ALLOW)
        unknown = request.headers.tokens("require") - EXTENSIONS
        if unknown:
            return self._once(transaction, 420, ("unsupported", ", ".join(sorted(unknown))))
        if request.receiver.tag:
            return self._within_dialog(transaction, now=now)
        if request.method == "OPTIONS":
            status, more = self._capabilities()
            return self._once(transaction, status, *more)
        if request.method != "INVITE":
            return self._once(transaction, 481)
        return self._invite(transaction)

    def _invite(self, transaction: Transaction) -> list[ServerEvent]:
        request = transaction.request
        if self._merging(request) in self._merged:  # it came before, on another way (RFC 3261, 8.2.2.2)
            return self._once(transaction, 482)
        if self.is_draining:
            return self._once(transaction, 503, _RETRY_LATER)
        if _asks_too_often(request):
            return self._once(transaction, 422, _MIN_INTERVAL)
        dialog = Dialog(request, transaction.flow, local_tag=self._new_token(), new_token=self._new_token)
        transaction.dialog = dialog
        self._dialogs[dialog.key] = dialog
        self._keep(transaction)
        return [Invited(transaction, dialog)]

    def _capabilities(self) -> tuple[int, list[tuple[str, str]]]:
        """Return the status and the headers that answer OPTIONS."""
        if self.is_draining:
            return 503, [_RETRY_LATER]
        return 200, [_ALLOW, ("accept", "application/sdp, multipart/mixed"), _SUPPORTED]

    def _within_dialog(self, transaction: Transaction, *, now: float) -> list[ServerEvent]:
        request = transaction.request
        dialog = self._dialogs.get((request.call_id, request.receiver.tag, request.sender.tag))
        if dialog is None:
            return self._once(transaction, 481)
        if not dialog.may_send(transaction.flow.address):
            return self._once(transaction, 403)
        if not dialog.takes(request, transaction.flow):
            return self._once(transaction, 500, ("retry-after", "1"))
        # Kept, because a copy of any of them is out of order by now, and gets the same answer all the same.
        transaction.dialog = dialog
        self._keep(transaction)
        if request.method == "OPTIONS":
            status, more = self._capabilities()
            return self._answer(transaction, status, more=more, now=now)
        if request.method == "BYE":
            self._forget(dialog)
            events = self._answer(transaction, 200, now=now)
            return [*self._abandon(dialog, now=now), *events, Ended(dialog, "the phone system hung up", False)]
        if dialog.state is DialogState.INVITED:
            return self._answer(transaction, 491, now=now)
        dialog.acknowledged_by_going_on()
        if _asks_too_often(request):
            return self._answer(transaction, 422, more=[_MIN_INTERVAL], now=now)
        return [Changed(transaction, dialog)]

    def _cancel(self, transaction: Transaction, *, now: float) -> list[ServerEvent]:
        branch, sent_by, _ = transaction.key
        invite = self._transactions.get((branch, sent_by, "INVITE"))
        if invite is None or invite.flow.address != transaction.flow.address:
            return self._once(transaction, 481)
        self._keep(transaction)
        events = self._answer(transaction, 200, now=now)
        dialog = invite.dialog
        if invite.is_final or dialog is None or dialog.state is not DialogState.INVITED:
            return events  # too late: a BYE will come
        self._forget(dialog)
        return [*events, *self._answer(invite, 487, now=now), Ended(dialog, "the call was cancelled", False)]

    def _acknowledge(self, request: SipRequest, known: Transaction | None) -> list[ServerEvent]:
        if known is not None and known.repeated is not None:
            known.repeated = None
            return []
        dialog = self._dialogs.get((request.call_id, request.receiver.tag, request.sender.tag))
        if dialog is not None:
            dialog.acknowledged(request.sequence)
        return []

    def _answered(self, response: SipResponse, *, now: float) -> list[ServerEvent]:
        if response.status < 200:
            return []
        asked = self._asked.pop(response.branch, None)
        if asked is None or asked.method == "BYE":
            return []
        if response.status in (408, 481):
            self._forget(asked.dialog)
            return [Ended(asked.dialog, "the phone system does not know the call any more", True)]
        if response.status < 300 and asked.method == "UPDATE":
            asked.dialog.refreshed(asked.dialog.timer, now)
        return []

    def _elapse_dialog(self, dialog: Dialog, *, now: float) -> list[ServerEvent]:
        events = list[ServerEvent]()
        for repeated in dialog.unacknowledged.values():
            if now >= repeated.give_up_at:
                return self.hang_up(dialog, "the answer was never acknowledged", failed=True, now=now)
            if repeated.is_due(now):
                events.append(SipSend(dialog.flow, repeated.data))
        if dialog.is_expired(now):
            return self.hang_up(dialog, "the session was not refreshed in time", failed=True, now=now)
        if dialog.needs_refresh(now) and dialog.timer is not None:
            more = [("contact", dialog.contact()), ("supported", "timer")]
            more.append(("session-expires", f"{dialog.timer.seconds};refresher=uac"))
            events += self._ask(dialog, "UPDATE", *more, now=now)
        return events

    def _ask(self, dialog: Dialog, method: str, *more: tuple[str, str], now: float) -> list[ServerEvent]:
        branch, data = dialog.request(method, *more)
        self._asked[branch] = _Asked(dialog, dialog.flow, method, Repeated.from_now(data, now))
        return [SipSend(dialog.flow, data)]

    def _answer(
        self,
        transaction: Transaction,
        status: int,
        *,
        reason: str = "",
        more: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> list[ServerEvent]:
        dialog, request = transaction.dialog, transaction.request
        to_tag = "" if status == 100 else dialog.local_tag if dialog is not None else self._new_token()
        data = _bytes(request, transaction.flow, status, reason=reason, to_tag=to_tag, more=more, body=body)
        transaction.answer = data
        if status >= 200:
            transaction.is_final = True
            transaction.forget_at = now + GIVE_UP_SECONDS
            if request.method == "INVITE" and status >= 300 and not transaction.flow.is_reliable:
                transaction.repeated = Repeated.from_now(data, now)
        return [SipSend(transaction.flow, data)]

    def _abandon(self, dialog: Dialog, *, now: float) -> list[ServerEvent]:
        """Refuse what a dialog that is over still waits for."""
        waiting = [each for each in self._transactions.values() if each.dialog is dialog and not each.is_final]
        return [
            event
            for each in waiting
            if each.request.method in ("INVITE", "UPDATE")
            for event in self._answer(each, 487, now=now)
        ]

    def _once(self, transaction: Transaction, status: int, *more: tuple[str, str]) -> list[ServerEvent]:
        """Answer without keeping anything (RFC 3261, 8.2.7): a copy of the request gets the same answer again."""
        request, flow = transaction.request, transaction.flow
        return [SipSend(flow, _bytes(request, flow, status, to_tag=self._new_token(), more=more))]

    def _keep(self, transaction: Transaction) -> None:
        self._transactions[transaction.key] = transaction
        if transaction.request.method == "INVITE":
            self._merged.add(self._merging(transaction.request))

    def _lose(self, transaction: Transaction) -> None:
        self._transactions.pop(transaction.key, None)
        self._merged.discard(self._merging(transaction.request))

    @staticmethod
    def _merging(request: SipRequest) -> tuple[str, str, int]:
        return (request.call_id, request.sender.tag, request.sequence)

    def _refuse_broken(self, request: SipRequest, fault: SipFault, flow: Flow) -> list[ServerEvent]:
        if request.method == "ACK" or not request.headers.get("via"):
            return []
        more = [("accept", "application/sdp, multipart/mixed")] if fault.status == 415 else []
        data = _bytes(request, flow, fault.status, reason=fault.reason, to_tag=self._new_token(), more=more)
        return [SipSend(flow, data)]

    def _forget(self, dialog: Dialog) -> None:
        dialog.state = DialogState.ENDED
        dialog.unacknowledged.clear()
        self._dialogs.pop(dialog.key, None)


def _key(request: SipRequest) -> tuple[str, str, str]:
    """Return what copies of a request have in common (RFC 3261, 17.2.3). An ACK has that of its INVITE."""
    via = request.via
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.parameters.get("branch", "")
    if not branch.lower().startswith("z9hg4bk") or len(branch) <= len("z9hG4bK"):  # RFC 2543 had no such names
        branch = "\n".join((request.call_id, request.sender.tag, str(request.sequence), branch))
    return (branch, f"{via.host}:{via.port}".lower(), method)


def _asks_too_often(request: SipRequest) -> bool:
    interval = interval_of(request)
    return interval is not None and interval < INTERVAL_SECONDS_MIN


def _answers_to(request: SipRequest, flow: Flow) -> Flow:
    """Return where answers go: over UDP to the port of the Via, unless it asks for where it came from (RFC 3581)."""
    via = request.via
    if flow.is_reliable or "rport" in via.parameters:
        return flow
    return replace(flow, port=via.port or 5060)


def _bytes(
    request: SipRequest,
    flow: Flow,
    status: int,
    *,
    reason: str = "",
    to_tag: str = "",
    more: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """Return an answer's bytes; its topmost Via tells where the request really came from (RFC 3581)."""
    response = answer(request, status, reason=reason, to_tag=to_tag, more=more, body=body)
    fields = list(response.headers.fields)
    try:
        via = request.via
    except SipUnreadable:
        return write(response)
    first = next(index for index, (name, _) in enumerate(fields) if name == "via")
    value = fields[first][1]
    if "rport" in via.parameters and not via.parameters["rport"]:
        value = _with_port(value, flow)
    elif via.host != flow.address:
        top, comma, rest = value.partition(",")
        value = f"{top};received={flow.address}{comma}{rest}"
    fields[first] = ("via", value)
    return write(SipResponse(status=status, reason=response.reason, headers=Headers(tuple(fields)), body=body))


def _with_port(value: str, flow: Flow) -> str:
    top, comma, rest = value.partition(",")
    parts = [part for part in top.split(";") if not part.strip().lower().startswith("received=")]
    named = [f"rport={flow.port}" if part.strip().lower() == "rport" else part for part in parts]
    return ";".join([*named, f"received={flow.address}"]) + comma + rest
