"""What stands behind the gateway: keys from the store, roles from the table, calls to the resources' handlers."""

import logging
from collections.abc import Callable, Mapping
from functools import partial

from earwitness.access.caller import Caller, Handler
from earwitness.api.operations import BY_NAME, why_not
from earwitness.errors import Forbidden, NotServed, StoreUnavailable
from earwitness.store.store import Store, Unit
from earwitness.wire.exchange import Exchange, Principal, SigningKey
from earwitness.wire.serialize import Result

_log = logging.getLogger("earwitness.api")


class Calls:
    """The operations of one server, as the gateway calls them."""

    def __init__(
        self,
        *,
        store: Store,
        handlers: Mapping[tuple[str, str], Handler],
        in_background: Callable[[Callable[[], None]], None],
    ) -> None:
        """`handlers` by service and operation; `in_background` runs work that nobody waits for."""
        self._store = store
        self._handlers = dict(handlers)
        self._in_background = in_background

    def find_key(self, key_id: str) -> SigningKey | None:
        """As the gateway asks it."""
        key = self._store.access_keys.get(key_id)
        if key is None or key.state != "enabled":
            return None
        principal = Principal(key_id=key.key_id, account_id=key.account_id, role=key.role)
        return SigningKey(principal=principal, secret=key.secret)

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
        return self._handlers[_name(exchange)](caller_of(exchange), exchange.params)

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
            self._store.write(work)
        except StoreUnavailable as error:
            context = {"request_id": caller.request_id, "reason": str(error)}
            _log.error("a refusal is not in the audit trail", extra=context)


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
