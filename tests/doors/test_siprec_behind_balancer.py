"""A recording server among several, behind what hands INVITEs out: all else comes to the node that answered."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from door_world import eventually
from siprec_examples import ExampleCall, UdpClient, description, document, multipart
from test_siprec_door import begun, world_of

pytestmark = pytest.mark.anyio

OFFER = multipart(description(), document())
EVERYWHERE = "0.0.0.0"  # noqa: S104  # as a node in a container listens


class _Side(asyncio.DatagramProtocol):
    """One socket of a balancer: what comes goes out at the other one."""

    def __init__(self) -> None:
        self.other: _Side
        self.transport: Any = None
        self.peer: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.peer = addr
        self.other.transport.sendto(data, self.other.peer)


async def balancer(node: tuple[str, int]) -> tuple[_Side, _Side]:
    loop = asyncio.get_running_loop()
    _, front = await loop.create_datagram_endpoint(_Side, local_addr=("127.0.0.1", 0))
    _, back = await loop.create_datagram_endpoint(_Side, local_addr=("127.0.0.1", 0))
    front.other, back.other, back.peer = back, front, node
    return front, back


async def test_contact_via_and_media_are_the_nodes(tmp_path: Path) -> None:
    async with world_of(tmp_path, plain=(EVERYWHERE, 0)) as world:
        node = ("127.0.0.1", world.address[1])
        sides = await balancer(node)
        client = await UdpClient.open(sides[0].transport.get_extra_info("sockname")[:2])
        first, second = ExampleCall(), ExampleCall()
        answer = await begun(client, first)
        assert answer.headers["contact"] == f"<sip:srs@127.0.0.1:{node[1]}>;+sip.srs"
        assert "c=IN IP4 127.0.0.1\r\n" in answer.body
        await begun(client, second)
        direct = await UdpClient.open(node)
        assert (await direct.ask(first.request("BYE"))).status == 200
        await world.door.close()
        await eventually(lambda: client.requests)
        (goodbye,) = client.requests
        assert goodbye.start.startswith("BYE ")
        assert goodbye.headers["via"].startswith(f"SIP/2.0/UDP 127.0.0.1:{node[1]};")
        for each in (client, direct, *sides):
            each.transport.close()
