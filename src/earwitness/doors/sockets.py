"""The doors over WebSockets: who is let in, and a call from its first message to its last.

What belongs here: waiting, answers, the order of things. What must never: what a message means, what a proof is.
"""

import logging
import time
from asyncio import Timeout, get_running_loop, timeout
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass

from earwitness.doors.desk import CONTINUED, Desk, DoorAccess
from earwitness.doors.events import CallEnded, CallStarted
from earwitness.doors.live_call import ERROR_OF_OURS, LiveCall
from earwitness.doors.proof import AUDIOHOOK, is_same, nonce_of
from earwitness.doors.refusals import NOBODY, Refusals
from earwitness.doors.socket_core import Account, HangUp, Opening, Presented, Send, SocketCore
from earwitness.doors.socket_handshake import NOT_FOUND, Admission, Asked, Outside, admit
from earwitness.doors.socket_kinds import KINDS, SocketKind
from earwitness.errors import (
    BadRequest,
    Conflict,
    EarwitnessError,
    Forbidden,
    LimitExceeded,
    NotFound,
    Throttled,
    Unavailable,
)
from earwitness.server.web_socket import WebSocket
from earwitness.voice.connector import CONNECTOR_ID, DoorSecret
from earwitness.wire.shares import Shares
from earwitness.wire.wrong_credentials import WrongCredentials, address_group

START_SECONDS_MAX = 30.0
"""How long a phone system that was let in may take until its call begins."""

SOCKETS_MAX = 2_000
ACCOUNT_WEIGHT = 4
"""Calls over WebSockets at one time; one account that is alone may have four fifths of them."""

UNPROVED_MAX = 500
"""Sockets at one time that were let in to prove themselves by a message; one address may have half of those that are
free. Whose connector they name costs that connector's account nothing."""

_GOING_AWAY, _NORMAL, _NO_STATUS, _RESTART = 1001, 1000, 1005, 1012
_REFUSED, _TRY_AGAIN, _ERROR_OF_OURS = 1008, 1013, 1011
"""How a WebSocket ends (RFC 6455, 7.4.1; the registry of IANA has the others)."""

_log = logging.getLogger("earwitness.doors")


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketClock:
    """Where the doors over WebSockets have the time from."""

    monotonic: Callable[[], float] = time.monotonic
    #: Unix time.
    wall: Callable[[], float] = time.time


