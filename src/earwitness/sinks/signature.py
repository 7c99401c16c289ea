"""How a webhook is signed: Standard Webhooks, version 1 (https://www.standardwebhooks.com).

The receiver checks the signature over id, time and body, and so knows the sender
and notices an old message that comes again.
"""

import base64
import binascii
import hashlib
import hmac

from earwitness.errors import ConfigurationError

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
        """The three headers of a message. `sent_at_seconds` is the time of this attempt, since 1970."""
        signed = f"{event_id}.{sent_at_seconds}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(sent_at_seconds),
            "webhook-signature": f"v1,{signature}",
        }
