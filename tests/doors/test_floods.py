"""What happens at one door is nothing to the calls of another."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from socket import create_connection

import numpy as np
import pytest
from door_world import VirtualTime, eventually, fragments_of, samples_of
from socket_world import SECRET, TWILIO_STOP, send_all, served, twilio_media, twilio_start

from earwitness.audio.pcm import Encoding, decode
from earwitness.doors.audiosocket_door import AudioSocketDoor

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CHUNKS = 100
HALF_OPEN_A_CHUNK = 4


async def test_half_open_connections_at_one_door_cost_a_call_at_another_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.doors.leg.LATE_SECONDS", 3_600.0)  # a busy machine is no silence
    said = {"inbound": b"", "outbound": b""}
    async with served(tmp_path) as world:
        flooded = AudioSocketDoor(
            world.desk, host="127.0.0.1", port=0, clock=VirtualTime().clock, connections_max=CHUNKS
        )
        await flooded.open()
        _, host, port = flooded.addresses[0]
        with ExitStack() as flood:
            async with world.dial("twilio") as client:
                await send_all(client, twilio_start(token=SECRET))
                for chunk in range(1, CHUNKS + 1):
                    for number in range(HALF_OPEN_A_CHUNK):
                        half_open = flood.enter_context(create_connection((host, port)))
                        half_open.send(b"\x01"[: number % 2])  # a word that is not ended, or none
                    for track, data in (("inbound", bytes([chunk]) * 160), ("outbound", bytes([127 + chunk]) * 160)):
                        said[track] += data
                        await client.send(twilio_media(data, chunk=chunk, track=track))
                    await asyncio.sleep(0)
                await eventually(lambda: sum(flooded.refused.values()) >= CHUNKS)
                await client.send(TWILIO_STOP)
                await eventually(lambda: world.desk.ended)
        for track, data in said.items():
            kept = samples_of(await fragments_of(world.audio(track)))
            np.testing.assert_array_equal(kept, decode(Encoding.MULAW, data))
        assert not world.desk.ended["transaction-1"].failed
        assert len(world.desk.started) == 1
        await flooded.close()