class SocketDoors:
    """Takes every WebSocket. Lives on the event loop."""

    def __init__(
        self,
        desk: Desk,
        wrong_credentials: WrongCredentials,
        *,
        outside: Outside,
        new_id: Callable[[], str],
        clock: SocketClock | None = None,
        sockets_max: int = SOCKETS_MAX,
    ) -> None:
        """`new_id` names calls whose phone system gives them no name."""
        self._desk = desk
        self._wrong_credentials = wrong_credentials
        self._outside = outside
        self._new_id = new_id
        self._clock = clock or SocketClock()
        self._places = Shares(
            sockets_max, refusal="there are too many calls of this account; call again", weight=ACCOUNT_WEIGHT
        )
        self._unproved = Shares(UNPROVED_MAX, refusal="too many sockets have not proved themselves yet; call again")
        self.calls: set[LiveCall] = set()
        """Those in progress."""

        self.refused = Refusals(monotonic=self._clock.monotonic)
        """By reason: upgrades that were refused, and calls that were broken off because of what they sent."""

        self.is_draining = False
        """Whether no more calls are taken."""

    async def __call__(self, web_socket: WebSocket) -> None:
        """Take one WebSocket from its upgrade to its end."""
        asked = Asked(
            path=web_socket.path,
            target=web_socket.target,
            headers=web_socket.headers,
            client=web_socket.client,
            is_encrypted=web_socket.is_encrypted,
        )
        try:
            found = await self._found(asked)
        except Throttled as error:
            await self._refuse(web_socket, "?", Admission(status=429, reason=str(error)))
            return
        except EarwitnessError as error:
            await self._refuse(web_socket, "?", Admission(status=503, reason=str(error)))
            return
        kind, access, admission = found
        if kind is None or access is None or admission.status:
            if admission.is_wrong:
                await self.hold_back(asked.client)
            await self._refuse(web_socket, kind.name if kind else "?", admission, access)
            return
        with ExitStack() as place:
            try:
                if admission.is_proved:
                    place.enter_context(self.place_of(access))
                else:
                    place.enter_context(self._unproved.taken(address_group(asked.client)))
            except Unavailable as error:
                await self._refuse(web_socket, kind.name, Admission(status=503, reason=str(error)), access)
                return
            await self._run(web_socket, kind, access, asked, place, is_proved=admission.is_proved)

    async def _found(self, asked: Asked) -> tuple[SocketKind | None, DoorAccess | None, Admission]:
        """Return what an upgrade asks for, and what becomes of it."""
        if self.is_draining:
            raise Unavailable("the service is stopping; call again")
        parts = asked.parts
        kind = KINDS.get(parts[1]) if len(parts) in (2, 3) and CONNECTOR_ID.fullmatch(parts[0]) else None
        with ExitStack() as place:
            try:
                place.enter_context(self._wrong_credentials.place_of(asked.client, now_seconds=self._clock.monotonic()))
            except Unavailable as error:
                raise Throttled(str(error)) from None
            access = await self._desk.access(parts[0]) if kind else None
        if kind is None or access is None:
            return kind, None, NOT_FOUND
        admission = admit(kind, access, asked, self._outside, now=self._clock.wall())
        if AUDIOHOOK in kind.proofs and admission.is_proved:
            nonce = nonce_of(self._outside.dialled(asked))
            if nonce and not await self._desk.use_nonce(access, nonce):
                admission = Admission(status=403, reason="its signature was used before", is_wrong=True)
        return kind, access, admission

    async def _run(
        self,
        web_socket: WebSocket,
        kind: SocketKind,
        access: DoorAccess,
        asked: Asked,
        place: ExitStack,
        *,
        is_proved: bool,
    ) -> None:
        core = kind.core(
            Opening(
                headers=asked.headers,
                query=asked.query,
                caller_label=access.caller_label,
                call_id=self._new_id(),
            )
        )
        session = _Session(self, web_socket, kind, access, core, place, client=asked.client)
        if is_proved:
            session.prove()
        agreed = [name for name in kind.subprotocols if name in web_socket.subprotocols]
        await web_socket.accept(agreed[0] if agreed else "")
        await session.run()

    def place_of(self, access: DoorAccess) -> AbstractContextManager[None]:
        """Hold one of an account's places while this lasts. Raise Unavailable when it has its share of them."""
        return self._places.taken(access.scope.account_id)

    async def begin(
        self, access: DoorAccess, started: CallStarted, kind: SocketKind, *, hang_up: Callable[[str], None]
    ) -> LiveCall:
        """Begin a call. Raise what `LiveCall.begin` raises."""
        if self.is_draining:
            raise Unavailable("the service is stopping; call again")
        if started.is_continued:
            await self._leave_former(access, started)
        call = await LiveCall.begin(self._desk, access, started, door=kind.name, hang_up=hang_up)
        self.calls.add(call)
        return call

    async def _leave_former(self, access: DoorAccess, started: CallStarted) -> None:
        """Break off what is here of a call that goes on over another connection: this one may not know yet."""
        connector_id = access.connector_id
        for call in list(self.calls):
            if (call.kept.access.connector_id, call.kept.call_id) == (connector_id, started.call_id):
                call.break_off(CONTINUED)
                await call.close()

    async def hold_back(self, client: str) -> None:
        """Count a wrong proof, and hold its answer back."""
        seconds = self._wrong_credentials.failed(client, now_seconds=self._clock.monotonic())
        await self._wrong_credentials.hold_back(client, seconds)

    async def _refuse(
        self, web_socket: WebSocket, door: str, admission: Admission, access: DoorAccess | None = None
    ) -> None:
        self.count_refusal(door, admission.reason, access)
        headers = {"retry-after": "5"} if admission.status in (429, 503) else {}
        await web_socket.refuse(admission.status, admission.reason, headers)

    def count_refusal(self, door: str, reason: str, access: DoorAccess | None) -> None:
        """Count a refusal of a call for this connector, or for none that is known."""
        self.refused.note(reason, door=door, account_id=access.scope.account_id if access else NOBODY)


class _Broken(Exception):
    """A call is broken off: with a code, and a reason in words."""

    def __init__(self, code: int, reason: str, *, is_wrong: bool = False) -> None:
        self.code = code
        self.reason = reason
        self.is_wrong = is_wrong
        super().__init__(reason)


