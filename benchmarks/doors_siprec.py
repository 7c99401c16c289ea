"""SIPREC calls for `doors`: how a border controller brings a call, and media of two parties every 20 ms."""

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection

from earwitness.dialer.siprec import RATE, CallerDialog, SipClient, media_ports, offer_of

FRAMES = 50
"""Of a second."""

_SAMPLES = RATE // FRAMES
_PAYLOAD = bytes(range(_SAMPLES))


async def siprec_call(
    port: int, connector: str, sent: dict[tuple[str, int], float], began: float, *, seconds: int
) -> None:
    """Bring one call of two parties, who speak from `began` on. Into `sent`, when the last frame of a second went."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_datagram_endpoint(SipClient, remote_addr=("127.0.0.1", port))
    with closing(client.transport):
        dialog = CallerDialog(client, host="127.0.0.1", connector=connector)
        answer = await dialog.ask("INVITE", body=offer_of(client.address, 2))
        if answer.status != 200:
            raise RuntimeError(f"the door refused a call with {answer.status} {answer.reason}")
        dialog.tag = answer.headers.get("to") or ""
        await dialog.acknowledge()
        await siprec_media(media_ports(answer), sent, began, call_id=dialog.call_id, seconds=seconds)
        await dialog.ask("BYE")


async def siprec_media(
    ports: Sequence[int], sent: dict[tuple[str, int], float], began: float, *, call_id: str, seconds: int
) -> None:
    """Send mu-law over RTP (RFC 3550) to each port, without asking anybody."""
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port)) for port in ports
    ]
    media = [(transport, secrets.token_bytes(4)) for transport, _ in opened]
    for place in range(seconds * FRAMES):
        await asyncio.sleep(max(0.0, began + place / FRAMES - time.perf_counter()))
        head = b"\x80\x00" + place.to_bytes(2) + (place * _SAMPLES).to_bytes(4)
        for transport, source in media:
            transport.sendto(head + source + _PAYLOAD)
        if place % FRAMES == FRAMES - 1:
            sent[call_id, place // FRAMES] = time.time()
    for transport, _ in media:
        transport.close()


def ports_of_sink(port: int) -> list[int]:
    """Return the UDP ports at which the sink throws away what comes."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/media")
        return list(map(int, json.load(connection.getresponse())))
