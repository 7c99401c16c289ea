"""The master key: 32 bytes that every data key is wrapped under, in a file of its owner's or given by value.

The file holds one line of base64. It is made at the first start, complete or not at all, and is refused when anybody
but its owner may read it. Whoever loses it loses everything encrypted under it: back it up apart from the records.
"""

import base64
import binascii
import hashlib
import hmac
import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.errors import MasterKeyInvalid

KEY_BYTES = 32
_ID_PURPOSE = b"earwitness master key id 1"
_RIGHTS_OF_OTHERS = 0o077
FILE_BYTES_MAX = 256


@dataclass(frozen=True, kw_only=True)
class MasterKey:
    """A key of 32 bytes; it does not show itself when printed or logged."""

    key: bytes = field(repr=False)
    #: Where it came from, in a word or two for people: `file`, `environment` or `passphrase`.
    source: str = field(default="file", compare=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise MasterKeyInvalid(f"a master key has {KEY_BYTES} bytes and this one has {len(self.key)}")

    @property
    def key_id(self) -> str:
        """Return 16 characters that tell this key from others; they are no secret, and nothing of it follows."""
        return hmac.digest(self.key, _ID_PURPOSE, hashlib.sha256)[:8].hex()


def new_master_key(*, random_bytes: Callable[[int], bytes] = os.urandom) -> MasterKey:
    """Return a key that nobody had before."""
    return MasterKey(key=random_bytes(KEY_BYTES))


def master_key_from_text(text: str) -> MasterKey:
    """Return the key that is written as base64 (44 characters); raise MasterKeyInvalid when it is anything else."""
    try:
        key = base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        # The cause would quote the text, and the text may be most of a key.
        raise MasterKeyInvalid(
            "the master key is not base64; make one with `head -c 32 /dev/urandom | base64`"
        ) from None
    return MasterKey(key=key, source="environment")


def load_or_make_master_key(path: Path, *, random_bytes: Callable[[int], bytes] = os.urandom) -> MasterKey:
    """Return the key of this file, made first where there is none; raise MasterKeyInvalid when it cannot be used.

    Of several processes that start at once, all get the same key. It is on the disk, name included, before this
    returns, so nothing is ever encrypted under a key that a power failure could take away.
    """
    try:
        return read_master_key(path)
    except FileNotFoundError:
        write_private(path, base64.b64encode(random_bytes(KEY_BYTES)) + b"\n")
    try:
        return read_master_key(path)
    except FileNotFoundError as error:
        raise MasterKeyInvalid(f"the master key {path} disappeared while it was being made; start again") from error


def write_master_key(path: Path, key: MasterKey) -> None:
    """Write a key where no file is yet; a file that is there stays. Raise MasterKeyInvalid."""
    write_private(path, base64.b64encode(key.key) + b"\n")


def read_master_key(path: Path) -> MasterKey:
    """Return the key of a file. Raise FileNotFoundError without one, MasterKeyInvalid when it cannot be used."""
    content = read_private(path, what="the master key")
    try:
        key = master_key_from_text(content.decode("ascii"))
    except (UnicodeDecodeError, MasterKeyInvalid):
        raise MasterKeyInvalid(
            f"the master key {path} does not hold {KEY_BYTES} bytes of base64; restore it from your backup"
        ) from None
    return MasterKey(key=key.key)


def read_private(path: Path, *, what: str) -> bytes:
    """Return the content of a small file that nobody but its owner may open; `what` is what errors call it.

    Raise FileNotFoundError without one, MasterKeyInvalid when it cannot be used.
    """
    try:
        return _read_private(path, what)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise MasterKeyInvalid(f"{what} {path} cannot be read: {error.strerror}") from error


def _read_private(path: Path, what: str) -> bytes:
    """Return the content of the very file whose rights were looked at."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MasterKeyInvalid(f"{what} {path} is not a file; name one, or a path where none is yet")
        if stat.S_IMODE(status.st_mode) & _RIGHTS_OF_OTHERS:
            raise MasterKeyInvalid(f"{what} {path} is open to others; `chmod 600 {path}` and consider it seen")
        return os.read(descriptor, FILE_BYTES_MAX)
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Write beside the name and link it there: the name appears once, with the whole content behind it.

    A file of this name that is there already stays as it is. Raise MasterKeyInvalid.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made with O_EXCL and rights for the owner alone, which the link shares.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _link(Path(temporary), path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise MasterKeyInvalid(f"the master key {path} cannot be made: {error.strerror}") from error


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return  # another process was first, and its key is the one to use


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
