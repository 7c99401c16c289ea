"""Clients' request tokens: the first request with a token creates, later ones get what it made.

Neither the token nor the request's digest lies in clear: a caller may put a phone number into either, and a plain hash
of one is found by trying all numbers.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from earwitness.store.columns import to_microseconds
from earwitness.store.records import Claim, Scope
from earwitness.store.schema import idempotency_tokens as table
from earwitness.store.session import Writing, in_scope

REMEMBERED = timedelta(hours=24)
"""How long a token is remembered, unless the caller says otherwise."""


class IdempotencyWriter:
    """Claims tokens. There is nothing to read outside a transaction."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    def claim(
        self,
        scope: Scope,
        *,
        operation: str,
        token: str,
        request: bytes,
        reference: str,
        remembered: timedelta = REMEMBERED,
    ) -> Claim:
        """Be the first with this token, or learn what the first one made.

        `request` is the request in any form that is equal for equal requests; `reference` is what will be made when
        this is the first. Call it before creating, in the same unit: of many at once, one creates and the others wait
        for it; when it fails, nothing is remembered.
        """
        session = self._writing.session
        token_digest = self._writing.digest_key.digest(token.encode(errors="surrogatepass"))
        request_digest = self._writing.digest_key.digest(request)
        mine = in_scope(table, scope), table.c.operation == operation, table.c.token_digest == token_digest
        oldest = to_microseconds(self._writing.now - remembered)
        session.change(delete(table).where(*mine, table.c.created_at < oldest))
        values = {
            "account_id": scope.account_id,
            "region": scope.region,
            "operation": operation,
            "token_digest": token_digest,
            "request_digest": request_digest,
            "reference": reference,
            "created_at": to_microseconds(self._writing.now),
        }
        if session.insert_new(table, values):
            return Claim(is_new=True, is_same_request=True, reference=reference)
        row = session.row(select(table.c.request_digest, table.c.reference).where(*mine))
        if row is None:  # PostgreSQL: it was purged between the two statements
            return self.claim(
                scope, operation=operation, token=token, request=request, reference=reference, remembered=remembered
            )
        return Claim(is_new=False, is_same_request=bytes(row[0]) == request_digest, reference=row[1])

    def purge(self, *, claimed_before: datetime) -> int:
        """Forget the tokens of all accounts that are older than this; how many there were."""
        statement = delete(table).where(table.c.created_at < to_microseconds(claimed_before))
        return self._writing.session.change(statement)
