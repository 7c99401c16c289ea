"""What is known of Voice Connectors: how a phone system proves that it may send calls to one, and where a call is."""

from enum import StrEnum


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
