"""What is known of Voice Connectors: how a phone system proves that it may send calls to one, and where a call is."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from earwitness.errors import BadRequest


class DoorSecret(StrEnum):
    """A secret that a Voice Connector shares with a phone system. A proof whose secret is not set is refused."""

    TWILIO_AUTH_TOKEN = "twilioAuthToken"  # noqa: S105  # a name
    """Signs the handshakes of Twilio and SignalWire (HMAC-SHA1 over the URL)."""

    TWILIO_ACCOUNT_SID = "twilioAccountSid"
    """No secret: the account whose streams Twilio may send, should others know the token."""

    TOKEN = "token"  # noqa: S105  # a name
    """Travels in the path, in a custom parameter or as a bearer token; for systems that sign nothing."""

    BASIC = "basic"
    """`user:password` of HTTP's basic authentication, as jambonz and FreeSWITCH send it."""

    JWT_SECRET = "jwtSecret"  # noqa: S105  # a name
    """Signs JSON Web Tokens (HS256), as Vonage's."""

    AUDIOHOOK_API_KEY = "audiohookApiKey"
    """Names the key that Genesys signs with."""

    AUDIOHOOK_CLIENT_SECRET = "audiohookClientSecret"  # noqa: S105  # a name
    """Signs Genesys's handshakes (RFC 9421, HMAC-SHA256); in base64, as Genesys shows it."""


class CallStatus(StrEnum):
    """Where a call of a Voice Connector is."""

    IN_PROGRESS = "InProgress"

    ENDED = "Ended"
    """As its phone system said."""

    FAILED = "Failed"
    """It broke off: a connection was lost, or the service ended."""


class CallLeg(StrEnum):
    """A leg of a call, in the words of the wire."""

    CALLER = "Caller"
    CALLEE = "Callee"


CONNECTOR_ID = re.compile(r"[a-z0-9-]{1,64}")
"""What may be the id of a Voice Connector; for anything else that strangers write the records need not be asked."""

ANNOUNCED_KEPT = 600.0
"""Seconds in which an announced call may come."""

NETWORKS_MAX = 100
LABEL_CHARACTERS_MAX = 256
SECRET_CHARACTERS_MAX = 1_024


_NAME = re.compile(r"[a-zA-Z0-9 _.-]{1,256}")
"""As AWS's model has it."""


def checked_name(name: str) -> str:
    """Return the name of a connector. Raise BadRequest when AWS would not take it."""
    if not _NAME.fullmatch(name):
        raise BadRequest("a name has 1 to 256 letters without accents, digits, spaces and characters of `_.-`")
    return name


def network_of(text: str) -> str:
    """Return an address or a network as it is written in full. Raise BadRequest for what is neither."""
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise BadRequest("this is no address and no network; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32") from None


def networks_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return addresses and networks in full, each once. Raise BadRequest for too many, and as `network_of` does."""
    if len(texts) > NETWORKS_MAX:
        raise BadRequest(f"there are more than {NETWORKS_MAX} networks; write fewer, larger ones")
    return tuple(dict.fromkeys(network_of(text) for text in texts))


def checked_label(label: str) -> str:
    """Return the label of a leg. Raise BadRequest when no call could have it."""
    if len(label) > LABEL_CHARACTERS_MAX:
        raise BadRequest(f"the label of a leg has at most {LABEL_CHARACTERS_MAX} characters")
    return label


def checked_secret(name: DoorSecret, secret: str) -> str:
    """Return a secret. Raise BadRequest, which does not repeat it, when no phone system could use it."""
    if not 1 <= len(secret) <= SECRET_CHARACTERS_MAX or not secret.isprintable():
        raise BadRequest(f"a secret has 1 to {SECRET_CHARACTERS_MAX} printable characters, on one line")
    if name is DoorSecret.BASIC and ":" not in secret.strip(":"):
        raise BadRequest("the secret of HTTP's basic authentication is user:password")
    if name is DoorSecret.AUDIOHOOK_CLIENT_SECRET:
        try:
            base64.b64decode(secret, validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest("the client secret of Genesys is in base64; copy it as Genesys shows it") from None
    return secret


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorStatus:
    """What a door does at this moment, as one account may know it. It names nobody."""

    #: The protocol.
    name: str
    #: Transport, host and port; nothing for a door at the service's own address.
    addresses: Sequence[tuple[str, str, int]]
    #: Calls in progress, of the account.
    calls: int
    #: How often something was refused since the start, by the reason: of the account, or of nobody.
    refused: Mapping[str, int]
