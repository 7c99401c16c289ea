"""A master key made of a passphrase, by scrypt (RFC 7914).

The parameters and the salt lie in a file beside the data. They are no secret; without them the passphrase is of no use.
"""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from earwitness.errors import MasterKeyInvalid
from earwitness.vault.master_key import KEY_BYTES, MasterKey

COST = 2**17
"""About half a second and 128 MiB for each guess, as OWASP's Password Storage Cheat Sheet has it."""

CHARACTERS_MIN = 12

_BLOCK = 8
_SALT_BYTES = 16
_COSTS = range(2**14, 2**21)
"""Less is guessed too easily; more, in a file that somebody changed, would take the machine's memory."""


@dataclass(frozen=True, kw_only=True)
class ScryptParameters:
    """How a passphrase becomes a key."""

    salt: bytes
    cost: int = COST
    #: The id of the key that comes of it with the right passphrase.
    key_id: str = ""

    def as_bytes(self) -> bytes:
        """Return what is kept of them."""
        salt = base64.b64encode(self.salt).decode()
        kept = {"kdf": "scrypt", "n": self.cost, "r": _BLOCK, "p": 1, "salt": salt, "key": self.key_id}
        return json.dumps(kept).encode() + b"\n"


def new_key(
    passphrase: str, *, cost: int = COST, random_bytes: Callable[[int], bytes] = os.urandom
) -> tuple[MasterKey, ScryptParameters]:
    """Return a key of this passphrase, and what has to be kept to make it again. Raise MasterKeyInvalid."""
    parameters = ScryptParameters(salt=random_bytes(_SALT_BYTES), cost=cost)
    key = key_of_passphrase(passphrase, parameters)
    return key, replace(parameters, key_id=key.key_id)


def read_parameters(content: bytes) -> ScryptParameters:
    """Return what `as_bytes` has written; raise MasterKeyInvalid for anything else."""
    try:
        read = json.loads(content)
        salt, cost = base64.b64decode(read["salt"], validate=True), read["n"]
        fixed, key_id = (read["kdf"], read["r"], read["p"]), str(read["key"])
    except (ValueError, TypeError, KeyError):
        salt, cost, fixed, key_id = b"", 0, (), ""
    is_power = isinstance(cost, int) and cost in _COSTS and cost & (cost - 1) == 0
    if fixed != ("scrypt", _BLOCK, 1) or len(salt) != _SALT_BYTES or not is_power:
        raise MasterKeyInvalid(
            "the file with salt and parameters of the passphrase is damaged; restore it from your backup, to the byte"
        )
    return ScryptParameters(salt=salt, cost=cost, key_id=key_id)


def key_of_passphrase(passphrase: str, parameters: ScryptParameters) -> MasterKey:
    """Return the key; raise MasterKeyInvalid for a passphrase that is too short, or that another key was made of."""
    if len(passphrase) < CHARACTERS_MIN:
        raise MasterKeyInvalid(f"a passphrase has at least {CHARACTERS_MIN} characters; take five words or more")
    derived = Scrypt(salt=parameters.salt, length=KEY_BYTES, n=parameters.cost, r=_BLOCK, p=1)
    key = MasterKey(key=derived.derive(passphrase.encode()), source="passphrase")
    if parameters.key_id not in ("", key.key_id):
        raise MasterKeyInvalid("the passphrase is not the one that the master key was made of; look for a typing error")
    return key
