"""All doors of this process: opened with the service, drained and closed with it.

Each stands for itself: a door that cannot be opened stops the start, because somebody set it; what goes wrong in an
open one stays there.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Protocol

from earwitness.doors.desk import Desk
from earwitness.doors.live_call import LiveCall
from earwitness.doors.refusals import Refusals
from earwitness.doors.sockets import SocketDoors
from earwitness.errors import EarwitnessError
from earwitness.log import Recurring, frames_of
from earwitness.voice.connector import DoorStatus

LOOK_SECONDS = 1.0
"""How often it is looked up, with one query, whether calls in progress may go on."""

NOT_IN_USE = "its Voice Connector, or the streaming of that, was disabled"
"""Why a call is broken off."""

_log = logging.getLogger("earwitness.doors")


class Door(Protocol):
    """Where calls come in by one protocol. Lives on the event loop."""

    @property
    def name(self) -> str:
        """The protocol."""
        ...

    @property
    def calls(self) -> Collection[LiveCall]:
        """Return the calls in progress; any thread may ask."""
        ...

    @property
    def addresses(self) -> Sequence[tuple[str, str, int]]:
        """Return what listens: transport, host and port; nothing for a door at the service's own address."""
        ...

    @property
    def refused(self) -> Refusals:
        """Return how often something was refused since the start, by the reason. A reason names nobody."""
        ...

    @property
    def descriptors_max(self) -> int:
        """Return how many file descriptors its own connections and media may take at one time."""
        ...

    async def open(self) -> None:
        """Begin to listen. Raise ConfigurationError when an address cannot be had."""
        ...

    def drain(self) -> None:
        """Take no new calls. Those in progress go on."""
        ...

    async def close(self) -> None:
        """End all calls; return when their last fragments are written. Nothing happens to a door that never opened."""
        ...


class Doors:
    """The doors that are set."""

    def __init__(self, desk: Desk, doors: Sequence[Door]) -> None:
        self._desk = desk
        self._doors = list(doors)

    def status(self, account_id: str) -> list[DoorStatus]:
        """Return what each of them does at this moment, as far as an account may know; any thread may ask."""
        return [
            DoorStatus(
                name=door.name,
                addresses=tuple(door.addresses),
                calls=sum(call.account_id == account_id for call in door.calls),
                refused=door.refused.seen_by(account_id),
            )
            for door in self._doors
        ]

    def calls(self) -> dict[str, float]:
        """Return how many calls of all accounts are in progress, by protocol; any thread may ask."""
        found = {door.name: 0.0 for door in self._doors if door.addresses}
        for call in [call for door in self._doors for call in list(door.calls)]:
            found[call.door] = found.get(call.door, 0.0) + 1.0
        return found

    def refused(self) -> dict[str, float]:
        """Return how often something was refused since the start, by door; any thread may ask."""
        return {door.name: float(sum(list(door.refused.values()))) for door in self._doors}

    @property
    def descriptors_max(self) -> int:
        """Return how many file descriptors all of them may take, which a crowd at the service's address must leave."""
        return sum(door.descriptors_max for door in self._doors)

    async def open(self) -> None:
        """Open all of them, or none. Raise ConfigurationError when one cannot be opened."""
        try:
            for door in self._doors:
                await door.open()
                for transport, host, port in door.addresses:
                    context = {"door": door.name, "transport": transport, "host": host, "port": port}
                    _log.info("a door is open", extra=context)
        except BaseException:
            await self.close()
            raise

    def drain(self) -> None:
        """Take no new calls anywhere."""
        for door in self._doors:
            door.drain()

    async def look(self) -> None:
        """Break off the calls whose connector takes none any more, whichever process disabled it."""
        calls = [call for door in self._doors for call in door.calls]
        if not calls:
            return
        in_use = await self._desk.in_use({call.kept.access.connector_id for call in calls})
        for call in calls:
            if call.kept.access.connector_id not in in_use:
                call.break_off(NOT_IN_USE)

    async def look_again_and_again(self) -> None:
        """Look for ever. While the records are away calls go on."""
        failing = Recurring(_log)
        while True:
            try:
                await self.look()
            except EarwitnessError as error:
                failing.tell(logging.WARNING, "it cannot be looked up which calls may go on", reason=str(error))
            except Exception as error:  # calls would outlive their connectors until the next start
                context = {"error": type(error).__name__, "frames": frames_of(error)}
                failing.tell(logging.ERROR, "it cannot be looked up which calls may go on", **context)
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """End all calls everywhere."""
        results = await asyncio.gather(*(door.close() for door in self._doors), return_exceptions=True)
        for door, failure in zip(self._doors, results, strict=True):
            if isinstance(failure, BaseException):
                context = {"door": door.name, "error": type(failure).__name__, "frames": frames_of(failure)}
                _log.error("a door could not be closed in order", extra=context)


class WebSocketsDoor:
    """The doors over WebSockets as one of them. The service's own server listens for it."""

    name = "websockets"
    descriptors_max = 0
    addresses: Sequence[tuple[str, str, int]] = ()

    def __init__(self, sockets: SocketDoors) -> None:
        self._sockets = sockets

    @property
    def calls(self) -> list[LiveCall]:
        """Return the calls in progress."""
        return list(self._sockets.calls)

    @property
    def refused(self) -> Refusals:
        """Return how often something was refused, by the reason."""
        return self._sockets.refused

    async def open(self) -> None:
        """There is nothing to open."""

    def drain(self) -> None:
        """Take no new calls."""
        self._sockets.is_draining = True

    async def close(self) -> None:
        """End all calls; return when their last fragments are written."""
        self.drain()
        await asyncio.gather(*(call.close("the service stops") for call in self.calls))
