"""Who is connected: each address has a share of the connections, and the oldest silent ones are closed first.

Silent is a connection on which no request is being answered: nothing came yet, a head or a handshake is not finished,
or the last answer was given and nothing followed. Closing one costs an honest client a new connection at most.

What belongs here: which connection may be there. What must never: bytes, what is asked.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol, TypeAlias

from earwitness.errors import ConfigurationError
from earwitness.wire.shares import may_take
from earwitness.wire.wrong_credentials import address_group

TELL_AGAIN_SECONDS = 60.0
"""How often the log says that connections were closed or refused."""

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

_log = logging.getLogger("earwitness.server")


class Connection(Protocol):
    """A connection that may have to go."""

    def evict(self) -> None:
        """Close it at once; the place is somebody else's already."""
        ...


@dataclass(slots=True)
class _Address:
    held: int = 0
    silent: OrderedDict[Connection, None] = field(default_factory=OrderedDict[Connection, None])


class Connections:
    """The connections of one server. Lives on its event loop."""

    def __init__(self, most: int, *, trusted: Networks = (), monotonic: Callable[[], float] = time.monotonic) -> None:
        """`most` are all connections together; `trusted` proxies may have any number of them."""
        self._most = most
        self._trusted = trusted
        self._monotonic = monotonic
        self._names: dict[Connection, str] = {}
        self._addresses: dict[str, _Address] = {}
        self._silent: OrderedDict[Connection, None] = OrderedDict()
        self._closed, self._refused = 0, 0
        self._tell_from = float("-inf")

    def open(self, connection: Connection, address: str) -> bool:
        """Count a new, silent connection. Return False when there is no place for it.

        An address that has its share makes room by its own oldest silent connection. Where all places are taken, the
        oldest silent connection of anybody goes.
        """
        name = address_group(address)
        if not self._make_room(name, may_have_any_number=self._is_trusted(address)):
            self._refused += 1
            self._tell(name)
            return False
        self._names[connection] = name
        self._addresses.setdefault(name, _Address()).held += 1
        self.falls_silent(connection)
        return True

    def falls_silent(self, connection: Connection) -> None:
        """Note that no request of this connection is being answered from now on."""
        name = self._names.get(connection)
        if name is not None:
            self._silent[connection] = self._addresses[name].silent[connection] = None

    def is_asked(self, connection: Connection) -> None:
        """Note that a request of this connection is being answered from now on."""
        name = self._names.get(connection)
        if name is not None:
            self._silent.pop(connection, None)
            self._addresses[name].silent.pop(connection, None)

    def hand_over(self, connection: Connection, following: Connection) -> None:
        """Give a connection's place to another one, which is silent at first."""
        self.is_asked(connection)
        name = self._names.pop(connection, None)
        if name is not None:
            self._names[following] = name
            self.falls_silent(following)

    def close(self, connection: Connection) -> None:
        """Give a connection's place back; nothing happens when it was given back before."""
        self.is_asked(connection)
        name = self._names.pop(connection, None)
        if name is None:
            return
        self._addresses[name].held -= 1
        if not self._addresses[name].held:
            del self._addresses[name]

    def _make_room(self, name: str, *, may_have_any_number: bool) -> bool:
        free = self._most - len(self._names)
        own = self._addresses.get(name)
        if own is not None and not may_have_any_number and not may_take(own.held, free=free):
            return self._evict_oldest(own.silent, name)
        return free > 0 or self._evict_oldest(self._silent, name)

    def _evict_oldest(self, silent: OrderedDict[Connection, None], name: str) -> bool:
        oldest = next(iter(silent), None)
        if oldest is None:
            return False
        self.close(oldest)
        oldest.evict()
        self._closed += 1
        self._tell(name)
        return True

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def _tell(self, name: str) -> None:
        now = self._monotonic()
        if now < self._tell_from:
            return
        _log.warning(
            "there are too many connections, of all or of one address; the oldest silent ones are closed",
            extra={"closed": self._closed, "refused": self._refused, "client": name},
        )
        self._closed, self._refused = 0, 0
        self._tell_from = now + TELL_AGAIN_SECONDS


def trusted_networks(text: str) -> Networks:
    """Return `10.0.0.7,192.168.4.0/24` as networks. Raise ConfigurationError for what is no address."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"trusted_proxies: {error}; give addresses or networks, as in 10.0.0.7,192.168.4.0/24"
        ) from error
