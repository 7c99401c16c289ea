"""What stands behind the gateway: keys from the store, roles from the table, calls to the resources' handlers."""

import logging
from collections.abc import Callable
from functools import partial

from earwitness.access.caller import Caller
from earwitness.api.context import ApiContext
from earwitness.api.operations import BY_NAME, TABLE, Called, Opened, why_not
from earwitness.errors import Forbidden, NotServed, StoreUnavailable
from earwitness.server.streaming import OpenStreaming, StreamingOperations
from earwitness.store.store import Store, Unit
from earwitness.wire.exchange import Exchange, Principal, SigningKey
from earwitness.wire.serialize import Result

_HANDLERS = {name: row.handler for name, row in BY_NAME.items() if isinstance(row, Called)}

_log = logging.getLogger("earwitness.api")


class Calls:
    """The operations of one server, as the gateway calls them."""

    def __init__(self, context: ApiContext, *, in_background: Callable[[Callable[[], None]], None]) -> None:
        """`in_background` runs work that nobody waits for."""
        self._context = context
        self._in_background = in_background

    def find_key(self, key_id: str) -> SigningKey | None:
        """As the gateway asks it."""
        return find_key(self._context.store, key_id)

    def authorise(self, exchange: Exchange) -> None:
        """As the gateway asks it."""
        name = _name(exchange)
        row = BY_NAME.get(name)
        if row is None:
            service, operation = name
            raise NotServed(f"{operation} {why_not(service, operation)}; docs/parity.md lists what earwitness serves")
        if exchange.principal.role not in row.roles:
            roles = " or ".join(sorted(row.roles))
            raise Forbidden(
                f"a key of role {exchange.principal.role} may not call {row.operation}; use a key of role {roles}"
            )

    def is_quick(self, exchange: Exchange) -> bool:
        """As the gateway asks it."""
        return BY_NAME[_name(exchange)].quick

    def call(self, exchange: Exchange) -> Result:
        """As the gateway asks it."""
        handler = _HANDLERS[_name(exchange)]
        return handler(self._context, caller_of(exchange), exchange.params)

    def streaming(self) -> StreamingOperations:
        """Return what opens the operations that are streams, by operation."""

        def opening(row: Opened) -> OpenStreaming:
            return lambda exchange: row.handler(self._context, caller_of(exchange), exchange.params)

        return {row.operation: opening(row) for row in TABLE if isinstance(row, Opened)}

    def refused(self, exchange: Exchange, *, fault: str) -> None:
        """As the gateway asks it: a refusal goes into the audit trail, without the refused having to wait for it."""
        self._in_background(partial(self._record_refusal, caller_of(exchange), fault))

    def _record_refusal(self, caller: Caller, fault: str) -> None:
        def work(unit: Unit) -> None:
            unit.audit.append(
                caller.scope,
                key_id=caller.principal.key_id,
                operation=caller.operation,
                resource_arn="",
                outcome=fault,
                request_id=caller.request_id,
            )

        try:
            self._context.store.write(work)
        except StoreUnavailable as error:
            context = {"request_id": caller.request_id, "reason": str(error)}
            _log.error("a refusal is not in the audit trail", extra=context)


def find_key(store: Store, key_id: str) -> SigningKey | None:
    """Return the access key of an id; None when it is unknown or disabled."""
    key = store.access_keys.get(key_id)
    if key is None or key.state != "enabled":
        return None
    principal = Principal(key_id=key.key_id, account_id=key.account_id, role=key.role)
    return SigningKey(principal=principal, secret=key.secret)


def caller_of(exchange: Exchange) -> Caller:
    """The caller of an exchange that was authenticated and routed."""
    return Caller(
        principal=exchange.principal,
        region=exchange.claim.region,
        operation=exchange.route.operation.name,
        request_id=exchange.request_id,
        endpoint=exchange.endpoint,
    )


def _name(exchange: Exchange) -> tuple[str, str]:
    return exchange.route.service.name, exchange.route.operation.name
