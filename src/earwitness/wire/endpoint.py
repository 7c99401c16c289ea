"""Under which address a client reached us, as its requests tell: what GetDataEndpoint answers unless a setting says.

AWS's C and C++ producers leave the port out of `Host`. What belongs here: when the listening port is theirs. What must
never: proxies' own headers; behind a proxy the setting `public_url` says it.
"""

from ipaddress import ip_address

PORT_DROPPING_CLIENT = "AWS-SDK-KVS"
"""In the User-Agent of AWS's C and C++ producers, kvssink among them."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def endpoint_of(*, scheme: str, host: str, user_agent: str = "", server: tuple[str, int | None] | None = None) -> str:
    """Scheme, host and port, without a slash at the end.

    `server` is the address and port of our end of the connection. A `Host` without a port gets that port when it names
    that very address, so that nothing can stand between, or when the client is known to leave ports out.
    """
    host = host.removeprefix("https://")
    address, port = server or ("", None)
    if port is None or port == _DEFAULT_PORTS.get(scheme) or _has_port(host):
        return f"{scheme}://{host}"
    own = _names(host, address) or PORT_DROPPING_CLIENT in user_agent
    return f"{scheme}://{host}:{port}" if own else f"{scheme}://{host}"


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _names(host: str, address: str) -> bool:
    """Whether a host is this address of ours, by its number or as localhost."""
    try:
        ours = ip_address(address.partition("%")[0])
        if host.lower() == "localhost":
            return ours.is_loopback
        return ip_address(host.strip("[]")) == ours
    except ValueError:
        return False
