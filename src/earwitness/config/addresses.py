"""Settings that say where to listen."""

from earwitness.errors import ConfigurationError

PORT_MAX = 65_535


def host_and_port(text: str, *, setting: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:9092`, `[::1]:9092` or `localhost:9092`; with a default port, of a host alone.

    Raise ConfigurationError.
    """
    host, colon, port = text.strip().rpartition(":")
    if default_port is not None and (not colon or (":" in host and not host.endswith("]"))):
        host, port = text.strip(), str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        example = f"127.0.0.1:{default_port or 9092}"
        raise ConfigurationError(f"setting {setting} is no address; give host and port as in {example}, not {text}")
    return host, int(port)


def moved_port(address: str, by: int, *, setting: str) -> str:
    """Return an address or URL with a port so much higher, for another process of a machine; port 0 and nothing stay.

    Raise ConfigurationError where it does not end with a port.
    """
    if not address:
        return ""
    beginning, _, port = address.rstrip("/").rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) + by > PORT_MAX:
        raise ConfigurationError(f"setting {setting}: with several processes it ends with the port of the first one")
    return f"{beginning}:{int(port) + by if int(port) else 0}"
