"""The age format (age-encryption.org/v1): files that are encrypted for somebody who is not us.

The library is `pyrage`, the Rust implementation of age; it is loaded when something is encrypted or opened. What
belongs here: keys and bytes. What must never: which bytes.
"""

# pyright: reportMissingModuleSource=false
# Its modules are in one compiled file, which pyright does not see.

from earwitness.errors import ArchiveInvalid, BadRequest

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
    from pyrage import encrypt, x25519

    return encrypt(content, [x25519.Recipient.from_str(require_recipient(recipient))])


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
