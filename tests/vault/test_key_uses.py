"""Which keys were used is told once, and again when somebody begins anew."""

from earwitness.vault.master_key import MasterKey
from earwitness.vault.uses import OWNERS_MAX, KeyUses
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper

OWNER = "a/b/c"


def test_a_use_is_told_once_until_one_begins_anew() -> None:
    vault = Vault(MasterKeyWrapper(MasterKey(key=b"m" * 32)))
    wrapped, uses = vault.new_wrapped_key(owner=OWNER), vault.uses
    assert uses.waiting() == frozenset()
    for _ in range(2):
        vault.key(wrapped, owner=OWNER)
    assert uses.waiting() == uses.waiting() == {OWNER}
    uses.told(frozenset({OWNER}), begins_anew=False)
    vault.key(wrapped, owner=OWNER)
    assert uses.waiting() == frozenset()
    uses.told(frozenset(), begins_anew=True)
    vault.key(wrapped, owner=OWNER)  # out of memory
    assert uses.waiting() == {OWNER}


def test_what_is_remembered_is_bounded() -> None:
    uses = KeyUses()
    for number in range(OWNERS_MAX + 1):
        uses.note(str(number))
    assert len(uses._known) == 1
    assert len(uses.waiting()) == OWNERS_MAX + 1
