"""Place a call: which protocol an address means."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from earwitness.dialer.audiosocket import call_by_audiosocket
from earwitness.dialer.media_streams import call_by_media_streams
from earwitness.dialer.plan import CallPlan, PlacedCall
from earwitness.dialer.siprec import call_by_siprec
from earwitness.dialer.speech import Pace
from earwitness.errors import ConfigurationError
from earwitness.progress import Progress, not_shown

PROTOCOLS: dict[str, Callable[[CallPlan], Awaitable[PlacedCall]]] = {
    "audiosocket": call_by_audiosocket,
    "ws": call_by_media_streams,
    "wss": call_by_media_streams,
    "siprec": call_by_siprec,
}
"""By the scheme of the address."""


def place_call(
    files: Sequence[Path], *, to: str, speed: float = 1.0, secret: str = "", progress: Progress = not_shown
) -> PlacedCall:
    """Place recordings as a call, and return when it has ended; `speed` times as fast as they were spoken.

    `secret` signs the handshake as Twilio does.

    Raise CallNotPlaced, AudioError, or ConfigurationError for an address that no protocol has.
    """
    try:
        address = urlsplit(to)
        address.port  # noqa: B018  # raises for what is no number
    except ValueError:
        raise ConfigurationError("the door's address is no URL; give one as in audiosocket://HOST:PORT/UUID") from None
    if address.scheme not in PROTOCOLS:
        known = " or ".join(f"{each}://" for each in PROTOCOLS)
        raise ConfigurationError(f"the door's address begins with {known}")
    plan = CallPlan(files=files, address=address, pace=lambda: Pace(speed=speed), progress=progress, secret=secret)
    return asyncio.run(_placed(plan))


async def _placed(plan: CallPlan) -> PlacedCall:
    return await PROTOCOLS[plan.address.scheme](plan)
