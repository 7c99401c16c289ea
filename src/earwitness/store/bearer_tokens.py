"""Bearer tokens of our own API: kept as SHA-256, which suffices because a token is long and random."""

import hashlib

from sqlalchemy import bindparam, delete, select, update

from earwitness.errors import AlreadyExists
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.page import read_page
from earwitness.store.records import BearerToken, Page, PageKey
from earwitness.store.schema import bearer_tokens as table
from earwitness.store.session import Query, Row, Session, Writing

_ALL = select(
    table.c.token_id,
    table.c.account_id,
    table.c.role,
    table.c.name,
    table.c.state,
    table.c.created_at,
)
_BY_DIGEST: Query = _ALL.where(table.c.token_sha256 == bindparam("token_sha256"))


class BearerTokenReader:
    """What can be read of bearer tokens."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, token: str) -> BearerToken | None:
        """The record of a token that somebody shows, of whatever account; None when it is unknown."""
        row = self._session.row(_BY_DIGEST.params(token_sha256=_digest(token)))
        return None if row is None else _record(row)

    def list(self, account_id: str, *, after: PageKey | None = None, limit: int) -> Page[BearerToken]:
        """The account's tokens, oldest first."""
        return read_page(
            self._session,
            _ALL.where(table.c.account_id == account_id),
            record=_record,
            order=(table.c.created_at, table.c.token_id),
            after=after,
            limit=limit,
        )

    def is_any_enabled(self) -> bool:
        """Say whether any account has a token that may be used."""
        return self._session.row(select(table.c.token_id).where(table.c.state == "enabled").limit(1)) is not None


class BearerTokenWriter(BearerTokenReader):
    """What can be changed of bearer tokens."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session)
        self._writing = writing

    def create(self, *, token: str, token_id: str, account_id: str, role: str, name: str) -> BearerToken:
        """Remember a token that was just made, of at least 128 random bits; AlreadyExists when it is known."""
        created = BearerToken(
            token_id=token_id,
            account_id=account_id,
            role=role,
            name=name,
            state="enabled",
            created_at=self._writing.now,
        )
        values = {
            "token_sha256": _digest(token),
            "token_id": token_id,
            "account_id": account_id,
            "role": role,
            "name": name,
            "state": created.state,
            "created_at": to_microseconds(created.created_at),
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("a bearer token of this id exists; choose another id")
        return created

    def delete(self, account_id: str, token_id: str) -> bool:
        """Forget the token; False when the account has no such token."""
        statement = delete(table).where(table.c.account_id == account_id, table.c.token_id == token_id)
        return self._writing.session.change(statement) == 1

    def revoke(self, account_id: str, token_id: str) -> bool:
        """Let the token do nothing any more; False when the account has no such token."""
        statement = update(table).where(table.c.account_id == account_id, table.c.token_id == token_id)
        return self._writing.session.change(statement.values(state="revoked")) == 1


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _record(row: Row) -> BearerToken:
    token_id, account_id, role, name, state, created_at = row
    return BearerToken(
        token_id=token_id,
        account_id=account_id,
        role=role,
        name=name,
        state=state,
        created_at=from_microseconds(created_at),
    )
