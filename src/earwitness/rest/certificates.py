"""Certificates of deletion: made of what was written down when it was deleted, signed when somebody asks.

A certificate has ids of things only where whoever asks has named one. That the digest in the records is of this id is
what the service vouches for with its signature.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from earwitness import __version__
from earwitness.errors import NotFound
from earwitness.rest.certificate_models import CERTIFICATE_FORMAT, CertificateAnswer, GetCertificate
from earwitness.rest.context import RestCall, RestContext
from earwitness.store.deletion_records import Deletion
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.vault.signing import SignedDocument
from earwitness.voice.certificate import CERTIFICATE_PURPOSE
from earwitness.voice.deletion import DeletionKind

_NAMED_BY_ONE_ID = (
    DeletionKind.PROFILE,
    DeletionKind.DOMAIN,
    DeletionKind.TASK,
    DeletionKind.TASK_VOICEPRINT,
    DeletionKind.PIPELINE,
    DeletionKind.CALL,
    DeletionKind.CONNECTOR,
    DeletionKind.JOB,
    DeletionKind.EXPORT,
    DeletionKind.BEARER_TOKEN,
)


def get_certificate(context: RestContext, call: RestCall[GetCertificate]) -> CertificateAnswer:
    """Certify what was deleted."""
    scope, asked = call.scope, call.params.deleted_id
    about, found = _found(context.store, scope, asked)
    if not found:
        raise NotFound(
            "no deletion of this is known in this account and Region; give the id of what was deleted, or of the "
            "deletion. Deletions are known as long as the audit trail goes back"
        )
    certificate_id = found[-1].request_id
    arn = call.caller.arn("chime", f"deletion/{certificate_id}")
    context.store.write(lambda unit: call.caller.record(unit, arn))
    document = _document(context.store, scope, found, about=about, now=context.clock())
    signed = context.store.signer().signed(document, purpose=CERTIFICATE_PURPOSE)
    return msgspec.convert(signed, CertificateAnswer)


def certificate_document(certificate: CertificateAnswer) -> dict[str, object]:
    """Return a certificate as the document that was signed, for pages."""
    return msgspec.to_builtins(certificate)


def _found(store: Store, scope: Scope, asked: str) -> tuple[dict[str, str] | None, Sequence[Deletion]]:
    """Return the deletions of an id, oldest first, and what it is where it is of a thing."""
    one = store.deletions.get(scope, asked)
    request_id = asked if one is None else one.request_id
    if together := store.deletions.of_request(scope, request_id):
        return None, together
    for kind in _NAMED_BY_ONE_ID:
        # Tokens belong to no Region.
        theirs = Scope(account_id=scope.account_id, region="") if kind is DeletionKind.BEARER_TOKEN else scope
        if of_thing := store.deletions.of_thing(theirs, store.digest_of(theirs, kind, asked)):
            return {"kind": kind.value, "id": asked}, of_thing
    return None, ()


def _document(
    store: Store, scope: Scope, found: Sequence[Deletion], *, about: dict[str, str] | None, now: datetime
) -> SignedDocument:
    backups = store.backups.holding(found[-1].created_at)
    return {
        "format": CERTIFICATE_FORMAT,
        "certificateId": found[-1].request_id,
        "accountId": scope.account_id,
        "ofRegion": scope.region,
        "about": about,
        "deletions": [_deletion(one) for one in found],
        "backups": [
            {
                "backupId": one.backup_id,
                "createdAt": _moment(one.created_at),
                "expiresAt": _moment(one.expires_at),
                "withMedia": one.with_media,
            }
            for one in backups
        ],
        "backupsExpireAt": _latest(one.expires_at for one in backups),
        "issuedAt": _moment(now),
        "issuedBy": f"earwitness {__version__}",
        "publicKey": store.signer().public.text,
    }


def _deletion(deletion: Deletion) -> dict[str, object]:
    return {
        "deletionId": deletion.deletion_id,
        "deletedAt": _moment(deletion.created_at),
        "deletedBy": deletion.who,
        "reason": deletion.why.value,
        "items": [
            {
                "kind": item.kind.value,
                "identityDigest": item.identity_digest.hex(),
                "destroyedKeyId": item.destroyed_key_id,
                "voiceprints": item.voiceprints,
            }
            for item in deletion.items
        ],
    }


def _latest(times: Iterable[datetime]) -> str | None:
    last = max(times, default=None)
    return None if last is None else _moment(last)


def _moment(time: datetime) -> str:
    return f"{time:%FT%T.%fZ}"
