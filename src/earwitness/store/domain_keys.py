"""The data key of a domain, for what is sealed under it in other tables."""

from sqlalchemy import select

from earwitness.errors import NotFound
from earwitness.store.owners import domain_owner
from earwitness.store.records import Scope
from earwitness.store.schema import voice_profile_domains as table
from earwitness.store.session import Session, in_scope
from earwitness.vault.data_key import DataKey
from earwitness.vault.vault import Vault


def require_domain_key(session: Session, vault: Vault, scope: Scope, domain_id: str, *, hold: bool = False) -> DataKey:
    """The key; NotFound without such a domain. With `hold`, the domain is not deleted before the transaction ends."""
    statement = select(table.c.wrapped_key).where(in_scope(table, scope), table.c.domain_id == domain_id)
    # A key share lock keeps deletions off, and lets the version move.
    row = session.row(statement.with_for_update(read=True, key_share=True) if hold else statement)
    if row is None:
        raise NotFound("the voice profile domain does not exist, or was deleted; look at its id")
    return vault.key(bytes(row[0]), owner=domain_owner(scope, domain_id))
