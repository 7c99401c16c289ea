"""A request with a ClientRequestToken takes effect once, however often it is sent.

Same token and same parameters within 24 hours: what the first request made, again. Other parameters: TokenReused. Of
many at once, one creates and the others wait for it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from earwitness.access.caller import Caller
from earwitness.errors import NotFound, TokenReused
from earwitness.store.store import Unit
from earwitness.wire.scalars import Params

RecordT = TypeVar("RecordT")


def once(
    unit: Unit,
    caller: Caller,
    params: Params,
    *,
    reference: str,
    create: Callable[[], RecordT],
    find: Callable[[str], RecordT | None],
    within: str = "",
) -> RecordT:
    """Return what `create` makes, or what an earlier request with this token made.

    `reference` names what is to be made; `find` finds it by that name. Tags and audit belong into `create`. Tokens are
    told apart by account, Region, operation, and the resource `within` which something is made.
    """
    token: str | None = params.get("ClientRequestToken")
    if token is None:
        return create()
    claim = unit.idempotency.claim(
        caller.scope,
        operation=f"{caller.operation} {within}".rstrip(),
        token=token,
        request=_canonical(params),
        reference=reference,
    )
    if claim.is_new:
        return create()
    if not claim.is_same_request:
        raise TokenReused("this ClientRequestToken came with another request before; use a new one for a new request")
    found = find(claim.reference)
    if found is None:
        raise NotFound("what the first request with this ClientRequestToken made is deleted; use a new token")
    return found


def _canonical(params: Mapping[str, Any]) -> bytes:  # `Any`: parsed parameters, as the wire room gives them
    return json.dumps(params, sort_keys=True, default=str).encode(errors="surrogatepass")
