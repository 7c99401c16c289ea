"""A call by AudioSocket, as Asterisk makes one: `audiosocket://HOST:PORT/UUID`."""

import asyncio
from contextlib import suppress

from earwitness.dialer.plan import CONNECT_SECONDS_MAX, END_SECONDS_MAX, CallPlan, PlacedCall
from earwitness.dialer.speech import CHUNK_SECONDS, CallSpeech
from earwitness.doors.audiosocket import HANG_UP, TYPE_OF_RATE, write_audio, write_identity
from earwitness.errors import BadRequest, CallNotPlaced, ConfigurationError
from earwitness.voice.call import RATES

_REFUSED = (
    "the door hung up before the call was over: the UUID must be one that was announced and has not come yet; "
    "`earwitness doors` says why calls are refused"
)


async def call_by_audiosocket(plan: CallPlan) -> PlacedCall:
    """Place the call. Raise CallNotPlaced when the door is not there or hangs up, ConfigurationError without a UUID."""
    call_id = plan.address.path.strip("/")
    try:
        identity = write_identity(call_id)
    except BadRequest as error:
        raise ConfigurationError(f"{error}, after the address: audiosocket://127.0.0.1:9092/UUID") from None
    speech = plan.speech(rate_of=_rate_of, legs_max=1)
    reader, writer = await _connected(plan)
    hung_up = asyncio.create_task(reader.read())
    try:
        writer.write(identity)
        await _talk(plan, speech, writer, hung_up)
        writer.write(HANG_UP)
        await writer.drain()
        with suppress(TimeoutError, ConnectionError):  # what was sent is there
            async with asyncio.timeout(END_SECONDS_MAX):
                await hung_up
    except ConnectionError as error:
        raise CallNotPlaced(_REFUSED) from error
    finally:
        writer.close()
        hung_up.cancel()
        await asyncio.gather(hung_up, return_exceptions=True)  # asyncio prints what nobody asks for, as a reset
    return PlacedCall(call_id=call_id, seconds=speech.seconds, legs=1)


async def _connected(plan: CallPlan) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if plan.address.hostname is None or plan.address.port is None:
        raise ConfigurationError("the door's address has no host or port; give audiosocket://127.0.0.1:9092/UUID")
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            return await asyncio.open_connection(plan.address.hostname, plan.address.port)
    except (OSError, TimeoutError) as error:
        raise CallNotPlaced(
            f"nothing takes AudioSocket at {plan.address.hostname} port {plan.address.port}; set "
            "EARWITNESS_AUDIOSOCKET where the service runs"
        ) from error


async def _talk(
    plan: CallPlan, speech: CallSpeech, writer: asyncio.StreamWriter, hung_up: "asyncio.Task[bytes]"
) -> None:
    """Send the audio in time. Raise CallNotPlaced when the other side hangs up meanwhile."""
    pace = plan.pace()
    for number, (chunk,) in enumerate(speech.chunks()):
        if hung_up.done():
            raise CallNotPlaced(_REFUSED)
        writer.write(write_audio(chunk.tobytes(), rate=speech.rate))
        await writer.drain()
        spoken = (number + 1) * CHUNK_SECONDS
        plan.show(spoken, speech)
        await pace.until(spoken)


def _rate_of(rate: int) -> int:
    """Return what a recording's rate is sent as: itself where the protocol has it, else 8 kHz."""
    return rate if rate in TYPE_OF_RATE and rate in RATES else 8_000
