"""What is kept of requests themselves: clients' request tokens.

The first request with a token creates, later ones get what it made. Neither the token nor the request's digest lies in
clear: a caller may put a phone number into either, and a plain hash of one is found by trying all numbers.
"""

from dataclasses import asdict
from datetime import datetime, timedelta

from earwitness.store.records import Scope, TokenClaim
from earwitness.store.repository import Writer, in_scope, select_in_scope
from earwitness.store.schema import idempotency_tokens

REMEMBERED = timedelta(hours=24)
"""How long a token is remembered, unless the caller says otherwise."""


class IdempotencyWriter(Writer):
    """Claims tokens. There is nothing to read outside a transaction."""

    def claim(
        self,
        scope: Scope,
        *,
        operation: str,
        token: str,
        request: bytes,
        reference: str,
        remembered: timedelta = REMEMBERED,
    ) -> TokenClaim:
        """Be the first with this token, or learn what the first one made.

        `request` is the request in any form that is equal for equal requests; `reference` is what will be made when
        this is the first. Call it before creating, in the same unit: of many at once, one creates and the others wait
        for it; when it fails, nothing is remembered.
        """
        digest = self._writing.digest_key.digest
        key = {"operation": operation, "token_digest": digest(token.encode(errors="surrogatepass"))}
        request_digest = digest(request)
        expired = idempotency_tokens.c.created_at < self._now - remembered
        self._delete(idempotency_tokens, in_scope(idempotency_tokens, scope, **key), expired)
        values = {"request_digest": request_digest, "reference": reference, "created_at": self._now}
        if self._writing.session.insert_new(idempotency_tokens, {**asdict(scope), **key, **values}):
            return TokenClaim(is_new=True, is_same_request=True, reference=reference)
        row = self._session.row(select_in_scope(idempotency_tokens, scope, **key))
        if row is None:  # PostgreSQL: it was purged between the two statements
            return self.claim(
                scope, operation=operation, token=token, request=request, reference=reference, remembered=remembered
            )
        is_same = row["request_digest"] == request_digest
        return TokenClaim(is_new=False, is_same_request=is_same, reference=row["reference"])

    def purge(self, *, claimed_before: datetime) -> int:
        """Forget the tokens of all accounts that are older than this; return how many there were."""
        return self._delete(idempotency_tokens, idempotency_tokens.c.created_at < claimed_before)
