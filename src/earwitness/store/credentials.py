"""What callers show to prove who they are: access keys, which sign requests, and bearer tokens of our own API.

An access key is found by its id for every request, so that read is the hottest of all. A bearer token is kept as
SHA-256, which suffices because a token is long and random.
"""

import hashlib
from collections.abc import Collection, Mapping
from functools import partial

from sqlalchemy import ColumnElement, literal, select, union, union_all

from earwitness.errors import AlreadyExists
from earwitness.store.connector_schema import voice_connectors
from earwitness.store.hot_reads import HotRead, Query, StoredRow
from earwitness.store.records import AccessKey, BearerToken, Page, PageKey, Scope
from earwitness.store.repository import Reader, Writer, record
from earwitness.store.schema import access_keys, bearer_tokens, domains, pipelines
from earwitness.vault.data_key import SealedPlace
from earwitness.vault.vault import owner_of
from earwitness.voice.deletion import DeletionKind

_ACCESS_KEY = HotRead(select(access_keys), access_keys.c.key_id)
_token_record = partial(record, BearerToken)


_IDS_AT_ONCE_MAX = 500
"""In one statement; both databases take more."""


class CredentialReader(Reader):
    """What can be read of access keys and tokens alike."""

    def enabled(self, ids: Collection[str]) -> Mapping[tuple[str, str], bytes]:
        """Return those of these ids that may be used, by account and id: the version of keys, nothing of tokens."""
        ordered, found = sorted(ids), dict[tuple[str, str], bytes]()
        for first in range(0, len(ordered), _IDS_AT_ONCE_MAX):
            some = ordered[first : first + _IDS_AT_ONCE_MAX]
            for row in self._session.rows(_enabled(some)):
                found[row["account_id"], row["id"]] = row["version"]
        return found

    def accounts_of(self, credential_id: str) -> tuple[str, ...]:
        """Return the accounts that have a key or token of this id, enabled or not."""
        keys = select(access_keys.c.account_id).where(access_keys.c.key_id == credential_id)
        tokens = select(bearer_tokens.c.account_id).where(bearer_tokens.c.token_id == credential_id)
        rows = self._session.rows(select(union_all(keys, tokens).subquery()))
        return tuple(sorted({row["account_id"] for row in rows}))

    def regions_of(self, account_id: str) -> tuple[str, ...]:
        """Return the Regions in which an account has domains, pipelines or Voice Connectors, in order."""
        owners = (domains, pipelines, voice_connectors)
        used = union(*(select(table.c.region).where(table.c.account_id == account_id) for table in owners))
        rows = self._session.rows(select(used.subquery()))
        return tuple(sorted(row["region"] for row in rows))


class AccessKeyReader(Reader):
    """What can be read of access keys."""

    def get(self, key_id: str) -> AccessKey | None:
        """Return the key, of whatever account: it is what names the account. None when there is none; also disabled."""
        return self._session.hot(_ACCESS_KEY, self._record, key_id)

    def accounts(self) -> tuple[str, ...]:
        """Return the accounts that have keys, in order."""
        known = select(access_keys.c.account_id).distinct().order_by(access_keys.c.account_id)
        return tuple(row["account_id"] for row in self._session.rows(known))

    def list(self, account_id: str, *, after: PageKey | None = None, limit: int) -> Page[AccessKey]:
        """Return the account's keys, oldest first."""
        return self._page(
            self._record,
            select(access_keys).where(access_keys.c.account_id == account_id),
            order=(access_keys.c.created_at, access_keys.c.key_id),
            after=after,
            limit=limit,
        )

    def is_only_account(self, account_id: str) -> bool:
        """Return whether no other account has a key that may be used."""
        others = access_keys.c.account_id != account_id
        return self._count(access_keys, access_keys.c.state == "enabled", others) == 0

    def is_any_enabled(self) -> bool:
        """Return whether any account has a key that may be used."""
        return self._count(access_keys, access_keys.c.state == "enabled") > 0

    def _record(self, row: StoredRow) -> AccessKey:
        account_id, key_id = row["account_id"], row["key_id"]
        key = self._vault.key(row["wrapped_key"], owner=_owner(account_id, key_id))
        secret = key.open(row["secret_ciphertext"], _secret_place(account_id, key_id))
        return record(AccessKey, row, secret=secret.decode(), version=row["secret_ciphertext"])


