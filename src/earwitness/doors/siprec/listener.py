"""The SIPREC door: sockets, and what is asked and told of each call.

What belongs here: the order of things between SIP, the records and media. What must never: syntax, timers of SIP.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from earwitness.doors.allowed import AllowList, plain_address
from earwitness.doors.desk import Desk, DoorAccess
from earwitness.doors.events import CallEnded
from earwitness.doors.live_call import ERROR_OF_OURS, DoorClock, LiveCall
from earwitness.doors.refusals import NOBODY, Refusals
from earwitness.doors.siprec.call import Plan, RecordedCall
from earwitness.doors.siprec.dialog import Dialog, DialogState, Flow
from earwitness.doors.siprec.message import SipMessage, uri_of
from earwitness.doors.siprec.own_address import OwnAddress
from earwitness.doors.siprec.ports import DESCRIPTORS_OF_PORT, MediaPort, MediaPorts
from earwitness.doors.siprec.rates import DatagramRates
from earwitness.doors.siprec.refusals import is_recording, refusal_of
from earwitness.doors.siprec.server import Changed, Ended, Invited, ServerEvent, SipSend, SipServer, Transaction
from earwitness.doors.siprec.settings import SiprecListening
from earwitness.doors.siprec.timers import INTERVAL_SECONDS
from earwitness.doors.siprec.transports import (
    SipConnection,
    SipConnections,
    SipDatagrams,
    TlsHandshake,
    datagram_socket,
)
from earwitness.errors import ConfigurationError, EarwitnessError, MediaNotAcceptable
from earwitness.log import frames_of
from earwitness.server.connections import Connections
from earwitness.voice.connector import CONNECTOR_ID

DOOR = "siprec"

LOOK_SECONDS = 0.1
"""How often packets are handed on and timers are looked at."""

CONNECTIONS_MAX = 1_000
"""TCP and TLS together. A phone system holds one or a few."""

UNPROVED_MAX = 200
"""Calls at once of which nobody knows yet whether they may come."""

SILENT_SECONDS = 300.0
"""After which the client of a call is asked whether it is still there, unless a session timer says so before long."""

TIMER_SECONDS_MAX = INTERVAL_SECONDS
"""A session timer that is longer, a day perhaps, is none for this."""

_RETRY_LATER = ("retry-after", "30")
_log = logging.getLogger("earwitness.doors")


@dataclass(kw_only=True, eq=False)
class _Session:
    """A call that may be there."""

    dialog: Dialog
    call: RecordedCall
    allowed: AllowList
    #: Whose it is.
    account_id: str
    live: LiveCall | None = None
    ports: dict[int, MediaPort] = field(default_factory=dict[int, MediaPort])
    #: Why packets of it were not heard, each told once.
    unheard: set[str] = field(default_factory=set[str])
    #: When it was last certain that its client is there.
    alive_at: float = 0.0


class SiprecDoor:
    """Takes recorded calls. Lives on one event loop."""

    name = DOOR

    def __init__(
        self,
        desk: Desk,
        listening: SiprecListening,
        *,
        clock: DoorClock | None = None,
        is_drained: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_drained` says whether this node is to take nothing new: phone systems then go to their next recorder."""
        self._desk = desk
        self._is_drained = is_drained
        self._is_draining = False
        self._listening = listening
        self._clock = clock or DoorClock()
        #: Calls that were refused, by reason.
        self.refused = Refusals(monotonic=self._clock.monotonic)
        self._server = SipServer(new_token=lambda: secrets.token_hex(12))
        low, high = listening.media_ports
        self._media = MediaPorts(listening.media_host, low=low, high=high)
        self._sessions: dict[tuple[str, str, str], _Session] = {}
        self._unproved = 0
        self._is_closing = False
        self._datagrams: SipDatagrams | None = None
        self._connections = SipConnections(
            Connections(CONNECTIONS_MAX, monotonic=self._clock.monotonic),
            receive=self._receive,
            unreadable=self._unreadable,
            monotonic=self._clock.monotonic,
        )
        self._rates = DatagramRates(monotonic=self._clock.monotonic)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._own_address = OwnAddress((listening.plain or ("", 0))[0])
        self._plain_port = 0

    @property
    def calls(self) -> list[LiveCall]:
        """Return the calls in progress."""
        return [session.live for session in list(self._sessions.values()) if session.live is not None]

    @property
    def descriptors_max(self) -> int:
        """Return how many file descriptors connections, and ports of calls of two parties, may take at one time."""
        return CONNECTIONS_MAX + self._listening.calls_max * 2 * DESCRIPTORS_OF_PORT

    @property
    def addresses(self) -> list[tuple[str, str, int]]:
        """Return what listens: transport, host and port."""
        found = list[tuple[str, str, int]]()
        if self._listening.plain is not None:
            found += [(each, self._listening.plain[0], self._plain_port) for each in ("UDP", "TCP")]
        if self._listening.tls is not None and self._servers:
            found.append(("TLS", self._listening.tls[0], _port_of(self._servers[-1])))
        return found

    async def open(self) -> None:
        """Begin to listen. Raise ConfigurationError when an address cannot be had; then nothing listens."""
        loop = asyncio.get_running_loop()
        try:
            if self._listening.plain is not None:
                await self._open_plain(loop, *self._listening.plain)
            if self._listening.tls is not None:
                host, port = self._listening.tls
                make = self._maker(self._listening.tls_context)
                self._servers.append(await loop.create_server(make, host, port))
        except OSError as error:
            await self.close()
            raise ConfigurationError(
                f"SIPREC cannot listen: {error.strerror or error}; choose another address"
            ) from error
        self._looking = loop.create_task(self._look_again_and_again())

    def drain(self) -> None:
        """Take no new calls: they, and OPTIONS, are answered 503. Those in progress go on."""
        self._is_draining = self._server.is_draining = True

    async def close(self) -> None:
        """End all calls, and stop listening. Return when the last fragments are written."""
        self.drain()
        self._is_closing = True
        now = self._clock.monotonic()
        for session in list(self._sessions.values()):
            if session.live is not None:
                self._do(self._server.hang_up(session.dialog, "the service stops", failed=True, now=now))
        if self._looking is not None:
            self._looking.cancel()
        for server in self._servers:
            server.close()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._connections.close()
        if self._datagrams is not None:
            self._datagrams.close()

    async def _open_plain(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """Listen on one port for both; where any port will do, one that is free for both."""
        server = await loop.create_server(self._maker(None), host, port)
        self._servers.append(server)
        self._plain_port = _port_of(server)
        datagrams = SipDatagrams(
            receive=self._receive, unreadable=self._unreadable, local=self._local, may_take=self._may_take
        )
        await loop.create_datagram_endpoint(lambda: datagrams, sock=datagram_socket(host, self._plain_port))
        self._datagrams = datagrams

    def _maker(self, context: Callable[[], ssl.SSLContext] | None) -> Callable[[], asyncio.Protocol]:
        if context is None:
            return lambda: SipConnection(self._connections, transport="TCP")
        return lambda: TlsHandshake(self._connections, context)

    def _local(self, peer: str) -> tuple[str, int]:
        return self._own_address.seen_by(peer), self._plain_port

    def _may_take(self, address: str) -> bool:
        if self._rates.may_take(address):
            return True
        self._count("too many datagrams")
        return False

    def _unreadable(self) -> None:
        self._count("not SIP")

    def _count(self, reason: str, *, account_id: str = NOBODY, detail: str = "") -> None:
        self.refused.note(reason, door=DOOR, account_id=account_id, detail=detail)

    def _receive(self, message: SipMessage, flow: Flow) -> None:
        if self._listening.media_address:  # where they see us is where they answer to as well
            flow = replace(flow, local_address=self._listening.media_address)
        self._do(self._server.receive(message, flow, now=self._clock.monotonic()))

    def _do(self, events: list[ServerEvent]) -> None:
        for event in events:
            match event:
                case SipSend():
                    self._send(event)
                case Invited():
                    self._spawn(self._invited(event.transaction, event.dialog))
                case Changed():
                    self._changed(event.transaction, event.dialog)
                case Ended():
                    self._ended(event)

    def _send(self, event: SipSend) -> None:
        if event.flow.is_reliable:
            self._connections.send(event.flow, event.data)
        elif self._datagrams is not None:
            self._datagrams.send(event.flow, event.data)

    # `object`: what a coroutine would send or be sent is nobody's business.
    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:  # pyright: ignore[reportPrivateUsage]
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _tell_failure("a call failed", error)

    async def _invited(self, transaction: Transaction, dialog: Dialog) -> None:
        """Answer an INVITE, once it is known whose connector it is for."""
        if self._unproved >= UNPROVED_MAX:
            self._drop(transaction, 503, "too many at once")
            return
        self._unproved += 1
        try:
            access = await self._proved(transaction, dialog)
        except EarwitnessError as error:
            self._drop(transaction, 503, "records are away", detail=str(error))
            return
        except Exception:
            self._drop(transaction, 500, ERROR_OF_OURS)
            raise
        finally:
            self._unproved -= 1
        if access is not None and dialog.state is DialogState.INVITED:
            await self._admit(transaction, dialog, access)

    async def _proved(self, transaction: Transaction, dialog: Dialog) -> DoorAccess | None:
        """Return the connector that a call is for, if it may come; None when it was refused."""
        flow, request = transaction.flow, transaction.request
        user = uri_of(request).user.lower()
        access = await self._desk.access(user) if CONNECTOR_ID.fullmatch(user) else None
        if access is None:
            self._drop(transaction, 404, "no such connector")
            return None
        allowed, account_id = AllowList(access.allowed_networks), access.scope.account_id
        if not allowed.allows(flow.address):
            self._drop(transaction, 403, "address not on the allow list", account_id=account_id)
        elif access.disabled:
            self._drop(transaction, 403, "connector not in use", account_id=account_id)
        elif access.require_encryption and flow.transport != "TLS":
            self._drop(transaction, 403, "connector needs TLS", account_id=account_id)
        elif not is_recording(request):
            self._drop(transaction, 421, "no recording session", account_id=account_id, more=("require", "siprec"))
        else:
            dialog.may_send = allowed.allows
            return access
        return None

    async def _admit(self, transaction: Transaction, dialog: Dialog, access: DoorAccess) -> None:
        request = transaction.request
        if len(self._sessions) >= self._listening.calls_max:
            self._refuse(transaction, 503, "too many calls", account_id=access.scope.account_id)
            return
        self._do(self._server.proceed(transaction))
        account_id = access.scope.account_id
        call = RecordedCall(access, new_key=secrets.token_bytes, session=secrets.randbits(31))
        session = _Session(dialog=dialog, call=call, allowed=AllowList(access.allowed_networks), account_id=account_id)
        session.alive_at = self._clock.monotonic()
        self._sessions[dialog.key] = session
        try:
            plan = call.plan(request, is_confidential=transaction.flow.transport == "TLS")
            if plan is None or not plan.lines:
                raise MediaNotAcceptable("there is no offer")
            self._open_ports(session, plan)
            started = call.begin(plan, request)
            session.live = await LiveCall.begin(self._desk, access, started, door=DOOR, clock=self._clock)
        except EarwitnessError as error:
            self._forget(session)
            self._refuse(transaction, *refusal_of(error), account_id=session.account_id, detail=str(error))
            return
        except BaseException:
            self._forget(session)
            self._refuse(transaction, 500, ERROR_OF_OURS, account_id=account_id)
            raise
        if dialog.state is not DialogState.INVITED or self._is_closing:  # it was cancelled meanwhile
            self._forget(session)
            self._refuse(transaction, 503, "the service stops", account_id=account_id)
            await _finish(session.live, CallEnded("the call was cancelled"))
            return
        try:
            self._tell_metadata_problem(session)
            answer = call.answer(plan, _numbers(session), address=transaction.flow.local_address)
            self._read(session)
            self._do(self._server.accept(transaction, answer, now=self._clock.monotonic()))
            self._connections.is_asked(transaction.flow.connection)
            self._rates.called(transaction.flow.address)
        except Exception:  # it is in the records by now
            self._forget(session)
            if dialog.state is DialogState.INVITED:
                self._refuse(transaction, 500, ERROR_OF_OURS, account_id=account_id)
            else:
                self._do(self._server.hang_up(dialog, ERROR_OF_OURS, failed=True, now=self._clock.monotonic()))
            await _finish(session.live, CallEnded(ERROR_OF_OURS, failed=True))
            raise

    def _changed(self, transaction: Transaction, dialog: Dialog) -> None:
        """Answer a re-INVITE or UPDATE. What cannot be taken leaves the call as it was (RFC 3261, 14.2)."""
        session = self._sessions.get(dialog.key)
        if session is None or session.live is None:
            self._refuse(transaction, 500, "call not ready")
            return
        before = set(session.ports)
        try:
            plan = session.call.plan(transaction.request, is_confidential=transaction.flow.transport == "TLS")
            if plan is not None:
                self._open_ports(session, plan)
        except EarwitnessError as error:
            self._close_ports(session, set(session.ports) - before)
            self._refuse(transaction, *refusal_of(error), account_id=session.account_id, detail=str(error))
            return
        self._take(session, session.live, plan)
        needs_answer = transaction.request.method == "INVITE" or (plan is not None and bool(plan.lines))
        address = transaction.flow.local_address
        answer = session.call.answer(plan, _numbers(session), address=address) if needs_answer else b""
        self._read(session)
        self._do(self._server.accept(transaction, answer, now=self._clock.monotonic()))
        self._connections.is_asked(transaction.flow.connection)

    def _take(self, session: _Session, live: LiveCall, plan: Plan | None) -> None:
        """Take a plan whose ports are open."""
        self._hand_on(session)
        if plan is None:
            return
        had_forgotten = session.call.has_forgotten_metadata
        for event in session.call.change(plan):
            live.feed(event)
        self._tell_metadata_problem(session)
        if session.call.has_forgotten_metadata and not had_forgotten:
            self._count("metadata too long to be remembered", account_id=session.account_id)
        if plan.lines:
            self._close_ports(session, set(session.ports) - set(plan.taken))

    def _ended(self, ended: Ended) -> None:
        session = self._sessions.get(ended.dialog.key)
        if session is None or session.live is None:
            return
        try:
            self._hand_on(session)
        except Exception as error:
            _tell_failure("the last audio of a call is lost", error)
        self._forget(session)
        self._spawn(_finish(session.live, CallEnded(ended.reason, failed=ended.failed)))

    def _forget(self, session: _Session) -> None:
        self._sessions.pop(session.dialog.key, None)
        self._close_ports(session, set(session.ports))
        connection = session.dialog.flow.connection
        if not any(each.dialog.flow.connection == connection for each in self._sessions.values()):
            self._connections.falls_silent(connection)

    def _open_ports(self, session: _Session, plan: Plan) -> None:
        for index in plan.taken:
            if index not in session.ports:
                session.ports[index] = self._media.open()

    def _close_ports(self, session: _Session, indices: set[int]) -> None:
        for index in indices:
            session.ports.pop(index).close()

    def _read(self, session: _Session) -> None:
        """Have each port's packets read for the line that it is of now."""
        for index, port in session.ports.items():

            def receive(packet: bytes, address: str, index: int = index) -> None:
                line = session.call.lines.get(index)
                if line is None:
                    return
                if plain_address(address) != line.address and not session.allowed.allows(address):
                    self._count_unheard(session, "media from a stranger")
                elif not line.receive(packet, now=self._clock.monotonic()):
                    self._count_unheard(session, "media that cannot be decrypted")

            port.read(receive)

    def _count_unheard(self, session: _Session, reason: str) -> None:
        if reason not in session.unheard:
            session.unheard.add(reason)
            self._count(reason, account_id=session.account_id)

    async def _look_again_and_again(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                self._look(self._clock.monotonic())
            except Exception as error:  # the calls of all hang on this
                _log.error(
                    "a look failed", extra={"door": DOOR, "error": type(error).__name__, "frames": frames_of(error)}
                )

    def _look(self, now: float) -> None:
        self._server.is_draining = self._is_draining or self._is_drained()
        self._do(self._server.elapse(now=now))
        self._connections.elapse(now)
        for session in list(self._sessions.values()):
            try:
                self._look_at(session, now)
            except Exception as error:  # one call must not cost the others their audio
                _tell_failure("a call failed", error)
                self._do(self._server.hang_up(session.dialog, ERROR_OF_OURS, failed=True, now=now))

    def _look_at(self, session: _Session, now: float) -> None:
        self._hand_on(session)
        if session.live is not None and session.live.broken_off:
            self._do(self._server.hang_up(session.dialog, session.live.broken_off, failed=True, now=now))
            return
        heard = max((line.stream.heard_at or 0.0 for line in session.call.lines.values()), default=0.0)
        session.alive_at = max(session.alive_at, heard)
        timer = session.dialog.timer
        is_timed = timer is not None and timer.seconds <= TIMER_SECONDS_MAX
        if not is_timed and now - session.alive_at >= SILENT_SECONDS:
            session.alive_at = now
            self._do(self._server.probe(session.dialog, now=now))

    def _hand_on(self, session: _Session) -> None:
        if session.live is not None:
            for event in session.call.take_audio():
                session.live.feed(event)

    def _drop(
        self,
        transaction: Transaction,
        status: int,
        reason: str,
        *,
        account_id: str = NOBODY,
        detail: str = "",
        more: tuple[str, str] | None = None,
    ) -> None:
        self._count(reason, account_id=account_id, detail=detail)
        self._do(self._server.drop(transaction, status, *([more] if more else [])))

    def _refuse(
        self, transaction: Transaction, status: int, reason: str, *, account_id: str = NOBODY, detail: str = ""
    ) -> None:
        self._count(reason, account_id=account_id, detail=detail)
        more = [_RETRY_LATER] if status == 503 else []
        self._do(self._server.refuse(transaction, status, more=more, now=self._clock.monotonic()))

    def _tell_metadata_problem(self, session: _Session) -> None:
        problem = session.call.metadata_problem
        if problem:
            self._count("metadata not read", account_id=session.account_id, detail=problem)


async def _finish(live: LiveCall, ended: CallEnded) -> None:
    live.feed(ended)
    await live.close()


def _tell_failure(text: str, error: BaseException) -> None:
    _log.error(text, extra={"door": DOOR, "error": type(error).__name__, "frames": frames_of(error)})


def _numbers(session: _Session) -> dict[int, int]:
    return {index: port.number for index, port in session.ports.items()}


def _port_of(server: asyncio.Server) -> int:
    return cast("int", server.sockets[0].getsockname()[1])
