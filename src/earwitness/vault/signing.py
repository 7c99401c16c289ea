"""Signatures that anybody can check without us: Ed25519 (RFC 8032) over the canonical bytes of a small JSON document.

The private key is never kept: it is derived from a data key, so it is as safe as whatever is sealed, and outlives a
change of the master key. The public key is one line, `ed25519:` and base64, which is given to whoever shall check.

What is signed is a word for what the document is for, a zero byte, and the document as RFC 8785 (JCS) writes it. So a
signature for one purpose proves nothing for another, and other programs can check it with any Ed25519 library.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from earwitness.errors import SignatureInvalid
from earwitness.vault.data_key import DataKey

SignedDocument: TypeAlias = Mapping[str, object]
"""A JSON object of texts, whole numbers, booleans, null, and lists and objects of these. Names of members are ASCII."""

MEMBER = "signature"
"""The member of a document that holds its signature: `keyId` and `ed25519`, in base64."""

_PURPOSE = b"earwitness signing key 1"
_PREFIX = "ed25519:"
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_WHOLE_MAX = 2**53 - 1
_DEPTH_MAX = 20
_ALWAYS_PLAIN = (str, bool, type(None))
_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_KEY_ID_LENGTH = 16
_NO_SIGNATURE = "the document has no signature of this form; it is none of ours, or was changed"


class PublicKey:
    """What signatures are checked with. It is no secret."""

    __slots__ = ("_key", "key_id", "text")

    def __init__(self, raw: bytes) -> None:
        """Take the 32 bytes of an Ed25519 public key; raise SignatureInvalid for any other number."""
        if len(raw) != _KEY_BYTES:
            raise SignatureInvalid(f"a public key has {_KEY_BYTES} bytes and this one has {len(raw)}")
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.key_id = hashlib.sha256(raw).hexdigest()[:_KEY_ID_LENGTH]
        """The first 16 hexadecimal digits of the key's SHA-256; every signature names it."""
        self.text = _PREFIX + base64.b64encode(raw).decode("ascii")
        """The key as one line, `ed25519:` and base64."""

    @classmethod
    def from_text(cls, text: str) -> "PublicKey":
        """Return the key of a line that `text` was; raise SignatureInvalid when it is anything else."""
        line = text.strip()
        if not line.startswith(_PREFIX):
            raise SignatureInvalid(f"a public key begins with {_PREFIX}; `earwitness audit key` prints it")
        return cls(_from_base64(line.removeprefix(_PREFIX), "the public key is not base64; copy the whole line"))

    @property
    def pem(self) -> str:
        """Return the key as PEM (SubjectPublicKeyInfo), for OpenSSL and others."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(serialization.Encoding.PEM, form).decode("ascii")

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raise SignatureInvalid unless this key signed exactly these bytes."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise SignatureInvalid(
                f"the signature does not fit key {self.key_id}: something was changed, or another key signed it"
            ) from None


class Signer:
    """Signs under the key that belongs to one data key. Safe to use from several threads; it never shows itself."""

    __slots__ = ("_key", "public")

    def __init__(self, key: DataKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(key.digest(_PURPOSE))
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = PublicKey(raw)
        """What the signatures are checked with."""

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes, always the same ones for the same message."""
        return self._key.sign(message)

    def signed(self, document: SignedDocument, *, purpose: str) -> dict[str, object]:
        """Return the document with a member `signature`, over all its other members and the purpose.

        Raise ValueError for a document that has that member, or a value that is not of `SignedDocument`.
        """
        if MEMBER in document:
            raise ValueError("the document is signed already")
        signature = base64.b64encode(self.sign(_message(document, purpose))).decode("ascii")
        return {**document, MEMBER: {"keyId": self.public.key_id, "ed25519": signature}}


def verified(text: str | bytes, *, purpose: str, key: PublicKey) -> dict[str, object]:
    """Return the document of a JSON text without its signature, once the key has proved it.

    Raise SignatureInvalid for text that is no such document, names a member twice, was changed in any value, is for
    another purpose, or was signed by another key. Blanks and the order of members may differ: they say nothing.
    """
    document = _parsed(text)
    signature = document.pop(MEMBER, None)
    if not isinstance(signature, dict):
        raise SignatureInvalid(_NO_SIGNATURE)
    parts = cast("dict[str, object]", signature)
    key_id, given = parts.get("keyId"), parts.get("ed25519")
    if parts.keys() != {"keyId", "ed25519"} or not isinstance(key_id, str) or not isinstance(given, str):
        raise SignatureInvalid(_NO_SIGNATURE)
    if key_id != key.key_id:
        raise SignatureInvalid(
            f"the document names another key than {key.key_id}; check it with the key of its service"
        )
    signed = _from_base64(given, _NO_SIGNATURE)
    if len(signed) != _SIGNATURE_BYTES:
        raise SignatureInvalid(_NO_SIGNATURE)
    try:
        message = _message(document, purpose)
    except ValueError:
        raise SignatureInvalid("the document holds a value that no document of ours can hold; it was changed") from None
    key.verify(message, signed)
    return document


def canonical(document: object) -> bytes:
    """Return the bytes of a document as RFC 8785 writes them.

    Raise ValueError for what `SignedDocument` does not allow.
    """
    _require_plain(document, 0)
    return _WRITER.encode(document).encode()  # UnicodeEncodeError is a ValueError


def _message(document: SignedDocument, purpose: str) -> bytes:
    return purpose.encode("ascii") + b"\0" + canonical(document)


def _require_plain(value: object, depth: int) -> None:
    """Raise ValueError for what is not written the same by everybody: fractions, large numbers, names beyond ASCII."""
    if depth > _DEPTH_MAX:
        raise ValueError("a document is nested too deeply")
    if isinstance(value, _ALWAYS_PLAIN):
        return
    if isinstance(value, int) and abs(value) <= _WHOLE_MAX:
        return
    if isinstance(value, list | tuple):
        for one in cast("list[object]", value):
            _require_plain(one, depth + 1)
        return
    if isinstance(value, dict):
        for name, one in cast("dict[object, object]", value).items():
            if not isinstance(name, str) or not name.isascii():
                raise ValueError("the name of a member is not ASCII text")
            _require_plain(one, depth + 1)
        return
    raise ValueError(f"a signed document cannot hold this {type(value).__name__}")


def _parsed(text: str | bytes) -> dict[str, object]:
    """Return a JSON object; raise SignatureInvalid for anything else."""
    try:
        parsed: object = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        raise SignatureInvalid("this is no JSON, or names a member twice; it is damaged, or none of ours") from None
    if not isinstance(parsed, dict):
        raise SignatureInvalid(_NO_SIGNATURE)
    return cast("dict[str, object]", parsed)


def _without_repetition(members: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in members}) != len(members):
        raise ValueError("a member is named twice")
    return dict(members)


def _from_base64(text: str, refusal: str) -> bytes:
    """Return the bytes of a base64 text; raise SignatureInvalid for one that the bytes would not be written as."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureInvalid(refusal) from None
    if base64.b64encode(found).decode("ascii") != text:  # its last letter has bits that say nothing
        raise SignatureInvalid(refusal)
    return found
