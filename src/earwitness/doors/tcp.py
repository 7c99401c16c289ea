"""What all doors over TCP do with a connection: notice that the machine at its other end is gone."""

import asyncio
import socket

KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A minute after the other side is gone without a word, its connection is lost."""


def notice_death(transport: asyncio.BaseTransport) -> None:
    """Have the kernel ask a silent peer whether it lives. A leg on hold may be silent for hours, a dead machine too."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
