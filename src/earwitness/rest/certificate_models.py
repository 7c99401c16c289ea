"""What is asked and answered about certificates of deletion. The document is what is signed, member for member."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from earwitness.rest.models import Answer
from earwitness.rest.parameters import Identifier, Parameters, doc

CERTIFICATE_FORMAT = "earwitness certificate of deletion 1"

_Hex: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]*$")]
_Moment: TypeAlias = Annotated[str, doc("RFC 3339, UTC.")]


class GetCertificate(Parameters, kw_only=True):
    """What was deleted, when, by whom, which keys were destroyed and which backups still have it; signed."""

    deleted_id: Annotated[
        Identifier,
        doc("A deletion, the request that several deletions belong to, or what was deleted: a profile, a domain…"),
    ]


class CertifiedThing(Answer):
    """What was asked for by its own id, which no certificate has otherwise."""

    kind: str
    id: str


class CertifiedItem(Answer):
    """One thing that was deleted."""

    kind: str
    identity_digest: Annotated[_Hex, doc("Of its id, keyed: it tells nobody whose it was, and finds it in a ledger.")]
    destroyed_key_id: Annotated[
        _Hex | None, doc("Of the data key that was destroyed with it; null where the thing had no key of its own.")
    ]
    voiceprints: int


class CertifiedDeletion(Answer):
    """What one transaction deleted."""

    deletion_id: str
    deleted_at: _Moment
    deleted_by: Annotated[str, doc("The id of the key that asked, the command that did it, or `expiry`.")]
    reason: Literal["requested", "expired", "consent-withdrawn"]
    items: list[CertifiedItem]


class CertifiedBackup(Answer):
    """A backup made before: it holds what was deleted, with its wrapped key, until it is deleted itself."""

    backup_id: str
    created_at: _Moment
    expires_at: _Moment
    with_media: bool


class CertificateSignature(Answer):
    """The signature of all other members."""

    key_id: str
    ed25519: str


class CertificateAnswer(Answer):
    """A certificate of deletion. `earwitness certificate verify` checks it without the service."""

    format: Literal["earwitness certificate of deletion 1"]
    certificate_id: str
    account_id: str
    of_region: str
    about: CertifiedThing | None
    deletions: list[CertifiedDeletion]
    backups: Annotated[
        list[CertifiedBackup], doc("Those that the service knows of and that were still there when issued.")
    ]
    backups_expire_at: Annotated[_Moment | None, doc("When the last of them expires; null when there is none.")]
    issued_at: _Moment
    issued_by: Annotated[str, doc("The version of earwitness.")]
    public_key: Annotated[str, doc("What the signature is checked with; compare it with the one you were given.")]
    signature: CertificateSignature
