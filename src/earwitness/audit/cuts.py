"""Signed statements that entries were taken off a chain because they had expired, kept where the chain begins now."""

from dataclasses import dataclass
from datetime import datetime

from earwitness.errors import SignatureInvalid
from earwitness.store.columns import to_microseconds
from earwitness.vault.signing import PublicKey, Signer, canonical, verified

PURPOSE = "earwitness audit cut 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCut:
    """Up to which entry a chain was cut, and that entry's digest."""

    node: str
    number: int
    digest: bytes


def signed_cut(cut: AuditCut, signer: Signer, *, older_than: datetime, now: datetime) -> str:
    """Return the statement, which also says how old the entries were at least."""
    document = {
        "node": cut.node,
        "number": cut.number,
        "digest": cut.digest.hex(),
        "olderThanMicroseconds": to_microseconds(older_than),
        "timeMicroseconds": to_microseconds(now),
    }
    return canonical(signer.signed(document, purpose=PURPOSE)).decode()


def cut_of(text: str, key: PublicKey) -> AuditCut:
    """Return what a statement says; raise SignatureInvalid unless it is as it was signed."""
    document = verified(text, purpose=PURPOSE, key=key)
    node, number, digest = document.get("node"), document.get("number"), document.get("digest")
    if not (isinstance(node, str) and isinstance(number, int) and isinstance(digest, str)):
        raise SignatureInvalid("the document is no statement about expired entries")
    return AuditCut(node=node, number=number, digest=bytes.fromhex(digest))