class AccessKeyWriter(Writer, AccessKeyReader):
    """What can be changed of access keys."""

    def create(self, *, key_id: str, account_id: str, role: str, name: str, secret: str) -> AccessKey:
        """Return a new enabled key; raise AlreadyExists when any account has one of this id."""
        sealed = self._sealed(account_id, key_id, secret)
        created = AccessKey(
            key_id=key_id,
            account_id=account_id,
            role=role,
            name=name,
            state="enabled",
            secret=secret,
            version=sealed["secret_ciphertext"],
            created_at=self._now,
        )
        if not self._insert(access_keys, created, **sealed):
            raise AlreadyExists("an access key of this id exists; choose another id")
        return created

    def disable(self, account_id: str, key_id: str) -> bool:
        """Let the key sign no more; False when the account has no such key."""
        return self._update(access_keys, _key(account_id, key_id), state="disabled") == 1

    def rotate(self, account_id: str, key_id: str, *, secret: str) -> AccessKey | None:
        """Give the key a new secret and destroy the old one; None when the account has no such key."""
        if not self._destroy_secret(account_id, key_id):
            return None
        self._update(access_keys, _key(account_id, key_id), **self._sealed(account_id, key_id, secret))
        return self.get(key_id)

    def delete(self, account_id: str, key_id: str) -> bool:
        """Remove the key and its secret; False when the account has no such key."""
        if not self._destroy_secret(account_id, key_id):
            return False
        return self._delete(access_keys, _key(account_id, key_id)) == 1

    def _destroy_secret(self, account_id: str, key_id: str) -> bool:
        row = self._session.row(select(access_keys.c.wrapped_key).where(_key(account_id, key_id)).with_for_update())
        if row is not None:
            # The secret is named by the key that it is sealed under, so that a secret which came later stays.
            destroyed = self._writing.destroy_key(row["wrapped_key"], owner=_owner(account_id, key_id))
            scope = Scope(account_id=account_id, region="")
            self._writing.note_deleted(scope, DeletionKind.ACCESS_KEY, key_id, destroyed or "", key_id=destroyed)
        return row is not None

    def _sealed(self, account_id: str, key_id: str, secret: str) -> dict[str, bytes]:
        owner = _owner(account_id, key_id)
        wrapped_key = self._new_wrapped_key(owner=owner)
        key = self._vault.key(wrapped_key, owner=owner)
        ciphertext = key.seal(secret.encode(), _secret_place(account_id, key_id))
        return {"secret_ciphertext": ciphertext, "wrapped_key": wrapped_key}


class BearerTokenReader(Reader):
    """What can be read of bearer tokens."""

    def find(self, token: str) -> BearerToken | None:
        """Return the record of a token that somebody shows, of whatever account; None when it is unknown."""
        return self._one(_token_record, select(bearer_tokens).where(bearer_tokens.c.token_sha256 == _digest(token)))

    def get(self, account_id: str, token_id: str) -> BearerToken | None:
        """Return the token of this id, or None; revoked ones too."""
        return self._one(_token_record, select(bearer_tokens).where(_token(account_id, token_id)))

    def list(self, account_id: str, *, after: PageKey | None = None, limit: int) -> Page[BearerToken]:
        """Return the account's tokens, oldest first."""
        return self._page(
            _token_record,
            select(bearer_tokens).where(bearer_tokens.c.account_id == account_id),
            order=(bearer_tokens.c.created_at, bearer_tokens.c.token_id),
            after=after,
            limit=limit,
        )

    def is_any_enabled(self) -> bool:
        """Return whether any account has a token that may be used."""
        return self._count(bearer_tokens, bearer_tokens.c.state == "enabled") > 0


class BearerTokenWriter(Writer, BearerTokenReader):
    """What can be changed of bearer tokens."""

    def create(self, *, token: str, token_id: str, account_id: str, role: str, name: str) -> BearerToken:
        """Remember a token that was just made, of at least 128 random bits; raise AlreadyExists when it is known."""
        created = BearerToken(
            token_id=token_id, account_id=account_id, role=role, name=name, state="enabled", created_at=self._now
        )
        if not self._insert(bearer_tokens, created, token_sha256=_digest(token)):
            raise AlreadyExists("a bearer token of this id exists; choose another id")
        return created

    def delete(self, account_id: str, token_id: str) -> bool:
        """Forget the token; False when the account has no such token."""
        if self._delete(bearer_tokens, _token(account_id, token_id)) == 0:
            return False
        self._note(account_id, token_id)
        return True

    def revoke(self, account_id: str, token_id: str) -> bool:
        """Let the token do nothing any more; False when the account has no such token."""
        if self._update(bearer_tokens, _token(account_id, token_id), state="revoked") == 0:
            return False
        self._note(account_id, token_id)
        return True

    def _note(self, account_id: str, token_id: str) -> None:
        self._writing.note_deleted(Scope(account_id=account_id, region=""), DeletionKind.BEARER_TOKEN, token_id)


def _enabled(ids: Collection[str]) -> Query:
    keys = select(
        access_keys.c.account_id, access_keys.c.key_id.label("id"), access_keys.c.secret_ciphertext.label("version")
    )
    none = literal(b"", access_keys.c.secret_ciphertext.type)
    tokens = select(bearer_tokens.c.account_id, bearer_tokens.c.token_id.label("id"), none.label("version"))
    both = union_all(
        keys.where(access_keys.c.key_id.in_(ids), access_keys.c.state == "enabled"),
        tokens.where(bearer_tokens.c.token_id.in_(ids), bearer_tokens.c.state == "enabled"),
    )
    return select(both.subquery())


def _key(account_id: str, key_id: str) -> ColumnElement[bool]:
    return (access_keys.c.account_id == account_id) & (access_keys.c.key_id == key_id)


def _owner(account_id: str, key_id: str) -> str:
    return owner_of(account_id=account_id, table=access_keys.name, row_id=key_id)


def _secret_place(account_id: str, key_id: str) -> SealedPlace:
    return SealedPlace(account_id=account_id, table=access_keys.name, row_id=key_id, column="secret_ciphertext")


def _token(account_id: str, token_id: str) -> ColumnElement[bool]:
    return (bearer_tokens.c.account_id == account_id) & (bearer_tokens.c.token_id == token_id)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
