"""Ports for media: free ones are found, and nobody searches the whole range on the event loop."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from earwitness.doors.siprec.ports import TRIES_MAX, MediaPorts
from earwitness.errors import Unavailable

LOW = 45_000
SPARE = 3


@pytest.fixture
def others() -> Iterator[None]:
    """Another program has more ports than are tried for one line, and leaves a few behind them."""
    with ExitStack() as held:
        for number in range(TRIES_MAX + SPARE):
            taken = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            taken.bind(("127.0.0.1", LOW + 2 * number))
        yield


def test_ports_of_others_are_tried_for_a_while(others: None) -> None:
    ports = MediaPorts("127.0.0.1", low=LOW, high=LOW + 2 * (TRIES_MAX + SPARE) + 1)
    with pytest.raises(Unavailable):
        ports.open()
    found = ports.open()  # goes on behind those that were tried
    assert found.number == LOW + 2 * (TRIES_MAX + SPARE)
    found.close()


def test_ports_of_our_own_cost_no_try() -> None:
    low, count = 46_000, TRIES_MAX + 20
    ports = MediaPorts("127.0.0.1", low=low, high=low + 2 * count)
    opened = [ports.open() for _ in range(count)]
    with pytest.raises(Unavailable):
        ports.open()
    opened[1].close()
    again = ports.open()
    assert again.number == opened[1].number
    for each in (again, *opened[:1], *opened[2:]):
        each.close()
