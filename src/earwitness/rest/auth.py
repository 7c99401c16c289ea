"""Who asks: a bearer token, or a signature with the access keys that AWS's operations are signed with.

A token proves itself. A signature covers the body, so it is proved once that has arrived; before, only its key is
looked up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from earwitness.errors import Unauthorized
from earwitness.store.store import Store
from earwitness.wire.exchange import Principal, SigningKey
from earwitness.wire.messages import Request
from earwitness.wire.sigv4 import SignatureClaim, parse_authorization, verify

SIGNING_NAMES = ("chime", "earwitness")
"""Services that a signature may be for: ours, and the one that clients of AWS's operations sign for anyway."""

TOKEN_CHARACTERS_MIN, TOKEN_CHARACTERS_MAX = 40, 512
"""Ours have 47; the one of `serve --dev`, which everybody knows, has 4 and opens nothing elsewhere."""

FindKey: TypeAlias = Callable[[str], SigningKey | None]
"""The access key of an id; None when it is unknown or disabled."""

_UNKNOWN_TOKEN = "the bearer token is unknown or revoked; make one with `earwitness keys token`"  # noqa: S105  # a message
_UNKNOWN_KEY = "the access key is unknown or disabled; `earwitness keys list` shows the keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Who a request says that it comes from."""

    principal: Principal
    """The key or token, its account and its role."""

    region: str | None
    """The Region that it was signed for; None for a token, which has none."""

    claim: SignatureClaim | None = None
    """What has yet to be proved; None for a token."""

    secret: str = field(default="", repr=False)
    """What the claim is proved with."""


class Credentials:
    """Looks at the credentials of requests. Every call may raise StoreUnavailable, and may be made from any thread."""

    def __init__(
        self,
        store: Store,
        *,
        find_key: FindKey,
        clock: Callable[[], datetime],
        skew_seconds_max: float,
        token_characters_min: int = TOKEN_CHARACTERS_MIN,
    ) -> None:
        """`skew_seconds_max` is how far the time of a signed request may be from the clock's."""
        self._token_characters_min = token_characters_min
        self._store = store
        self._find_key = find_key
        self._clock = clock
        self._skew_seconds_max = skew_seconds_max

    def claimed(self, request: Request) -> Claimed:
        """Whose credentials a request shows. Unauthorized without any, and with unknown ones."""
        lines = request.header_values.get("authorization", [])
        if not lines:
            raise Unauthorized(
                "the request has no credentials; send `Authorization: Bearer TOKEN` (`earwitness keys token` makes "
                "one), or sign it"
            )
        scheme, _, rest = lines[0].strip().partition(" ")
        if scheme.lower() != "bearer":
            return self._signer(request)
        if len(lines) > 1:
            raise Unauthorized("the request has several Authorization headers; send one")
        return self._bearer(rest.strip())

    def prove(self, claimed: Claimed, request: Request) -> None:
        """Prove a claim, now that the body is there. Unauthorized when it does not hold."""
        if claimed.claim is None:
            return
        verify(
            request,
            claimed.claim,
            claimed.secret,
            now=self._clock(),
            skew_seconds=self._skew_seconds_max,
            services=SIGNING_NAMES,
        )

    def _fits(self, token: str) -> bool:
        return self._token_characters_min <= len(token) <= TOKEN_CHARACTERS_MAX

    def _bearer(self, token: str) -> Claimed:
        found = self._store.bearer_tokens.find(token) if self._fits(token) else None
        if found is None or found.state != "enabled":
            raise Unauthorized(_UNKNOWN_TOKEN)
        principal = Principal(key_id=found.token_id, account_id=found.account_id, role=found.role)
        return Claimed(principal=principal, region=None)

    def _signer(self, request: Request) -> Claimed:
        claim = parse_authorization(request)
        key = self._find_key(claim.access_key_id)
        if key is None:
            raise Unauthorized(_UNKNOWN_KEY)
        return Claimed(principal=key.principal, region=claim.region, claim=claim, secret=key.secret)
