"""What is kept of requests themselves: clients' request tokens, and the audit trail.

The first request with a token creates, later ones get what it made. Neither the token nor the request's digest lies in
clear: a caller may put a phone number into either, and a plain hash of one is found by trying all numbers. The audit
trail is appended in the transaction of the change that it reports, and never altered.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import insert

from earwitness.store.records import AuditEntry, Page, PageKey, Scope, TokenClaim
from earwitness.store.repository import Reader, Writer, in_scope, record, select_in_scope
from earwitness.store.schema import audit_entries, idempotency_tokens

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


class AuditReader(Reader):
    """What can be read of the trail."""

    def list(self, scope: Scope, *, after: PageKey | None = None, limit: int) -> Page[AuditEntry]:
        """Return the newest first."""
        return self._page(
            partial(record, AuditEntry),
            select_in_scope(audit_entries, scope),
            order=(audit_entries.c.entry_id,),
            after=after,
            limit=limit,
            newest_first=True,
        )


class AuditWriter(Writer, AuditReader):
    """What can be added to the trail, and when it is forgotten."""

    def append(
        self, scope: Scope, *, key_id: str, operation: str, resource_arn: str, outcome: str, request_id: str
    ) -> None:
        """Say who did what, or was refused what, now."""
        entry = insert(audit_entries).values(
            **asdict(scope),
            time=self._now,
            key_id=key_id,
            operation=operation,
            resource_arn=resource_arn,
            outcome=outcome,
            request_id=request_id,
        )
        self._writing.session.change(entry)
        self._writing.audited.append(key_id)

    def purge(self, *, before: datetime) -> int:
        """Forget what all accounts did before this time; return how many entries there were."""
        return self._delete(audit_entries, audit_entries.c.time < before)
