"""A signed webhook: each event is one POST, signed in its headers; the status of the answer says what became of it.

Signatures follow Standard Webhooks, version 1 (https://www.standardwebhooks.com): the receiver checks them over id,
time and body, so it knows the sender and notices an old message that comes again.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from earwitness.errors import ConfigurationError, SinkRefused, SinkUnavailable
from earwitness.sinks.http_post import HttpResponse, Resolver, judged_addresses, post, read_webhook_url, system_resolver
from earwitness.sinks.targets import require_sendable
from earwitness.voice.events import EventKind

WEBHOOK_SECONDS = 15.0
"""The standard advises 15 to 30 s; a thread waits as long."""

_REFUSING_STATUSES = frozenset({400, 413, 415, 422, 431})
"""What is said of one event. All other errors say that the webhook is not there, or not yet as it should be: an
address, a secret or a deployment can be put right, and the events that waited meanwhile are not lost.
"""

_PREFIX = "whsec_"

_KEY_BYTES_MIN = 24  # both by the standard

_KEY_BYTES_MAX = 64


class WebhookSecret:
    """The key in a `whsec_` secret. Raises ConfigurationError for a text that holds none."""

    def __init__(self, secret: str) -> None:
        try:
            self._key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):  # ValueError: not ASCII
            self._key = b""
        if not secret.startswith(_PREFIX) or not _KEY_BYTES_MIN <= len(self._key) <= _KEY_BYTES_MAX:
            raise ConfigurationError(
                f"a webhook's secret is {_PREFIX} and then {_KEY_BYTES_MIN} to {_KEY_BYTES_MAX} bytes in base64; "
                f"make one anew"
            )

    def headers(self, body: bytes, *, event_id: str, sent_at_seconds: int) -> dict[str, str]:
        """Return the three headers of a message. `sent_at_seconds` is the time of this attempt, since 1970."""
        signed = f"{event_id}.{sent_at_seconds}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(sent_at_seconds),
            "webhook-signature": f"v1,{signature}",
        }


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """How webhooks are sent."""

    secret: str = field(repr=False)
    """`whsec_` and a key in base64."""

    allow_private_addresses: bool = False
    """Whether a webhook may lie on this machine or in a private network."""

    seconds: float = WEBHOOK_SECONDS
    """For one attempt, from the connection to the answer's headers; names are resolved before."""


def require_webhook(url: str, settings: WebhookSettings) -> None:
    """Raise ConfigurationError for a URL or a secret that cannot be used."""
    read_webhook_url(url)
    WebhookSecret(settings.secret)


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
        """Send as `Sink` promises. Webhooks keep no order, and the body says of what kind it is."""
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
    if status in _REFUSING_STATUSES:
        raise SinkRefused(f"the webhook at {host} refused the event (status {status}); see its logs")
    raise SinkUnavailable(
        f"the webhook at {host} {_why_not(status)} (status {status}); it is tried again",
        retry_after_seconds=retry_after_seconds(answer.retry_after, now=now),
    )


def _why_not(status: int) -> str:
    if 300 <= status < 400:
        return "redirects, which is not followed: give the address it leads to"
    if status in (404, 405, 410):
        return "is not at this address: see webhook_url"
    if status in (401, 403):
        return "does not let us in: see webhook_secret, and what stands before it"
    return "cannot take events now"


def retry_after_seconds(header: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header (RFC 9110: seconds, or a date) asks for; None for anything else."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])  # thirty years will do
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
