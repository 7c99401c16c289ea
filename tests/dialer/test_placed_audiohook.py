"""Recordings placed as sessions of Genesys AudioHook at a real server."""

import asyncio
import base64
import json
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door_world import eventually, fragments_of, samples_of
from socket_world import World, served
from websockets.asyncio.server import ServerConnection, serve

from earwitness.audio.pcm import Encoding, decode, encode_mulaw
from earwitness.dialer.place import place_call, signing_secrets
from earwitness.dialer.plan import PlacedCall
from earwitness.errors import CallNotPlaced, ConfigurationError
from earwitness.voice.connector import DoorSecret

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SECRETS = {
    DoorSecret.AUDIOHOOK_API_KEY: "the-key",
    DoorSecret.AUDIOHOOK_CLIENT_SECRET: base64.b64encode(b"client secret").decode(),
}
SECONDS = 6
"""So long that a second ping is sent."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with served(tmp_path) as world:
        world.know(SECRETS)
        yield world


def recording(folder: Path, *, channels: int = 2) -> tuple[Path, np.ndarray]:
    """A file, and its samples by channel."""
    samples = np.random.default_rng(1).integers(-9_000, 9_000, (SECONDS * 8_000, channels)).astype("<i2")
    file = folder / "call.wav"
    with wave.open(str(file), "wb") as written:
        written.setparams((channels, 2, 8_000, 0, "NONE", ""))
        written.writeframes(samples.tobytes())
    return file, samples.T


@pytest.mark.parametrize("labels", [("external", "internal"), ("external",)])
async def test_a_recording_is_placed_to_the_sample(tmp_path: Path, world: World, labels: tuple[str, ...]) -> None:
    file, samples = recording(tmp_path, channels=len(labels))
    placed = await asyncio.to_thread(place_call, [file], to=world.url("genesys"), speed=50.0, secrets=SECRETS)
    assert placed == PlacedCall(call_id=placed.call_id, seconds=SECONDS, legs=len(labels))
    await eventually(lambda: world.desk.ended)
    assert not world.desk.ended["transaction-1"].failed
    started, door = world.desk.started[0]
    assert (started.call_id, door) == (placed.call_id, "genesys")
    assert [(leg.label, leg.is_caller) for leg in started.legs] == [(each, each == "external") for each in labels]
    for label, spoken in zip(labels, samples, strict=True):
        kept = samples_of(await fragments_of(world.audio(label)))
        np.testing.assert_array_equal(kept, decode(Encoding.MULAW, encode_mulaw(spoken)))


async def test_a_session_without_its_signature_or_with_another_is_refused(tmp_path: Path, world: World) -> None:
    file, _ = recording(tmp_path)
    wrong = {**SECRETS, DoorSecret.AUDIOHOOK_CLIENT_SECRET: base64.b64encode(b"another").decode()}
    for secrets in ({}, wrong):
        with pytest.raises(CallNotPlaced, match="status 403"):
            await asyncio.to_thread(place_call, [file], to=world.url("genesys"), secrets=secrets)
    no_base64 = {**SECRETS, DoorSecret.AUDIOHOOK_CLIENT_SECRET: "a secret!"}
    with pytest.raises(ConfigurationError, match="base64") as told:
        await asyncio.to_thread(place_call, [file], to=world.url("genesys"), secrets=no_base64)
    assert "a secret!" not in str(told.value)
    assert not world.desk.started


def message(kind: str, seq: int, **parameters: Any) -> dict[str, Any]:
    return {"version": "2", "type": kind, "seq": seq, "clientseq": 1, "parameters": parameters}


@asynccontextmanager
async def answering(*answers: Any) -> AsyncGenerator[str]:
    """A door that answers the first message with these; texts and bytes are sent as they are."""

    async def answer(connection: ServerConnection) -> None:
        session = json.loads(await connection.recv())["id"]
        for each in answers:
            await connection.send(json.dumps({**each, "id": session}) if isinstance(each, dict) else each)
        await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/doors/x/genesys"


STEREO = {"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([message("disconnect", 1, reason="error", info="it stops")], "it stops"),
        ([message("event", 1), message("reconnect", 2)], "no reason given"),
        ([message("opened", 1, media=[])], "other media"),
        ([message("opened", 1, media=[STEREO]), message("pong", 3)], "in its order"),
        (["hello"], "does not speak AudioHook"),
        ([b"hello"], "does not speak AudioHook"),
        (["[]"], "does not speak AudioHook"),
    ],
)
async def test_a_door_that_ends_the_session_or_speaks_otherwise(tmp_path: Path, answers: list[Any], told: str) -> None:
    file, _ = recording(tmp_path)
    async with answering(*answers) as url:
        with pytest.raises(CallNotPlaced, match=told):
            await asyncio.to_thread(place_call, [file], to=url)


async def test_a_door_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = recording(tmp_path)
    async with answering(message("opened", 1, media=[STEREO])) as url:
        monkeypatch.setattr("earwitness.dialer.audiohook.CONNECT_SECONDS_MAX", 0.5)
        with pytest.raises(CallNotPlaced, match="does not answer"):
            await asyncio.to_thread(place_call, [file], to=url)


def test_what_each_address_is_signed_with() -> None:
    assert signing_secrets("wss://host:4500/doors/x/genesys") == tuple(SECRETS)
    assert signing_secrets("wss://host/prefix/doors/x/genesys?a=b") == tuple(SECRETS)
    assert signing_secrets("ws://host/doors/x/twilio/genesys") == (DoorSecret.TWILIO_AUTH_TOKEN,)
    for unsigned in ("siprec://host/x", "audiosocket://host:1/x", "http://host/"):
        with pytest.raises(ConfigurationError):
            signing_secrets(unsigned)
    with pytest.raises(ConfigurationError, match="no host"):
        signing_secrets("wss:///doors/x/genesys")
