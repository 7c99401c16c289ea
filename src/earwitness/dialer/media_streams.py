"""A call by a WebSocket of Twilio's shape: `wss://HOST/doors/CONNECTOR/twilio`, signed, or with the token in the path.

Messages are those of twilio.com/docs/voice/media-streams/websocket-messages: JSON, G.711 µ-law at 8 kHz in base64, a
track for each leg.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection

from earwitness.audio.pcm import encode_mulaw
from earwitness.dialer.plan import CallPlan, PlacedCall
from earwitness.dialer.speech import CHUNK_SECONDS, CallSpeech
from earwitness.dialer.web_socket import dialled
from earwitness.voice.connector import DoorSecret

RATE = 8_000
TRACKS = ("inbound", "outbound")
"""The caller's, and that of who is called."""


def signature_of(url: str, token: str) -> str:
    """Return what Twilio signs a handshake with (twilio.com/docs/usage/security): HMAC-SHA1 over the URL, in base64."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()


async def call_by_media_streams(plan: CallPlan) -> PlacedCall:
    """Place the call. Raise CallNotPlaced when the door is not there, refuses the call or ends it early."""
    speech = plan.speech(rate_of=lambda _: RATE, legs_max=len(TRACKS))
    call_id, stream_id = f"CA{secrets.token_hex(16)}", f"MZ{secrets.token_hex(16)}"
    token = plan.secrets.get(DoorSecret.TWILIO_AUTH_TOKEN, "")
    headers = {"X-Twilio-Signature": signature_of(plan.address.geturl(), token)} if token else {}
    async with dialled(plan, headers) as connection:
        await _talk(plan, speech, connection, call_id=call_id, stream_id=stream_id)
    return PlacedCall(call_id=call_id, seconds=speech.seconds, legs=len(speech.legs))


# `Any`: JSON.
async def _talk(
    plan: CallPlan, speech: CallSpeech, connection: ClientConnection, *, call_id: str, stream_id: str
) -> None:
    tracks = TRACKS[: len(speech.legs)]
    messages = _Messages(stream_id)
    await connection.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
    start = {
        "streamSid": stream_id,
        "accountSid": f"AC{'0' * 32}",
        "callSid": call_id,
        "tracks": tracks,
        "customParameters": {},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
    }
    await connection.send(messages.of("start", start=start))
    pace = plan.pace()
    for number, chunk in enumerate(speech.chunks()):
        for message in messages.media(number, dict(zip(tracks, chunk, strict=True))):
            await connection.send(message)
        spoken = (number + 1) * CHUNK_SECONDS
        plan.show(spoken, speech)
        await pace.until(spoken)
    await connection.send(messages.of("stop", stop={"accountSid": start["accountSid"], "callSid": call_id}))


class _Messages:
    """The messages of one stream, numbered. Numbers are text, as Twilio writes them."""

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id
        self._number = 0

    def of(self, event: str, **more: Any) -> str:  # `Any`: JSON
        """Return one message."""
        self._number += 1
        return json.dumps({"event": event, "sequenceNumber": str(self._number), "streamSid": self._stream_id, **more})

    def media(self, number: int, tracks: Mapping[str, NDArray[np.int16]]) -> Sequence[str]:
        """Return the messages of a chunk, one a track."""
        timestamp = round(1_000 * number * CHUNK_SECONDS)
        return [
            self.of(
                "media",
                media={
                    "track": track,
                    "chunk": str(number + 1),
                    "timestamp": str(timestamp),
                    "payload": base64.b64encode(encode_mulaw(samples)).decode(),
                },
            )
            for track, samples in tracks.items()
        ]
