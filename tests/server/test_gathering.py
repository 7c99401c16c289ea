"""What is written in one turn of the event loop leaves in one piece, in order, and nothing leaves after an abort."""

import asyncio

import pytest

from earwitness.server.protocol import GATHERED_BYTES_MAX, GatheringTransport


class Outlet(asyncio.Transport):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 50_000)})
        self.sent: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 3

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True


@pytest.fixture
def outlet() -> Outlet:
    return Outlet()


def in_a_turn(outlet: Outlet, *steps: str) -> GatheringTransport:
    """Write each text, or do what it names, in one turn; then let the loop turn."""

    async def turn() -> GatheringTransport:
        transport = GatheringTransport(outlet, asyncio.get_running_loop())
        for step in steps:
            getattr(transport, step)() if step in ("close", "abort") else transport.write(step.encode())
        await asyncio.sleep(0)
        return transport

    return asyncio.run(turn())


def test_one_turn_is_one_piece(outlet: Outlet) -> None:
    in_a_turn(outlet, "head ", "body ", "more")
    assert outlet.sent == [b"head body more"]


def test_each_turn_is_sent(outlet: Outlet) -> None:
    async def turns() -> None:
        transport = GatheringTransport(outlet, asyncio.get_running_loop())
        for piece in (b"1", b"2"):
            transport.write(piece)
            await asyncio.sleep(0)

    asyncio.run(turns())
    assert outlet.sent == [b"1", b"2"]


def test_much_is_passed_on_at_once(outlet: Outlet) -> None:
    async def one_turn() -> None:
        transport = GatheringTransport(outlet, asyncio.get_running_loop())
        transport.write(b"a")
        assert transport.get_write_buffer_size() == 4
        transport.write(b"b" * GATHERED_BYTES_MAX)
        assert outlet.sent == [b"a" + b"b" * GATHERED_BYTES_MAX]
        assert transport.get_write_buffer_size() == 3
        transport.write(b"c")
        await asyncio.sleep(0)

    asyncio.run(one_turn())
    assert outlet.sent[1:] == [b"c"]


def test_a_close_sends_first_and_an_abort_does_not(outlet: Outlet) -> None:
    assert in_a_turn(outlet, "answer", "close").is_closing()
    assert outlet.sent == [b"answer"]
    aborted = Outlet()
    in_a_turn(aborted, "answer", "abort")
    assert aborted.sent == []


def test_all_else_is_the_transports(outlet: Outlet) -> None:
    assert in_a_turn(outlet).get_extra_info("peername") == ("192.0.2.1", 50_000)
