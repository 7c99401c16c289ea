"""Settings that say where to listen."""

from earwitness.errors import ConfigurationError


def host_and_port(text: str, *, setting: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:9092`, `[::1]:9092` or `localhost:9092`; with a default port, of a host alone.

    Raise ConfigurationError.
    """
    host, colon, port = text.strip().rpartition(":")
    if default_port is not None and (not colon or (":" in host and not host.endswith("]"))):
        host, port = text.strip(), str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        example = f"127.0.0.1:{default_port or 9092}"
        raise ConfigurationError(f"setting {setting} is no address; give host and port as in {example}, not {text}")
    return host, int(port)
