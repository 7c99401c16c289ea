"""The age format (age-encryption.org/v1): files that are encrypted for somebody who is not us.

The library is `pyrage`, the Rust implementation of age; it is loaded when something is encrypted or opened, and holds
Python's lock for as long as that takes, 1.4 s for a gigabyte. What belongs here: keys and bytes. What must never: which
bytes.
"""

# pyright: reportMissingModuleSource=false
# Its modules are in one compiled file, which pyright does not see.

from io import BufferedIOBase
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from earwitness.errors import ArchiveInvalid, BadRequest

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_CHECKSUM = 6
_CHUNK_BYTES, _TAG_BYTES = 65_536, 16
_HEADER_BYTES_MAX = 4_096
"""Of a file for one key: 200 bytes, and some hundred more that mean nothing, which the library adds at random."""

_SECRET = "AGE-SECRET-KEY-1"  # noqa: S105  # how one begins


def require_recipient(text: str) -> str:
    """Return a public key as it is written.

    Raise BadRequest when it is none of age's X25519 keys, or a point of low order, which agrees on the same secret with
    everybody; the library panics over such a point.
    """
    from pyrage import RecipientError, x25519

    try:
        recipient = str(x25519.Recipient.from_str(text))
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(_point(recipient)))
    except (RecipientError, ValueError):
        raise BadRequest(
            "the recipient is no public key of age, which begins with age1; `age-keygen -o key.txt` makes a pair"
        ) from None
    return recipient


def _point(recipient: str) -> bytes:
    """Return the 32 bytes of a public key of age, which is Bech32: five bits in a letter."""
    number = 0
    for letter in recipient.removeprefix("age1")[:-_BECH32_CHECKSUM]:
        number = number << 5 | _BECH32.index(letter)
    return (number >> 4).to_bytes(32)  # 52 letters have 260 bits


def encrypt(content: bytes, *, recipient: str) -> bytes:
    """Return the content as an age file that the recipient alone can open. Raise BadRequest."""
    file = memoryview(bytearray(encrypted_bytes_max(len(content))))
    return bytes(file[: encrypt_into(file, memoryview(content), recipient=recipient)])


def encrypted_bytes_max(size: int) -> int:
    """Return how many bytes an age file may have with so many bytes of content."""
    return _HEADER_BYTES_MAX + size + (size // _CHUNK_BYTES + 1) * _TAG_BYTES


def encrypt_into(file: memoryview, content: memoryview, *, recipient: str) -> int:
    """Write the content as an age file to the begin of `file`, which has room for `encrypted_bytes_max`.

    Return how many bytes it has. Raise BadRequest.
    """
    from pyrage import encrypt_io, x25519

    written = _Written(file)
    encrypt_io(_Read(content), written, [x25519.Recipient.from_str(require_recipient(recipient))])
    return written.size


class _Read(BufferedIOBase):
    """Memory as a file that is read."""

    def __init__(self, memory: memoryview) -> None:
        self._rest = memory

    def read(self, size: int | None = -1, /) -> bytes:
        end = len(self._rest) if size is None or size < 0 else size
        block, self._rest = bytes(self._rest[:end]), self._rest[end:]
        return block


class _Written(BufferedIOBase):
    """Memory as a file that is written."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.size = 0

    def write(self, block: "Buffer", /) -> int:
        content = memoryview(block)
        end = self.size + len(content)
        self._memory[self.size : end] = content
        self.size = end
        return len(content)


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
