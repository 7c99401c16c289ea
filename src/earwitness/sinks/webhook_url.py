"""A webhook's URL: read once, so that what is judged is what is used."""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from earwitness.errors import ConfigurationError

_PORTS = {"http": 80, "https": 443}
_LABEL_CHARACTERS_MAX = 63  # DNS's


@dataclass(frozen=True, kw_only=True)
class WebhookUrl:
    """Where a webhook listens. Messages name its host alone: path and query may hold a secret."""

    is_secure: bool
    host: str
    port: int
    request_target: str
    """Path and query, as they stand in the request line."""

    @property
    def host_header(self) -> str:
        """Host and, unless it is the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.is_secure else "http"] else f"{host}:{self.port}"


def read_webhook_url(text: str) -> WebhookUrl:
    """The parts of an http or https URL; ConfigurationError when it has others, or none."""
    if (
        not text.isascii() or not text.isprintable() or " " in text
    ):  # would end the request line, or mean something else
        raise ConfigurationError("a webhook's URL has spaces or characters beyond ASCII; write them percent-encoded")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError("a webhook's URL has a host or port that cannot be read; correct it") from None
    _require_usable(parts, host)
    path = parts.path or "/"
    return WebhookUrl(
        is_secure=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        request_target=f"{path}?{parts.query}" if parts.query else path,
    )


def _require_usable(parts: SplitResult, host: str) -> None:
    if parts.scheme not in _PORTS:
        raise ConfigurationError("a webhook's URL begins with http:// or https://")
    if not all(0 < len(label) <= _LABEL_CHARACTERS_MAX for label in host.removesuffix(".").split(".")):
        raise ConfigurationError("a webhook's URL names no host that could exist; correct it")
    if parts.username is not None or parts.fragment:
        raise ConfigurationError("a webhook's URL holds a user or a fragment, which are not sent; leave them out")
