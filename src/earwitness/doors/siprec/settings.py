"""The door's settings, read: where to listen, and which ports media have.

What belongs here: words of the settings to values. What must never: sockets.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from earwitness.config.addresses import host_and_port
from earwitness.errors import ConfigurationError
from earwitness.server.certificate import Certificate

SIP_PORT = 5_060
SIPS_PORT = 5_061


@dataclass(frozen=True, kw_only=True)
class SiprecListening:
    """Where to listen."""

    #: UDP and TCP; None: neither. A port of 0 takes a free one.
    plain: tuple[str, int] | None
    #: TLS; None: not at all.
    tls: tuple[str, int] | None
    #: Gives the context for the next client.
    tls_context: Callable[[], ssl.SSLContext] | None
    #: Our address in session descriptions and Contact; empty: the one that the call came to.
    media_address: str
    #: The first and last port for media.
    media_ports: tuple[int, int]
    calls_max: int

    @property
    def media_host(self) -> str:
        """Return where media come in: where signalling does, or everywhere if that is in two places."""
        hosts = {each[0] for each in (self.plain, self.tls) if each is not None}
        if len(hosts) == 1:
            return hosts.pop()
        return "::" if any(":" in host for host in hosts) else "0.0.0.0"  # noqa: S104  # as the settings have it


def read_listening(
    *,
    siprec: str,
    siprec_tls: str,
    siprec_media: str,
    certificate: Certificate | None,
    calls_max: int,
) -> SiprecListening | None:
    """Return where SIPREC calls come in; None when they do not. Raise ConfigurationError for what cannot be used."""
    if not siprec and not siprec_tls:
        return None
    if siprec_tls and certificate is None:
        raise ConfigurationError("there is a siprec_tls and no tls_certificate; set tls_certificate and tls_key")
    address, ports = _media(siprec_media)
    return SiprecListening(
        plain=_address("siprec", siprec, SIP_PORT) if siprec else None,
        tls=_address("siprec_tls", siprec_tls, SIPS_PORT) if siprec_tls else None,
        tls_context=certificate.context if siprec_tls and certificate is not None else None,
        media_address=address,
        media_ports=ports,
        calls_max=calls_max,
    )


def is_public_address(text: str) -> bool:
    """Say whether `ADDRESS:PORT` may be reached from the internet: a public address, or all that there are."""
    address = ip_address(_address("siprec", text, SIP_PORT)[0])
    return address.is_unspecified or address.is_global


def _address(name: str, text: str, port: int) -> tuple[str, int]:
    """Return address and port. Raise ConfigurationError, also for the name of a host: SIP tells where media go to."""
    host, number = host_and_port(text, setting=name, default_port=port)
    try:
        ip_address(host)
    except ValueError as error:
        raise ConfigurationError(
            f"setting {name} is an address and a port, as in 10.0.0.5:{port}, not {text}"
        ) from error
    return host, number


def _media(text: str) -> tuple[str, tuple[int, int]]:
    """Return the address, if there is one, and the first and last port of `ADDRESS:LOW-HIGH` or `LOW-HIGH`."""
    host, _, ports = text.strip().rpartition(":")
    low, dash, high = ports.partition("-")
    try:
        first, last = int(low), int(high if dash else low)
        if host:
            ip_address(host.strip("[]"))
    except ValueError as error:
        raise ConfigurationError(
            f"setting siprec_media is a range of ports, as in 16384-32767 or 203.0.113.7:16384-32767, not {text}"
        ) from error
    if not 1_024 <= first < last <= 65_535:
        raise ConfigurationError("setting siprec_media: the ports go from 1024 to 65535, the lower one first")
    return host.strip("[]"), (first, last)
