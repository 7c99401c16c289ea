"""Which master key the records are under, and how a process learns that another one takes its place.

One row says it: the check. Every transaction that makes a data key reads that row under a lock that a rotation's steps
wait for, so from the step on that says so, no data key is made under the former master key by anybody.

What belongs here: what the row says, and taking a new key up. What must never: the steps of a rotation (`rotation.py`),
files, and a master key, of which the records have an id and nothing else.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import select, update

from earwitness.errors import MasterKeyInvalid, StoreUnavailable
from earwitness.store.hot_reads import StoredRow
from earwitness.store.master_key_schema import master_key_holders, vault_checks
from earwitness.store.postgres import Postgres
from earwitness.store.session import ConnectionSession, StoreSession
from earwitness.store.sqlite import Sqlite
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault, owner_of


def own_key_owner(name: str) -> str:
    """Return the owner of a data key of the records themselves."""
    return owner_of(account_id="", table=vault_checks.name, row_id=name)


CHECK_OWNER = own_key_owner("check")
"""Of the key that proves the master key at every start, and keys the digests of idempotency tokens."""

IDENTITY_SINCE = "0013"
"""The first schema that has the identity of the records by itself."""

FORMER_SECONDS = 60.0
"""How long a process still opens what it read before the end of a rotation."""

_Database: TypeAlias = Sqlite | Postgres

_CHECK = select(vault_checks).where(vault_checks.c.name == "check")
_WRAPPED_CHECK = select(vault_checks.c.wrapped_key).where(vault_checks.c.name == "check")
_UNDER = select(vault_checks.c.master_key_id, vault_checks.c.next_key_id, vault_checks.c.next_in_use).where(
    vault_checks.c.name == "check"
)


@dataclass(frozen=True, kw_only=True)
class RecordsCheck:
    """What the check proves and tells."""

    key: DataKey
    identity: str
    #: Where the master key came from when these records were opened before; empty when nobody has said it.
    source: str


@dataclass(frozen=True, kw_only=True)
class MasterKeyState:
    """Which master key is in force."""

    key_id: str
    #: None for one that was there before the records said so.
    in_force_since: datetime | None
    #: What is taking its place; empty when nothing is.
    next_key_id: str
    #: Whether new data keys are wrapped under that one already.
    next_in_use: bool


def new_wrapped_key(session: ConnectionSession, vault: Vault, *, owner: str, arn: str = "") -> bytes:
    """Return a new data key, under the master key that new ones are to be under until this transaction ends.

    Where the key service has a key of this ARN, it is under that one.
    Raise StoreUnavailable when this process has not taken the master key up yet, KeyServiceUnavailable.
    """
    row = session.row(_UNDER.with_for_update(read=True))
    under = "" if row is None else str(row["next_key_id"] if row["next_in_use"] else row["master_key_id"])
    try:
        return vault.new_wrapped_key(owner=owner, under=under, arn=arn)
    except MasterKeyInvalid as error:
        raise StoreUnavailable(
            "the master key was changed, and this process does not have the new one: put it into the data folder as "
            "master.key.next, or start again with it"
        ) from error


def kept_key(database: _Database, vault: Vault, name: str) -> DataKey:
    """Return a key of the records themselves, other than the check; made first where there is none."""
    owner, named = own_key_owner(name), select(vault_checks.c.wrapped_key).where(vault_checks.c.name == name)

    def run(session: ConnectionSession) -> StoredRow | None:
        made = {"name": name, "wrapped_key": new_wrapped_key(session, vault, owner=owner)}
        session.insert_new(vault_checks, made)
        return session.row(named)

    row = database.reads.row(named) or database.write(run)
    return vault.key(b"" if row is None else row["wrapped_key"], owner=owner)


def kept_identity(database: _Database, *, revision: str) -> str | None:
    """Return what tells these records from all others; None where they do not say."""
    row = database.reads.row(_WRAPPED_CHECK if revision < IDENTITY_SINCE else _CHECK)
    if row is None:
        return None
    return str(row.get("identity") or _identity(row["wrapped_key"]))


def opened_check(database: _Database, vault: Vault, *, now: datetime) -> RecordsCheck:
    """Return what the check proves: that the master key is that of these records. It is made where there is none.

    Raise MasterKeyInvalid when it is not.
    """
    row = database.reads.row(_CHECK)
    if row is None:
        row = database.write(lambda session: _made_check(session, vault, now))
    in_force = vault.master_keys.opener(row["wrapped_key"], owner=CHECK_OWNER)
    if in_force is None:
        raise MasterKeyInvalid(_refusal(row, vault))
    if row["next_in_use"] and not vault.master_keys.has(row["next_key_id"]):
        raise MasterKeyInvalid(
            f"the records are changing from the master key {in_force} to {row['next_key_id']}: give both, the second "
            "as master.key.next in the data folder, or finish the change with `earwitness master-key rotate`"
        )
    vault.master_keys.preferred = in_force
    if row["master_key_id"] != in_force:  # records of an earlier version do not say it
        database.write(lambda session: _say(session, master_key_id=in_force))
    if not row["next_key_id"]:
        vault.master_keys.keep_only(in_force)
    key = vault.key(row["wrapped_key"], owner=CHECK_OWNER)
    return RecordsCheck(
        key=key, identity=str(row["identity"] or _identity(row["wrapped_key"])), source=str(row["source"])
    )


class MasterKeys:
    """What the records say of their master keys. Safe to use from several threads."""

    def __init__(self, database: _Database, vault: Vault, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._vault = vault
        self._monotonic = monotonic
        self._taken_up = ""
        self._ended_at: float | None = None
        self.on_changed: Callable[[str], None] = _nothing_to_settle
        """Is told the id of a master key that has taken the place of another."""

    def state(self) -> MasterKeyState:
        """Return which is in force."""
        return state_of(self._database.reads)

    def source(self) -> str:
        """Return where the master key in force came from: `file`, `environment` or `passphrase`."""
        return self._vault.master_keys.source(self._vault.master_keys.preferred)

    def take_up(self, holder: str) -> None:
        """Say that this process has the next master key, where there is one; forget the former one in the end.

        For a process that serves, every few seconds. Raise StoreUnavailable.
        """
        state, keys = self.state(), self._vault.master_keys
        if state.next_key_id:
            if self._taken_up != state.next_key_id and keys.has(state.next_key_id):
                self._database.write(lambda session: _hold(session, holder, state.next_key_id))
                self._taken_up = state.next_key_id
        elif keys.preferred != state.key_id:
            if keys.has(state.key_id):
                keys.preferred = state.key_id
                self._ended_at = self._monotonic()
                self.on_changed(state.key_id)
        elif self._ended_at is not None and self._monotonic() - self._ended_at >= FORMER_SECONDS:
            keys.keep_only(state.key_id)
            self._ended_at = None


def state_of(reads: StoreSession) -> MasterKeyState:
    """Return which master key is in force."""
    row = reads.row(_CHECK)
    if row is None:
        raise StoreUnavailable("the records do not say which master key they are under; restore them from a backup")
    return MasterKeyState(
        key_id=row["master_key_id"],
        in_force_since=row["in_force_since"],
        next_key_id=row["next_key_id"],
        next_in_use=bool(row["next_in_use"]),
    )


def _made_check(session: ConnectionSession, vault: Vault, now: datetime) -> StoredRow:
    wrapped_key = vault.new_wrapped_key(owner=CHECK_OWNER)
    values = {
        "name": "check",
        "wrapped_key": wrapped_key,
        "identity": _identity(wrapped_key),
        "master_key_id": vault.master_keys.preferred,
        "in_force_since": now,
        "next_key_id": "",
        "next_in_use": 0,
        "next_wrapped_key": None,
        "source": vault.master_keys.source(vault.master_keys.preferred),
    }
    session.insert_new(vault_checks, values)
    row = session.row(_CHECK)
    return values if row is None else row


def _say(session: ConnectionSession, **values: object) -> None:
    session.change(update(vault_checks).where(vault_checks.c.name == "check").values(**values))


def _hold(session: ConnectionSession, holder: str, key_id: str) -> None:
    session.insert_new(master_key_holders, {"holder": holder, "master_key_id": key_id})
    theirs = update(master_key_holders).where(master_key_holders.c.holder == holder)
    session.change(theirs.values(master_key_id=key_id))


def _refusal(row: StoredRow, vault: Vault) -> str:
    keys = vault.master_keys
    following = row["next_wrapped_key"]
    if following is not None and keys.opener(following, owner=CHECK_OWNER) is not None:
        return (
            f"the records are changing to the master key {row['next_key_id']}, and are still under "
            f"{row['master_key_id']} too: give that as this node's own, and the new one as master.key.next"
        )
    named = f" {row['master_key_id']}" if row["master_key_id"] else ""
    return (
        f"the records were written under another master key{named}, and {keys.preferred} is here; give the one they "
        "are under (records whose key is lost cannot be read by anybody)"
    )


def _nothing_to_settle(_: str) -> None:
    """For a vault whose keys are in no folder."""


def _identity(wrapped_check: bytes) -> str:
    return hashlib.sha256(wrapped_check).hexdigest()[:32]
