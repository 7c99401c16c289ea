"""Access keys: found by id for every request, so that read is the hottest of all."""

from sqlalchemy import bindparam, delete, select, update

from earwitness.errors import AlreadyExists
from earwitness.store.columns import from_microseconds, to_microseconds
from earwitness.store.owners import access_key_owner, access_key_secret_place
from earwitness.store.page import read_page
from earwitness.store.records import AccessKey, Page, PageKey
from earwitness.store.schema import access_keys as table
from earwitness.store.session import HotRead, Row, Session, Writing
from earwitness.vault.vault import Vault

_ALL = select(
    table.c.key_id,
    table.c.account_id,
    table.c.role,
    table.c.name,
    table.c.state,
    table.c.secret_ciphertext,
    table.c.wrapped_key,
    table.c.created_at,
)
_BY_ID = HotRead(_ALL.where(table.c.key_id == bindparam("key_id")), "key_id")

RECORDS_KEPT_MAX = 1_000
"""Keys whose secret stays decrypted: more than sign within a few seconds, half a kilobyte each."""


class AccessKeyReader:
    """What can be read of access keys."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self._session = session
        self._vault = vault
        self._kept: dict[str, tuple[Row, AccessKey]] = {}

    def get(self, key_id: str) -> AccessKey | None:
        """The key, of whatever account: it is what tells the account. None when there is none, disabled or not."""
        key = self._session.hot(_BY_ID, self._decrypted_once, key_id)
        if key is None:
            self._kept.pop(key_id, None)
        return key

    def accounts(self) -> tuple[str, ...]:
        """The accounts that have keys, in order."""
        known = select(table.c.account_id).distinct().order_by(table.c.account_id)
        return tuple(row[0] for row in self._session.rows(known))

    def list(self, account_id: str, *, after: PageKey | None = None, limit: int) -> Page[AccessKey]:
        """The account's keys, oldest first."""
        return read_page(
            self._session,
            _ALL.where(table.c.account_id == account_id),
            record=self._record,
            order=(table.c.created_at, table.c.key_id),
            after=after,
            limit=limit,
        )

    def is_only_account(self, account_id: str) -> bool:
        """Return whether no other account has a key."""
        others = select(table.c.key_id).where(table.c.account_id != account_id, table.c.state == "enabled").limit(1)
        return self._session.row(others) is None

    def is_any_enabled(self) -> bool:
        """Say whether any account has a key that may be used."""
        return self._session.row(select(table.c.key_id).where(table.c.state == "enabled").limit(1)) is not None

    def _decrypted_once(self, row: Row) -> AccessKey:
        """The record of a row just read. Its secret stays decrypted for as long as no column of the row changes."""
        key_id: str = row[0]
        kept = self._kept.get(key_id)
        if kept is not None and kept[0] == row:
            return kept[1]
        if len(self._kept) >= RECORDS_KEPT_MAX:
            self._kept.clear()
        record = self._record(row)
        self._kept[key_id] = row, record
        return record

    def _record(self, row: Row) -> AccessKey:
        key_id, account_id, role, name, state, ciphertext, wrapped_key, created_at = row
        key = self._vault.key(wrapped_key, owner=access_key_owner(account_id=account_id, key_id=key_id))
        secret = key.open(ciphertext, access_key_secret_place(account_id=account_id, key_id=key_id))
        return AccessKey(
            key_id=key_id,
            account_id=account_id,
            role=role,
            name=name,
            state=state,
            secret=secret.decode(),
            created_at=from_microseconds(created_at),
        )


class AccessKeyWriter(AccessKeyReader):
    """What can be changed of access keys."""

    def __init__(self, writing: Writing) -> None:
        super().__init__(writing.session, writing.vault)
        self._writing = writing

    def create(self, *, key_id: str, account_id: str, role: str, name: str, secret: str) -> AccessKey:
        """A new enabled key; AlreadyExists when any account has one of this id."""
        created = AccessKey(
            key_id=key_id,
            account_id=account_id,
            role=role,
            name=name,
            state="enabled",
            secret=secret,
            created_at=self._writing.now,
        )
        values = {
            "key_id": key_id,
            "account_id": account_id,
            "role": role,
            "name": name,
            "state": created.state,
            "created_at": to_microseconds(created.created_at),
            **self._sealed(account_id=account_id, key_id=key_id, secret=secret),
        }
        if not self._writing.session.insert_new(table, values):
            raise AlreadyExists("an access key of this id exists; choose another id")
        return created

    def disable(self, account_id: str, key_id: str) -> bool:
        """Let the key sign no more; False when the account has no such key."""
        statement = update(table).where(table.c.account_id == account_id, table.c.key_id == key_id)
        return self._writing.session.change(statement.values(state="disabled")) == 1

    def rotate(self, account_id: str, key_id: str, *, secret: str) -> AccessKey | None:
        """Give the key a new secret and destroy the old one; None when the account has no such key."""
        old = self._wrapped_key(account_id, key_id)
        if old is None:
            return None
        statement = update(table).where(table.c.account_id == account_id, table.c.key_id == key_id)
        sealed = self._sealed(account_id=account_id, key_id=key_id, secret=secret)
        self._writing.session.change(statement.values(**sealed))
        self._writing.destroy_key(old, owner=access_key_owner(account_id=account_id, key_id=key_id))
        return self.get(key_id)

    def delete(self, account_id: str, key_id: str) -> bool:
        """Remove the key and its secret; False when the account has no such key."""
        old = self._wrapped_key(account_id, key_id)
        if old is None:
            return False
        statement = delete(table).where(table.c.account_id == account_id, table.c.key_id == key_id)
        self._writing.session.change(statement)
        self._writing.destroy_key(old, owner=access_key_owner(account_id=account_id, key_id=key_id))
        return True

    def _wrapped_key(self, account_id: str, key_id: str) -> bytes | None:
        statement = select(table.c.wrapped_key).where(table.c.account_id == account_id, table.c.key_id == key_id)
        row = self._session.row(statement.with_for_update())
        return None if row is None else bytes(row[0])

    def _sealed(self, *, account_id: str, key_id: str, secret: str) -> dict[str, bytes]:
        owner = access_key_owner(account_id=account_id, key_id=key_id)
        wrapped_key = self._vault.new_wrapped_key(owner=owner)
        place = access_key_secret_place(account_id=account_id, key_id=key_id)
        ciphertext = self._vault.key(wrapped_key, owner=owner).seal(secret.encode(), place)
        return {"secret_ciphertext": ciphertext, "wrapped_key": wrapped_key}
