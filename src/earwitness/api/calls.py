"""What stands behind the gateway: keys from the store, roles from the table, calls to the operations' handlers."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from starlette.types import Message, Receive

from earwitness.access.access import Access, require_role
from earwitness.access.caller import Caller
from earwitness.access.held_keys import HeldKey
from earwitness.api.context import ApiContext
from earwitness.api.operations import BY_NAME, TABLE, Called, Opened, why_not
from earwitness.api.put_media import linger
from earwitness.errors import NotServed
from earwitness.server.aws import OpenStreaming, SendChunk, Streaming, StreamingOperations
from earwitness.wire.exchange import Exchange, SigningKey
from earwitness.wire.serialize import Result

_HANDLERS = {name: row.handler for name, row in BY_NAME.items() if isinstance(row, Called)}


@dataclass(frozen=True, kw_only=True)
class Calls:
    """The operations of one server, as `wire.gateway.Operations` describes them."""

    context: ApiContext
    access: Access

    def find_key(self, key_id: str) -> SigningKey:
        return self.access.find_key(key_id)

    def authorise(self, exchange: Exchange) -> None:
        service, operation = _name(exchange)
        row = BY_NAME.get((service, operation))
        if row is None:
            raise NotServed(f"{operation} {why_not(service, operation)}; docs/parity.md lists what earwitness serves")
        require_role(exchange.principal, operation, row.roles)

    def is_quick(self, exchange: Exchange) -> bool:
        return BY_NAME[_name(exchange)].quick

    def call(self, exchange: Exchange) -> Result:
        return _HANDLERS[_name(exchange)](self.context, caller_of(exchange), exchange.params)

    def streaming(self) -> StreamingOperations:
        """Return what opens the operations that are streams, by operation."""

        def opening(row: Opened) -> OpenStreaming:
            return lambda exchange: self._open(row, exchange)

        return {row.operation: opening(row) for row in TABLE if isinstance(row, Opened)}

    async def _open(self, row: Opened, exchange: Exchange) -> Streaming:
        with ExitStack() as holding:
            held = holding.enter_context(self.access.held_keys.holding(exchange.principal))
            streaming = await row.handler(self.context, caller_of(exchange), exchange.params)
            holding.callback(streaming.close)
            return HeldStreaming(streaming, held, release=holding.pop_all().close)

    def refused(self, exchange: Exchange, *, fault: str) -> None:
        self.access.record_refusal(caller_of(exchange), fault)


class HeldStreaming:
    """A stream that ends with the key that opened it: to the operation its client has hung up then.

    AWS has no word for it in the answer. A client that comes again is told why it is refused.
    """

    def __init__(self, streaming: Streaming, held: HeldKey, *, release: Callable[[], None]) -> None:
        """`release` lets both go."""
        self.content_type = streaming.content_type
        self.close = release
        self._streaming = streaming
        self._held = held

    async def run(self, receive: Receive, send_chunk: SendChunk) -> None:
        async def receive_while_held() -> Message:
            return await self._held.unless_it_ends(receive) or {"type": "http.disconnect"}

        await self._streaming.run(receive_while_held, send_chunk)
        if self._held.has_ended:
            await linger(receive)


def caller_of(exchange: Exchange) -> Caller:
    """Return the caller of an exchange that was authenticated and routed."""
    return Caller(
        principal=exchange.principal,
        region=exchange.claim.region,
        operation=exchange.route.operation.name,
        request_id=exchange.request_id,
        endpoint=exchange.endpoint,
    )


def _name(exchange: Exchange) -> tuple[str, str]:
    return exchange.route.service.name, exchange.route.operation.name
