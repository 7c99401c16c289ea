"""Sign-ins of the console that were ended before their time. The sign-ins themselves are nowhere: browsers keep them.

An ended one is a claim like that of a client's request token: written once, found by a keyed digest on every node, and
forgotten after a day, when a sign-in has long been over by itself.
"""

from collections.abc import Collection

from sqlalchemy import select

from earwitness.store.records import Scope
from earwitness.store.repository import Reader, Writer
from earwitness.store.request_records import IdempotencyWriter
from earwitness.store.schema import idempotency_tokens
from earwitness.store.session import StoreSession
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault

_OPERATION = "ConsoleSignOut"
_REGION = "us-east-1"
"""Sign-ins belong to none; this is where AWS's console has them too."""


class EndedSessionReader(Reader):
    """Which sign-ins were ended."""

    def __init__(self, session: StoreSession, vault: Vault, *, digest_key: DataKey) -> None:
        super().__init__(session, vault)
        self._digest_key = digest_key

    def among(self, sessions: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those that were ended of (account, session id), with one query."""
        if not sessions:
            return set()
        digests = {
            self._digest_key.digest(session_id.encode()): (account, session_id) for account, session_id in sessions
        }
        columns = idempotency_tokens.c
        found = select(columns.account_id, columns.token_digest).where(
            columns.account_id.in_(sorted({account for account, _ in sessions})),
            columns.region == _REGION,
            columns.operation == _OPERATION,
            columns.token_digest.in_(sorted(digests)),
        )
        return {digests[row["token_digest"]] for row in self._session.rows(found)}


class EndedSessionWriter(Writer):
    """Ends sign-ins."""

    def end(self, account_id: str, session_id: str) -> bool:
        """End one on every node, for good. False when it was ended before."""
        self._writing.session.use_reserve()
        claim = IdempotencyWriter(self._writing).claim(
            Scope(account_id=account_id, region=_REGION),
            operation=_OPERATION,
            token=session_id,
            request=b"",
            reference="",
        )
        return claim.is_new
