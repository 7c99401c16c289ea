"""The seam to operations whose request or answer is a stream: what the server needs of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from starlette.types import Receive

from earwitness.wire.exchange import Exchange

Say: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends bytes as one HTTP chunk of the answer. Raises ClientDisconnect when the client has hung up."""


class Streaming(Protocol):
    """An operation that has passed its checks; what comes now is its stream."""

    content_type: str
    """Of the answer."""

    async def run(self, receive: Receive, say: Say) -> None:
        """Take and give what there is, until the end. The answer has begun with its status; there are no errors now."""
        ...

    def close(self) -> None:
        """Let go of what was taken when it was opened. Called once, whether it ran or not."""
        ...


OpenStreaming: TypeAlias = Callable[[Exchange], Awaitable[Streaming]]
"""Opens an operation whose parameters are parsed and validated; raises what operations raise."""

StreamingOperations: TypeAlias = Mapping[str, OpenStreaming]
"""By operation."""
