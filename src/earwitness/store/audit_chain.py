"""The chain over the audit trail: what an entry's digest is made of, and where a chain begins.

Each node has a chain. An entry's digest is SHA-256 over the digest before it and the entry's own canonical bytes, its
node and its number among them. So whoever removes, changes, doubles or moves an entry has to make every later digest
anew, and then they are no longer those of the checkpoints that were signed and put elsewhere (`audit/`).

What belongs here: pure values and bytes. What must never: SQL, keys.
"""

import hashlib

from earwitness.store.audit_records import AuditEntry
from earwitness.store.columns import to_microseconds
from earwitness.vault.signing import canonical

_GENESIS, _ENTRY = b"earwitness audit chain 1\0", b"earwitness audit entry 1\0"


def genesis(node: str, *, before: int) -> bytes:
    """Return the digest that the chain of a node begins with.

    `before` is how many entries there were without a chain.
    """
    return hashlib.sha256(_GENESIS + canonical({"node": node, "before": before})).digest()


def entry_document(entry: AuditEntry) -> dict[str, object]:
    """Return what is chained of an entry that has a place in a chain, as files of entries have it.

    The row's id is left out: it says nothing, and is not known before the row is there.
    """
    return {
        "accountId": entry.scope.account_id,
        "region": entry.scope.region,
        "node": entry.node,
        "number": entry.number,
        "timeMicroseconds": to_microseconds(entry.time),
        "keyId": entry.key_id,
        "operation": entry.operation,
        "resourceArn": entry.resource_arn,
        "outcome": entry.outcome,
        "requestId": entry.request_id,
    }


def digest_after(previous: bytes, document: dict[str, object]) -> bytes:
    """Return the digest of an entry's document that follows this digest. Raise ValueError for what cannot be one."""
    return hashlib.sha256(_ENTRY + previous + canonical(document)).digest()
