"""Who asks, and what they may do: keys, bearer tokens, roles, and the audit trail of refusals, the same for both APIs.

A token proves itself. A signature covers the body, so it is proved once that has arrived; before, only its key is
looked up. Every call may raise StoreUnavailable and may be made from any thread.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from earwitness.access.caller import Caller
from earwitness.access.held_keys import HeldKeys
from earwitness.errors import Forbidden, StoreUnavailable, Unauthorized
from earwitness.store.store import Store, Unit
from earwitness.wire.exchange import Principal, SigningKey
from earwitness.wire.messages import Request
from earwitness.wire.sigv4 import SignatureClaim, parse_authorization, verify

SIGNING_NAMES = ("chime", "earwitness")
"""Services that a signature of the JSON API may be for: ours, and the one that clients of AWS's operations sign for
anyway."""

TOKEN_CHARACTERS_MIN, TOKEN_CHARACTERS_MAX = 40, 512
"""Ours have 47; the one of `serve --dev`, which everybody knows, has 4 and opens nothing elsewhere."""

_UNKNOWN_TOKEN = "the bearer token is unknown or revoked; make one with `earwitness keys token`"  # noqa: S105  # a message

_log = logging.getLogger("earwitness.access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Who a request says that it comes from."""

    principal: Principal
    #: The Region that it was signed for; None for a token, which has none.
    region: str | None = None
    #: What has yet to be proved; None for a token.
    claim: SignatureClaim | None = None
    #: What the claim is proved with.
    secret: str = field(default="", repr=False)


class Access:
    """Keys, tokens and roles of one server."""

    def __init__(
        self,
        store: Store,
        *,
        in_background: Callable[[Callable[[], None]], None],
        clock: Callable[[], datetime],
        skew_seconds_max: float,
        token_characters_min: int = TOKEN_CHARACTERS_MIN,
        refused_secret: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`in_background` runs work that nobody waits for. `skew_seconds_max` is how far the time of a signed request
        may be from the clock's. Shorter tokens than `token_characters_min` are not looked up, and a key with
        `refused_secret`, which everybody knows, opens nothing. A rotated key's grace is counted by `monotonic`.
        """
        self.held_keys = HeldKeys(store, monotonic=monotonic)
        """Connections that last, by the keys that opened them."""

        self._store = store
        self._in_background = in_background
        self._clock = clock
        self._skew_seconds_max = skew_seconds_max
        self._token_characters_min = token_characters_min
        self._refused_secret = refused_secret

    def find_key(self, key_id: str) -> SigningKey:
        """Return the key that signs under an id. Raise Unauthorized when it is unknown or disabled."""
        key = self._store.access_keys.get(key_id)
        if key is None or key.state != "enabled" or key.secret == self._refused_secret:
            raise Unauthorized("the access key is unknown or disabled; `earwitness keys list` shows the keys")
        principal = Principal(key_id=key.key_id, account_id=key.account_id, role=key.role, version=key.version)
        return SigningKey(principal=principal, secret=key.secret)

    def claimed(self, request: Request) -> Claimed:
        """Return whose credentials a request of the JSON API shows. Raise Unauthorized without any, and for unknown
        ones."""
        lines = request.header_values.get("authorization", [])
        if not lines:
            raise Unauthorized(
                "the request has no credentials; send `Authorization: Bearer TOKEN` (`earwitness keys token` makes "
                "one), or sign it"
            )
        scheme, _, rest = lines[0].strip().partition(" ")
        if scheme.lower() != "bearer":
            claim = parse_authorization(request)
            key = self.find_key(claim.access_key_id)
            return Claimed(principal=key.principal, region=claim.region, claim=claim, secret=key.secret)
        if len(lines) > 1:
            raise Unauthorized("the request has several Authorization headers; send one")
        return Claimed(principal=self.bearer(rest.strip()))

    def bearer(self, token: str) -> Principal:
        """Return who shows a bearer token. Raise Unauthorized for one that is unknown or revoked."""
        fits = self._token_characters_min <= len(token) <= TOKEN_CHARACTERS_MAX
        found = self._store.bearer_tokens.find(token) if fits else None
        if found is None or found.state != "enabled":
            raise Unauthorized(_UNKNOWN_TOKEN)
        return Principal(key_id=found.token_id, account_id=found.account_id, role=found.role)

    def holder(self, account_id: str, token_id: str) -> Principal:
        """Return who showed this bearer token before. Raise Unauthorized when it was revoked since."""
        found = self._store.bearer_tokens.get(account_id, token_id)
        if found is None or found.state != "enabled":
            raise Unauthorized(_UNKNOWN_TOKEN)
        return Principal(key_id=found.token_id, account_id=found.account_id, role=found.role)

    def prove(self, claimed: Claimed, request: Request, *, body_sha256: str) -> None:
        """Prove a claim, now that the body is there. Raise Unauthorized when it does not hold."""
        if claimed.claim is not None:
            verify(
                request,
                claimed.claim,
                claimed.secret,
                now=self._clock(),
                skew_seconds=self._skew_seconds_max,
                services=SIGNING_NAMES,
                body_sha256=body_sha256,
            )

    def record_refusal(self, caller: Caller, outcome: str) -> None:
        """Write a refusal to the audit trail, without the refused having to wait for it."""
        self._in_background(partial(self._record_refusal, caller, outcome))

    def _record_refusal(self, caller: Caller, outcome: str) -> None:
        def work(unit: Unit) -> None:
            unit.audit.append(
                caller.scope,
                key_id=caller.principal.key_id,
                operation=caller.operation,
                resource_arn="",
                outcome=outcome,
                request_id=caller.request_id,
            )

        try:
            self._store.write(work)
        except StoreUnavailable as error:
            context = {"request_id": caller.request_id, "reason": str(error)}
            _log.error("a refusal is not in the audit trail", extra=context)


def require_role(principal: Principal, operation: str, roles: Collection[str]) -> None:
    """Raise Forbidden when the role of a key is none of those that may call an operation."""
    role = principal.role
    if role not in roles:
        wanted = " or ".join(sorted(roles))
        raise Forbidden(f"a key of role {role} may not call {operation}; use a key or token of role {wanted}")
