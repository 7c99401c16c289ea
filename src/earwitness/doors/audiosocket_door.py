"""The AudioSocket door: TCP connections of Asterisk, one call each.

The protocol proves nothing but that its sender knows a UUID. So the UUID has to be one that was announced, and the
address has to be on the connector's list; without a list, loopback.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import cast

from earwitness.doors.allowed import AllowList
from earwitness.doors.audiosocket import (
    HANG_UP,
    IDENTITY_BYTES,
    AudioSocketEvent,
    AudioSocketReader,
    CallNamed,
    UnknownFrame,
)
from earwitness.doors.desk import Desk, DoorAccess
from earwitness.doors.events import CallEnded, CallStarted
from earwitness.doors.live_call import ERROR_OF_OURS, DoorClock, LiveCall
from earwitness.doors.refusals import NOBODY, Refusals
from earwitness.doors.tcp import notice_death
from earwitness.errors import BadRequest, ConfigurationError, EarwitnessError
from earwitness.log import frames_of
from earwitness.server.connections import Connections

PROOF_SECONDS = 5.0
"""How long a connection may take to say which call it is."""

SOUND_SECONDS = 60.0
"""How long it may take from then until its first audio."""

CONNECTIONS_MAX = 1_000
"""At one time, calls or not. An address gets at most half of them."""

_log = logging.getLogger("earwitness.doors")


class AudioSocketDoor:
    """Listens, and counts what it refuses. Lives on one event loop."""

    name = "audiosocket"

    def __init__(
        self,
        desk: Desk,
        *,
        host: str,
        port: int,
        clock: DoorClock | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.desk = desk
        self.clock = clock or DoorClock()
        #: How often something was refused, by the reason.
        self.refused = Refusals(monotonic=self.clock.monotonic)
        self.descriptors_max = connections_max
        self.connections = Connections(connections_max, monotonic=self.clock.monotonic)
        self.is_draining = False
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._connected: set[_Connection] = set()

    @property
    def calls(self) -> list[LiveCall]:
        """Return the calls in progress."""
        return [each.live for each in list(self._connected) if each.live is not None and not each.live.is_over]

    @property
    def addresses(self) -> Sequence[tuple[str, str, int]]:
        """Return what listens: transport, host and port."""
        if self._server is None:
            return []
        return [("TCP", *each.getsockname()[:2]) for each in self._server.sockets]

    async def open(self) -> None:
        """Begin to listen. Raise ConfigurationError when the address cannot be had."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                partial(_Connection, self), self._host, self._port, backlog=1_024
            )
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ConfigurationError(
                f"audiosocket: cannot listen on {self._host} port {self._port}: {reason}; choose another address"
            ) from error

    def drain(self) -> None:
        """Take no new calls; those in progress go on."""
        self.is_draining = True

    async def close(self) -> None:
        """Stop listening, end all calls, and return when their last fragments are written."""
        self.drain()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(each.end("the service stops") for each in list(self._connected)))
        self._server = None

    def joined(self, connection: "_Connection") -> None:
        """Remember a connection until it has left."""
        self._connected.add(connection)

    def left(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._connected.discard(connection)


class _Connection(asyncio.Protocol):
    """One connection: first who it is, then its call."""

    def __init__(self, door: AudioSocketDoor) -> None:
        self.live: LiveCall | None = None
        self._door = door
        self._reader = AudioSocketReader()
        # What came behind the first frame, and how much of that is missing.
        self._early, self._identity_missing = b"", IDENTITY_BYTES
        self._access: DoorAccess | None = None
        # Whose call it says it is.
        self._account_id = NOBODY
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._deadline: asyncio.TimerHandle | None = None
        # What was read behind an event that the records are asked about.
        self._waiting: deque[AudioSocketEvent] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._is_refused = False
        self._has_said_unknown = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and give it some seconds."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        if not self._door.connections.open(self, self._address):
            self._refuse("there are too many connections")
            return
        notice_death(transport)
        self._door.joined(self)
        self._wait_at_most(PROOF_SECONDS, "nothing said which call it is")

    def data_received(self, data: bytes) -> None:
        """Take what came; until it is known who calls, no more than says so."""
        if self._access is None:
            data = self._early + data
            data, self._early = data[: self._identity_missing], data[self._identity_missing :]
            self._identity_missing -= len(data)
        try:
            events = self._reader.feed(data)
        except BadRequest as error:
            self._refuse(str(error))
            return
        live = self.live
        for event in events:
            if live is not None and not isinstance(event, CallNamed | UnknownFrame):
                live.feed(event)
            else:
                self._waiting.append(event)
        if self._waiting:
            self._go_on()
        if live is not None and live.is_over:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # of asyncio
        """End the call, if there is one."""
        self._transport = None
        self._waiting += self._reader.close()
        self._door.connections.close(self)
        self._stop_waiting()
        self._go_on()

    def evict(self) -> None:
        """Close at once: somebody else needs the place."""
        self._count("it was silent, and its place was needed")
        if self._transport is not None:
            self._transport.abort()

    async def end(self, reason: str) -> None:
        """End the call and the connection."""
        if self._transport is not None:
            self._transport.write(HANG_UP)
            self._transport.close()
        if self._asking is not None:
            await asyncio.gather(self._asking, return_exceptions=True)
        if self.live is not None:
            await self.live.close(reason, failed=True)

    def _go_on(self) -> None:
        """Do what waits, in order; the records are asked by a task, and nothing more is read meanwhile."""
        if self._asking is not None:
            return
        if self._is_refused:
            self._waiting.clear()
        while self._waiting:
            event = self._waiting.popleft()
            if isinstance(event, CallNamed | CallStarted):
                if self._transport is not None and not self._transport.is_closing():
                    self._transport.pause_reading()
                self._asking = asyncio.get_running_loop().create_task(self._ask_and_go_on(event))
                return
            if self.live is not None and not isinstance(event, CallNamed | UnknownFrame):
                self.live.feed(event)
            elif isinstance(event, UnknownFrame):
                self._tell_unknown(event)
        if self._transport is None:
            self._leave()

    async def _ask_and_go_on(self, event: CallNamed | CallStarted) -> None:
        await self._ask(event)
        try:
            self._resume()
        except Exception as error:  # nothing would be read any more, the end of the connection neither
            context = {"door": self._door.name, "error": type(error).__name__, "frames": frames_of(error)}
            _log.error("a call failed", extra=context)
            if self.live is not None:
                self.live.feed(CallEnded(ERROR_OF_OURS, failed=True))
            if self._transport is not None:
                self._transport.abort()

    async def _ask(self, event: CallNamed | CallStarted) -> None:
        """Ask the records. What they refuse, or what fails, is refused."""
        try:
            if isinstance(event, CallNamed):
                await self._identify(event)
            elif self._access is not None:
                self._stop_waiting()
                if self._door.is_draining:
                    raise BadRequest("the service stops; call again")
                self.live = await LiveCall.begin(
                    self._door.desk,
                    self._access,
                    event,
                    door=self._door.name,
                    clock=self._door.clock,
                    hang_up=self._refuse,
                )
        except EarwitnessError as error:
            self._refuse(str(error))
        except Exception as error:
            context = {"door": self._door.name, "error": type(error).__name__, "frames": frames_of(error)}
            _log.error("a call could not begin", extra=context)
            self._refuse(ERROR_OF_OURS)

    def _resume(self) -> None:
        """Go on with what came meanwhile."""
        self._asking = None
        if self._access is not None and self._early:
            early, self._early = self._early, b""
            self.data_received(early)
        if self._asking is None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._go_on()
        if self.live is not None and self.live.is_over:
            self._close()

    async def _identify(self, event: CallNamed) -> None:
        """Find out whether this call is expected, and may come from there."""
        if self._door.is_draining:
            raise BadRequest("the service stops; call again")
        access = await self._door.desk.announced(event.call_id, require=self._require_allowed)
        if access is None:
            raise BadRequest("no call of this UUID was announced, or it has come already; announce it first")
        if self._transport is None:
            return  # it hung up meanwhile
        self._access = access
        self._door.connections.is_asked(self)
        self._wait_at_most(SOUND_SECONDS, "a call sent no audio")

    def _require_allowed(self, access: DoorAccess) -> None:
        """Raise BadRequest where this connection may send no call."""
        self._account_id = access.scope.account_id
        if access.disabled:
            raise BadRequest("the Voice Connector takes no calls; enable it")
        if access.require_encryption:
            raise BadRequest("the Voice Connector takes encrypted calls only, and AudioSocket has no encryption")
        if not AllowList(access.allowed_networks).allows(self._address):
            raise BadRequest("the address is not on the Voice Connector's list; add it")

    def _tell_unknown(self, event: UnknownFrame) -> None:
        if not self._has_said_unknown:
            self._has_said_unknown = True
            _log.info("frames of an unknown type are passed over", extra={"door": "audiosocket", "type": event.type})

    def _wait_at_most(self, seconds: float, reason: str) -> None:
        self._stop_waiting()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._refuse, reason)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count(self, reason: str) -> None:
        self._door.refused.note(reason, door=self._door.name, account_id=self._account_id)

    def _refuse(self, reason: str) -> None:
        self._count(reason)
        self._is_refused = True
        self._waiting.clear()
        if self._transport is not None:
            self._transport.write(HANG_UP)
        self._close()

    def _close(self) -> None:
        self._stop_waiting()
        if self._transport is not None:
            self._transport.close()

    def _leave(self) -> None:
        """Forget the connection when its call is over."""
        if self.live is None:
            self._door.left(self)
            return
        task = asyncio.get_running_loop().create_task(self.live.close())
        task.add_done_callback(lambda _: self._door.left(self))
