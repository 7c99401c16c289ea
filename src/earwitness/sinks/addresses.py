"""Which addresses a webhook may be sent to. A caller of the API chooses its host, so it must not lead inside.

The name is resolved once and the connection is made to an address that was judged: a name server that answers
differently the second time gains nothing.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import TypeAlias

from earwitness.errors import SinkRefused, SinkUnavailable

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Host and port to IP addresses; raises OSError when there are none."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses that the operating system knows. How long it may take is the system's setting."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def judged_addresses(host: str, port: int, *, allow_private: bool, resolver: Resolver) -> Sequence[str]:
    """The addresses of a host, all of which may be connected to.

    SinkUnavailable when the name cannot be resolved, SinkRefused when any of its addresses is inside: a name that
    leads to both is a mistake or a trick.
    """
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise SinkUnavailable("the webhook's host cannot be found; see its name and the name servers") from error
    if not addresses:
        raise SinkUnavailable("the webhook's host has no address; see its name and the name servers")
    for address in addresses:
        if not may_connect(address, allow_private=allow_private):
            raise SinkRefused(
                "the webhook's host has an address that is private, of this machine or for several receivers; "
                "give a public one, or allow private addresses in the settings"
            )
    return addresses


def may_connect(address: str, *, allow_private: bool) -> bool:
    """Whether the address is a public one; with `allow_private`, whether it is that of one receiver."""
    return all(_is_allowed(form, allow_private=allow_private) for form in _forms(ipaddress.ip_address(address)))


def _is_allowed(address: IpAddress, *, allow_private: bool) -> bool:
    if address.is_multicast or address.is_unspecified:
        return False
    if allow_private:
        return True
    # fec0::/10 was the private network of early IPv6; Python calls it global.
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not address.is_reserved and not is_site_local


def _forms(address: IpAddress) -> list[IpAddress]:
    """The address, and the IPv4 address that lies in it: the network may unpack it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    tunnelled = [address.sixtofour, *(address.teredo or ())]
    return [address, *(inner for inner in tunnelled if inner is not None)]
