"""The age format (age-encryption.org/v1): files that are encrypted for somebody who is not us.

Keys are read and files are opened by `pyrage`, the Rust implementation of age, which is loaded when it is needed. It
encrypts at a third of OpenSSL's speed, and holds Python's lock for as long as that takes. So files are written here, by
OpenSSL: https://c2sp.org/age (docs/decisions/2026-11-27-backup-speed.md). What belongs here: keys and bytes. What must
never: which bytes.
"""

# pyright: reportMissingModuleSource=false
# Its modules are in one compiled file, which pyright does not see.

import base64
import hmac
import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from earwitness.errors import ArchiveInvalid, BadRequest

_VERSION = b"age-encryption.org/v1"
_KEY_BYTES, _SALT_BYTES, _TAG_BYTES = 16, 16, 16
_CHUNK_BYTES = 65_536
_HEADER_BYTES = 168
"""Of a file for one X25519 key: four lines, of which only the bytes differ."""

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_CHECKSUM = 6
_SECRET = "AGE-SECRET-KEY-1"  # noqa: S105  # how one begins


def require_recipient(text: str) -> str:
    """Return a public key as it is written; raise BadRequest when it is none of age's X25519 keys."""
    from pyrage import RecipientError, x25519

    try:
        return str(x25519.Recipient.from_str(text))
    except RecipientError:
        raise BadRequest(
            "the recipient is no public key of age, which begins with age1; `age-keygen -o key.txt` makes a pair"
        ) from None


def encrypt(content: bytes, *, recipient: str) -> bytes:
    """Return the content as an age file that the recipient alone can open. Raise BadRequest."""
    file = bytearray(encrypted_bytes(len(content)))
    encrypt_into(memoryview(file), memoryview(content), recipient=recipient)
    return bytes(file)


def encrypted_bytes(size: int) -> int:
    """Return how many bytes an age file has with so many bytes of content."""
    chunks = max(1, -(-size // _CHUNK_BYTES))
    return _HEADER_BYTES + _SALT_BYTES + size + chunks * _TAG_BYTES


def encrypt_into(file: memoryview, content: memoryview, *, recipient: str) -> int:
    """Write the content as an age file to the begin of `file`, which has room for `encrypted_bytes`; return these.

    Raise BadRequest.
    """
    key, salt = os.urandom(_KEY_BYTES), os.urandom(_SALT_BYTES)
    begin = _header(key, _point(recipient)) + salt
    at = len(begin)
    file[:at] = begin
    cipher = ChaCha20Poly1305(_derived(key, salt=salt, info=b"payload"))
    for number in range(max(1, -(-len(content) // _CHUNK_BYTES))):
        chunk = content[number * _CHUNK_BYTES : (number + 1) * _CHUNK_BYTES]
        is_last = (number + 1) * _CHUNK_BYTES >= len(content)
        end = at + len(chunk) + _TAG_BYTES
        cipher.encrypt_into(number.to_bytes(11) + bytes([is_last]), chunk, None, file[at:end])
        at = end
    return at


def _header(key: bytes, recipient: bytes) -> bytes:
    """Return the lines from which the recipient, a point on the curve, learns the key of a file."""
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError:
        raise BadRequest(
            "the recipient is a public key that anybody could open files of; `age-keygen -o key.txt` makes a pair"
        ) from None
    wrapping = _derived(shared, salt=share + recipient, info=_VERSION + b"/X25519")
    # The nonce may be zero: this key is used once.
    wrapped = ChaCha20Poly1305(wrapping).encrypt(bytes(12), key, None)
    lines = _VERSION + b"\n-> X25519 " + _base64(share) + b"\n" + _base64(wrapped) + b"\n---"
    mac = hmac.digest(_derived(key, salt=b"", info=b"header"), lines, "sha256")
    return lines + b" " + _base64(mac) + b"\n"


def _derived(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def _base64(content: bytes) -> bytes:
    return base64.b64encode(content).rstrip(b"=")


def _point(recipient: str) -> bytes:
    """Return the 32 bytes that a public key of age has in Bech32, five bits in a letter. Raise BadRequest."""
    letters = require_recipient(recipient).removeprefix("age1")[:-_BECH32_CHECKSUM]  # which was found to be right
    number = 0
    for letter in letters:
        number = number << 5 | _BECH32.index(letter)
    return (number >> 4).to_bytes(32)  # 52 letters have 260 bits


def decrypt(content: bytes, *, identity: str) -> bytes:
    """Return what an age file holds; raise ArchiveInvalid when it is for somebody else, or damaged."""
    from pyrage import DecryptError, IdentityError, decrypt, x25519

    try:
        return decrypt(content, [x25519.Identity.from_str(identity)])
    except IdentityError:
        raise ArchiveInvalid("the key is no secret key of age; give the file that `age-keygen` wrote") from None
    except DecryptError:
        raise ArchiveInvalid("a part does not open with this key: it is for somebody else, or damaged") from None


def identity_in(text: str) -> str:
    """Return the secret key in a file as `age-keygen` writes it; raise ArchiveInvalid without exactly one."""
    found = [line.strip() for line in text.splitlines() if line.strip().startswith(_SECRET)]
    if len(found) != 1:
        raise ArchiveInvalid(f"the key file holds {len(found)} secret keys of age; give one with exactly one")
    return found[0]


def new_identity() -> tuple[str, str]:
    """Return a new secret key and its public key."""
    from pyrage import x25519

    made = x25519.Identity.generate()
    return str(made), str(made.to_public())
