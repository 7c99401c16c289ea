"""Place a call: which protocol an address means."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from earwitness.dialer.audiohook import call_by_audiohook
from earwitness.dialer.audiosocket import call_by_audiosocket
from earwitness.dialer.media_streams import call_by_media_streams
from earwitness.dialer.plan import CallPlan, PlacedCall
from earwitness.dialer.siprec import call_by_siprec
from earwitness.dialer.speech import Pace
from earwitness.errors import ConfigurationError
from earwitness.progress import Progress, not_shown
from earwitness.voice.connector import DoorSecret

PROTOCOLS: dict[str, Callable[[CallPlan], Awaitable[PlacedCall]]] = {
    "audiosocket": call_by_audiosocket,
    "ws": call_by_media_streams,
    "wss": call_by_media_streams,
    "siprec": call_by_siprec,
}
"""By the scheme of the address."""

_GENESYS = re.compile(r".*/doors/[^/]+/genesys")
"""The path of a WebSocket that speaks AudioHook; those of others speak as Twilio does."""

_UNSIGNED: Mapping[DoorSecret, str] = MappingProxyType({})


def place_call(
    files: Sequence[Path],
    *,
    to: str,
    speed: float = 1.0,
    secrets: Mapping[DoorSecret, str] = _UNSIGNED,
    progress: Progress = not_shown,
) -> PlacedCall:
    """Place recordings as a call, and return when it has ended; `speed` times as fast as they were spoken.

    `secrets` sign the handshake, as Twilio or Genesys does; `signing_secrets` says which an address wants.

    Raise CallNotPlaced, AudioError, or ConfigurationError for an address that no protocol has.
    """
    address = _address(to)
    plan = CallPlan(files=files, address=address, pace=lambda: Pace(speed=speed), progress=progress, secrets=secrets)
    return asyncio.run(_placed(plan))


def signing_secrets(to: str) -> tuple[DoorSecret, ...]:
    """Return what a handshake with this address is signed with. Raise ConfigurationError for one that is never."""
    address = _address(to)
    if address.scheme not in ("ws", "wss"):
        raise ConfigurationError("a call to this door is not signed; leave out --sign")
    if _GENESYS.fullmatch(address.path):
        return DoorSecret.AUDIOHOOK_API_KEY, DoorSecret.AUDIOHOOK_CLIENT_SECRET
    return (DoorSecret.TWILIO_AUTH_TOKEN,)


def _address(to: str) -> SplitResult:
    try:
        address = urlsplit(to)
        address.port  # noqa: B018  # raises for what is no number
    except ValueError:
        raise ConfigurationError("the door's address is no URL; give one as in audiosocket://HOST:PORT/UUID") from None
    if address.scheme not in PROTOCOLS:
        known = " or ".join(f"{each}://" for each in PROTOCOLS)
        raise ConfigurationError(f"the door's address begins with {known}")
    if address.scheme in ("ws", "wss") and address.hostname is None:
        raise ConfigurationError("the door's address has no host; give wss://HOST/doors/CONNECTOR/twilio")
    return address


async def _placed(plan: CallPlan) -> PlacedCall:
    if plan.address.scheme in ("ws", "wss") and _GENESYS.fullmatch(plan.address.path):
        return await call_by_audiohook(plan)
    return await PROTOCOLS[plan.address.scheme](plan)
