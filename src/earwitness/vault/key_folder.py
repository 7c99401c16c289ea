"""Where the master keys of an installation are: the data folder, a value, or a passphrase; and the next one.

The next key lies in `master.key.next`, in the data folder of every node, as long as a rotation lasts. Whatever is
killed in the middle, all keys that the records may need are among those that `found` returns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from earwitness.errors import MasterKeyInvalid
from earwitness.vault.master_key import (
    MasterKey,
    load_or_make_master_key,
    master_key_from_text,
    read_master_key,
    read_private,
    sync_folder,
    write_master_key,
    write_private,
)
from earwitness.vault.passphrase import ScryptParameters, key_of_passphrase, new_key, read_parameters


def _nobody_to_ask() -> str:
    return ""


@dataclass(frozen=True)
class KeyFolder:
    """The master keys of one node."""

    folder: Path
    #: A key as base64, given by value; the folder's own file is of no use then.
    text: str = field(default="", repr=False)
    #: Returns the passphrase; "" where there is none. It is asked for once, and only when it is needed.
    ask: Callable[[], str] = field(default=_nobody_to_ask, repr=False)

    @property
    def file(self) -> Path:
        """Return the file of a key that is not made of anything."""
        return self.folder / "master.key"

    @property
    def parameters(self) -> Path:
        """Return the file with salt and parameters of the passphrase."""
        return self.folder / "master.key.scrypt"

    @property
    def next_file(self) -> Path:
        """Return where the next key lies while a rotation lasts."""
        return self.folder / "master.key.next"

    @property
    def next_parameters(self) -> Path:
        """Return where its salt and parameters lie, when it is made of a passphrase."""
        return self.folder / "master.key.scrypt.next"

    @property
    def described(self) -> str:
        """Return where this node's key is, for people."""
        if self.text:
            return "the setting master_key"
        return f"the passphrase with {self.parameters}" if self._is_of_passphrase() else str(self.file)

    def is_there(self) -> bool:
        """Return whether there is a key, or what one is made of."""
        files = self.file, self.parameters, self.next_file
        return bool(self.text) or any(file.exists() for file in files)

    def missing(self) -> str:
        """Return what to give where there is none."""
        if self._passphrase:
            return f"the salt {self.parameters} is missing, and without it the passphrase opens nothing"
        return f"the master key {self.file} is missing"

    def found(self, *, may_make: bool = False) -> Sequence[MasterKey]:
        """Return all keys that can be had, this node's own first; made first where there is none, if it may be.

        Raise MasterKeyInvalid when one cannot be used, or a passphrase is needed and nobody gives it.
        """
        found = [master_key_from_text(self.text)] if self.text else self._own_keys(may_make)
        if (key := _read_if_there(self.next_file)) is not None:
            found.append(key)
        return tuple(found)

    def offer(self, key: MasterKey, parameters: ScryptParameters | None = None) -> None:
        """Put a key where a rotation finds it; a key that is there stays. Raise MasterKeyInvalid."""
        if not self.next_file.exists():
            self.next_parameters.unlink(missing_ok=True)
        if parameters is not None:
            write_private(self.next_parameters, parameters.as_bytes())
        write_master_key(self.next_file, key)

    def withdraw(self) -> None:
        """Take the next key away: there is no rotation to it."""
        self.next_file.unlink(missing_ok=True)
        self.next_parameters.unlink(missing_ok=True)

    def settle(self, in_force: str) -> str:
        """After a rotation, put the key of this id where the former one was; what was there gets another name.

        Return what is left to do for people, "" for nothing. To do it twice is to do it once.
        """
        following = _read_if_there(self.next_file)
        if following is None or following.key_id != in_force:
            return ""
        if self.text:
            if master_key_from_text(self.text).key_id != in_force:
                return f"the setting master_key still gives the former key: set it to the one in {self.next_file}"
            self.withdraw()
            return ""
        offered = _parameters_if_there(self.next_parameters)
        is_passphrase = offered is not None and offered.key_id == in_force
        own = _read_if_there(self.file)
        if own is not None and own.key_id != in_force:
            _rename(self.file, self.file.with_name(f"master.key.former-{own.key_id}"))
        salt = _parameters_if_there(self.parameters)
        if salt is not None and salt.key_id != in_force:
            _rename(self.parameters, self.parameters.with_name(f"master.key.scrypt.former-{salt.key_id}"))
        if is_passphrase:
            _rename(self.next_parameters, self.parameters)
        if is_passphrase or (salt is not None and salt.key_id == in_force):
            self.next_file.unlink(missing_ok=True)
        else:
            _rename(self.next_file, self.file)
        sync_folder(self.folder)
        return ""

    @cached_property
    def _passphrase(self) -> str:
        return self.ask()

    def _is_of_passphrase(self) -> bool:
        return self.parameters.exists() or (bool(self._passphrase) and not self.file.exists())

    def _own_keys(self, may_make: bool) -> list[MasterKey]:
        if not self._is_of_passphrase():
            if may_make and not self.is_there():
                return [load_or_make_master_key(self.file)]
            if self._passphrase:
                raise MasterKeyInvalid(
                    f"a passphrase is given, and the key is in {self.file}: change to the passphrase with `earwitness "
                    "master-key rotate --passphrase`, or take the setting away"
                )
            key = _read_if_there(self.file)
            return [] if key is None else [key]
        if may_make and not self.is_there():
            write_private(self.parameters, new_key(self._passphrase)[1].as_bytes())
        kept = [key for key in (_read_if_there(self.file),) if key is not None]
        others = bool(kept) or self.next_file.exists()
        if not self.parameters.exists() or (others and not self._passphrase):
            return kept
        return [self._of_passphrase(), *kept]

    def _of_passphrase(self) -> MasterKey:
        if not self._passphrase:
            raise MasterKeyInvalid(
                f"the master key is made of a passphrase, with {self.parameters}: give it by the setting "
                "master_key_passphrase_file, by EARWITNESS_MASTER_KEY_PASSPHRASE, or at a terminal"
            )
        parameters = _parameters_if_there(self.parameters)
        if parameters is None:
            raise MasterKeyInvalid(f"{self.missing()}: restore it from your backup")
        if parameters.salt not in self._derived:
            self._derived[parameters.salt] = key_of_passphrase(self._passphrase, parameters)
        return self._derived[parameters.salt]

    @cached_property
    def _derived(self) -> dict[bytes, MasterKey]:
        """Keys made in this process, by salt: to make one again takes half a second."""
        return {}


def passphrase_in(path: Path) -> str:
    """Return the passphrase in a file, its first line; raise MasterKeyInvalid when it cannot be used."""
    try:
        content = read_private(path, what="the passphrase")
    except FileNotFoundError:
        raise MasterKeyInvalid(f"the passphrase {path} is missing; give the file that holds it") from None
    try:
        line = content.decode().partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        line = ""
    if not line:
        raise MasterKeyInvalid(f"the passphrase {path} holds no text; its first line is the passphrase")
    return line


def _read_if_there(path: Path) -> MasterKey | None:
    try:
        return read_master_key(path)
    except FileNotFoundError:
        return None


def _parameters_if_there(path: Path) -> ScryptParameters | None:
    try:
        return read_parameters(read_private(path, what="the salt"))
    except FileNotFoundError:
        return None


def _rename(path: Path, to: Path) -> None:
    """Rename, unless another process of this folder did it a moment ago."""
    try:
        path.rename(to)
    except FileNotFoundError:
        return
