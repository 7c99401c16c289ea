"""Which addresses may call, where a protocol has no other proof of who calls."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def may_call_from(address: str, networks: Sequence[str]) -> bool:
    """Return whether an address is in one of these networks, or is loopback. What is no address is in none."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback or any(parsed in network for network in map(_network, networks) if network)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
