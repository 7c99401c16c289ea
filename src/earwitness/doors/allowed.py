"""Which addresses may send to a connector, where a protocol has no other proof of who calls."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


class AllowList:
    """Addresses and networks; loopback alone when there are none."""

    def __init__(self, networks: Sequence[str]) -> None:
        """What is no network allows nobody."""
        self._networks = [parsed for each in networks if (parsed := _network(each)) is not None]
        self._loopback_only = not networks

    def allows(self, address: str) -> bool:
        """Say whether an address is on the list."""
        parsed = plain_address(address)
        if parsed is None:
            return False
        if self._loopback_only:
            return parsed.is_loopback
        return any(parsed in network for network in self._networks)


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, IPv4 where it is one written as IPv6; None when it is none."""
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None
