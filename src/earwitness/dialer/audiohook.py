"""A call as Genesys AudioHook makes one: `wss://HOST/doors/CONNECTOR/genesys`, with a signed handshake.

Open, mu-law of one or two channels with a ping now and then, close; each waits for its answer.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Mapping
from urllib.parse import SplitResult

from websockets.asyncio.client import ClientConnection
from websockets.headers import build_host
from websockets.uri import parse_uri

from earwitness.audio.pcm import encode_mulaw
from earwitness.dialer.plan import CONNECT_SECONDS_MAX, END_SECONDS_MAX, CallPlan, PlacedCall
from earwitness.dialer.speech import CHUNK_SECONDS, CallSpeech
from earwitness.dialer.web_socket import dialled
from earwitness.doors.audiohook import RATE, AudioHookClient
from earwitness.doors.proof import audiohook_signature
from earwitness.errors import BadRequest, CallNotPlaced, ConfigurationError
from earwitness.voice.connector import DoorSecret

CHANNELS = ("external", "internal")
"""The customer's, who calls, and the agent's."""

_CHUNKS_OF_A_PING = 250
"""Five seconds of audio, as often as Genesys asks."""


async def call_by_audiohook(plan: CallPlan) -> PlacedCall:
    """Place the call. Raise CallNotPlaced when the door is not there, refuses the call or ends it early.

    Raise ConfigurationError for a client secret that cannot be one.
    """
    speech = plan.speech(rate_of=lambda _: RATE, legs_max=len(CHANNELS))
    client = AudioHookClient(
        session=str(uuid.uuid4()), organization=str(uuid.uuid4()), channels=CHANNELS[: len(speech.legs)]
    )
    call_id = str(uuid.uuid4())
    async with dialled(plan, signed_headers(plan.address, client, plan.secrets)) as connection:
        await connection.send(client.open(call_id))
        await _answer("opened", connection, client, seconds=CONNECT_SECONDS_MAX)
        await _talk(plan, speech, connection, client)
        await connection.send(client.close())
        await _answer("closed", connection, client, seconds=END_SECONDS_MAX)
    return PlacedCall(call_id=call_id, seconds=speech.seconds, legs=len(speech.legs))


async def _talk(plan: CallPlan, speech: CallSpeech, connection: ClientConnection, client: AudioHookClient) -> None:
    pace = plan.pace()
    for number, chunk in enumerate(speech.chunks()):
        if number % _CHUNKS_OF_A_PING == 0:
            await connection.send(client.ping())
            await _answer("pong", connection, client, seconds=CONNECT_SECONDS_MAX)
        await connection.send(client.audio([encode_mulaw(samples) for samples in chunk]))
        spoken = (number + 1) * CHUNK_SECONDS
        plan.show(spoken, speech)
        await pace.until(spoken)


async def _answer(kind: str, connection: ClientConnection, client: AudioHookClient, *, seconds: float) -> None:
    """Wait for an answer. Raise CallNotPlaced when the door says something that ends the call, or nothing in time."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                told, parameters = client.receive(await connection.recv())
                if told == kind:
                    return
                if told in ("disconnect", "reconnect", "closed"):
                    raise CallNotPlaced(f"the door ended the call: {parameters.get('info') or 'no reason given'}")
    except TimeoutError:
        raise CallNotPlaced(f"the door does not answer with {kind}; it may be busy: try again") from None
    except BadRequest as error:
        raise CallNotPlaced(f"the door does not speak AudioHook: {error}; look at the address") from error


def signed_headers(address: SplitResult, client: AudioHookClient, secret: Mapping[DoorSecret, str]) -> dict[str, str]:
    """Return what Genesys sends with its handshake; signed when there is a key and a secret."""
    key, shared = secret.get(DoorSecret.AUDIOHOOK_API_KEY, ""), secret.get(DoorSecret.AUDIOHOOK_CLIENT_SECRET, "")
    headers = {
        "audiohook-organization-id": client.organization,
        "audiohook-session-id": client.session,
        "audiohook-correlation-id": str(uuid.uuid4()),
    }
    if not (key and shared):
        return headers
    headers["x-api-key"] = key
    dialled_at = parse_uri(address.geturl())
    authority = build_host(dialled_at.host, dialled_at.port, dialled_at.secure)
    nonce, created = secrets.token_urlsafe(16), int(time.time())
    try:
        return headers | audiohook_signature(
            headers, shared, authority=authority, target=dialled_at.resource_name, nonce=nonce, created=created
        )
    except BadRequest as error:
        raise ConfigurationError(str(error)) from None