class _Session:
    """One WebSocket that was let in."""

    def __init__(
        self,
        doors: SocketDoors,
        web_socket: WebSocket,
        kind: SocketKind,
        access: DoorAccess,
        core: SocketCore,
        place: ExitStack,
        *,
        client: str,
    ) -> None:
        """`place` holds what the socket takes of what all share."""
        self._doors = doors
        self._web_socket = web_socket
        self._kind = kind
        self._access = access
        self._core = core
        self._place = place
        self._client = client
        self._is_proved = False
        self._account = ""
        self._call: LiveCall | None = None
        #: Why it ended, where the end of the socket is not the reason.
        self._ended: CallEnded | None = None
        self._is_over = False
        #: The wait for messages of a call that has begun.
        self._waiting: Timeout | None = None

    def prove(self) -> None:
        """Note that the phone system has proved who it is."""
        self._is_proved = True
        self._web_socket.proved()

    async def run(self) -> None:
        """Take messages until there are no more; end the call whatever happens."""
        try:
            await self._take_all()
        except ConnectionError:
            self._is_over = True  # who is gone cannot be answered
        except _Broken as broken:
            self._doors.count_refusal(self._kind.name, broken.reason, self._access)
            self._ended = CallEnded(f"it was broken off: {broken.reason}", failed=True)
            if broken.is_wrong:
                await self._doors.hold_back(self._client)
            with suppress(ConnectionError):
                await self._web_socket.close(broken.code, broken.reason[:120])
        finally:
            # The socket does not wait for the disk.
            await self._end_call(self._ended or self._end_by_socket())

    async def _take_all(self) -> None:
        try:
            async with timeout(START_SECONDS_MAX):
                while self._call is None and not self._is_over:
                    if not await self._take_next():
                        return
        except TimeoutError:
            raise _Broken(_REFUSED, "no call began in time") from None
        try:
            async with timeout(None) as self._waiting:
                while not self._is_over and await self._take_next():
                    continue
        except TimeoutError:
            raise self._broken_off() from None
        finally:
            self._waiting = None

    def _hang_up(self, _reason: str) -> None:
        """Wait for messages no longer: the call is broken off."""
        if self._waiting is not None:
            self._waiting.reschedule(get_running_loop().time())

    def _broken_off(self) -> _Broken:
        reason = (self._call.broken_off if self._call is not None else "") or ERROR_OF_OURS
        return _Broken(_ERROR_OF_OURS if reason == ERROR_OF_OURS else _REFUSED, reason)

    async def _take_next(self) -> bool:
        """Take one message. Return False when there are no more."""
        message = await self._web_socket.receive()
        if message is None:
            if self._web_socket.close_code == _RESTART:
                await self._say_farewell()
            return False
        try:
            outputs = self._core.receive(message)
        except BadRequest as error:
            raise _Broken(_REFUSED, str(error)) from None
        call = self._call
        for output in outputs:
            match output:
                case CallStarted():
                    call = self._call = await self._begin(output)
                case Presented():
                    self._compare(output.token)
                case Account():
                    self._account = output.name
                case Send():
                    await self._web_socket.send(output.text)
                case HangUp():
                    self._is_over = True
                    self._ended = CallEnded("its phone system hung up")
                    await self._web_socket.close(_NORMAL)
                case _:
                    if call is not None:
                        call.feed(output)
        if call is not None and call.broken_off:
            raise self._broken_off()
        return True

    def _compare(self, token: str) -> None:
        """Let a token that came in a message prove who sent it."""
        if self._is_proved:
            return
        secret = self._access.secrets.get(DoorSecret.TOKEN, "")
        if not secret or not is_same(token, secret):
            raise _Broken(_REFUSED, "what it proves itself with is wrong", is_wrong=True)
        self._place.close()
        try:
            self._place.enter_context(self._doors.place_of(self._access))
        except Unavailable as error:
            raise _Broken(_TRY_AGAIN, str(error)) from None
        self.prove()

    async def _begin(self, started: CallStarted) -> LiveCall:
        if not self._is_proved:
            raise _Broken(_REFUSED, "it proves itself with nothing", is_wrong=True)
        expected = self._access.secrets.get(DoorSecret.TWILIO_ACCOUNT_SID, "")
        if expected and self._kind.name == "twilio" and not is_same(self._account, expected):
            raise _Broken(_REFUSED, "the stream is of another account", is_wrong=True)
        try:
            return await self._doors.begin(self._access, started, self._kind, hang_up=self._hang_up)
        except (BadRequest, Forbidden, NotFound) as error:
            raise _Broken(_REFUSED, str(error)) from None
        except Conflict:
            raise _Broken(_REFUSED, "a call of this id is in progress") from None
        except (LimitExceeded, Throttled, Unavailable) as error:
            raise _Broken(_TRY_AGAIN, str(error)) from None
        except EarwitnessError as error:
            raise _Broken(_TRY_AGAIN if error.retryable else _ERROR_OF_OURS, "the call could not be kept") from None

    async def _say_farewell(self) -> None:
        for output in self._core.stop():
            if isinstance(output, Send):
                await self._web_socket.send(output.text)

    def _end_by_socket(self) -> CallEnded:
        """Return what the end of the socket says of the call: many systems end calls by nothing else."""
        code = self._web_socket.close_code
        if code in (_NORMAL, _GOING_AWAY, _NO_STATUS):
            return CallEnded("its phone system closed the connection")
        if code == _RESTART:
            return CallEnded("the service stopped", failed=True)
        return CallEnded("the connection was lost", failed=True)

    async def _end_call(self, ended: CallEnded) -> None:
        """Write out the last fragments, and tell the records. A second time nothing happens."""
        call, self._call = self._call, None
        if call is not None:
            try:
                await call.close(ended.reason, failed=ended.failed)
            finally:
                self._doors.calls.discard(call)
