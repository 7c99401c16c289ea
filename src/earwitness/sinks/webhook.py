"""A signed webhook: each event is one POST, its signature in the headers, and the status tells what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from earwitness.errors import SinkRefused, SinkUnavailable
from earwitness.sinks.addresses import Resolver, judged_addresses, system_resolver
from earwitness.sinks.http_post import HttpResponse, post
from earwitness.sinks.signature import WebhookSecret
from earwitness.sinks.sink import require_sendable
from earwitness.sinks.webhook_url import read_webhook_url
from earwitness.voice.events import EventKind

WEBHOOK_SECONDS = 15.0
"""The standard advises 15 to 30 s; a thread waits as long."""

_LATER_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """How webhooks are sent."""

    secret: str = field(repr=False)
    """`whsec_` and a key in base64."""

    allow_private_addresses: bool = False
    """Whether a webhook may lie on this machine or in a private network."""

    seconds: float = WEBHOOK_SECONDS
    """For one attempt, from the connection to the answer's headers; names are resolved before."""


class WebhookSink:
    """One URL. Raises ConfigurationError for a URL or a secret that cannot be used."""

    def __init__(
        self,
        url: str,
        settings: WebhookSettings,
        *,
        now: Callable[[], datetime],
        resolver: Resolver = system_resolver,
    ) -> None:
        self._url = read_webhook_url(url)
        self._key = WebhookSecret(settings.secret)
        self._settings = settings
        self._now = now
        self._resolver = resolver

    def send(self, event_body: bytes, *, event_id: str, ordering_key: str, kind: EventKind) -> None:  # noqa: ARG002
        """As the seam promises. Webhooks keep no order, and the body says of what kind it is."""
        require_sendable(event_body)
        sent_at = self._now()
        addresses = judged_addresses(
            self._url.host,
            self._url.port,
            allow_private=self._settings.allow_private_addresses,
            resolver=self._resolver,
        )
        headers = self._key.headers(event_body, event_id=event_id, sent_at_seconds=int(sent_at.timestamp()))
        answer = post(self._url, addresses, event_body, headers=headers, seconds=self._settings.seconds)
        _require_accepted(answer, host=self._url.host, now=sent_at)


def _require_accepted(answer: HttpResponse, *, host: str, now: datetime) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if status in _LATER_STATUSES or status >= 500 or status < 200:
        raise SinkUnavailable(
            f"the webhook at {host} cannot take events now (status {status}); it is tried again",
            retry_after_seconds=retry_after_seconds(answer.retry_after, now=now),
        )
    if status == 410:
        raise SinkRefused(f"the webhook at {host} is gone for good (status 410); remove it from the configuration")
    if status < 400:
        raise SinkRefused(f"the webhook at {host} redirects, which is not followed; give the address it leads to")
    raise SinkRefused(f"the webhook at {host} refused the event (status {status}); see its logs and its secret")


def retry_after_seconds(header: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header (RFC 9110: a number of seconds, or a date) asks for; None for anything else."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])  # thirty years will do
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
