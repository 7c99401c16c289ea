"""Sealed values open in their own place, under their own key, unharmed; in no other way."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import CiphertextRefused
from earwitness.vault.data_key import OVERHEAD_BYTES, DataKey, SealedPlace
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import KEYS_REMEMBERED_MAX, Vault, owner_of
from earwitness.vault.wrapping import MasterKeyWrapper

KEY = DataKey(b"k" * 32)
PLACE = SealedPlace(account_id="111122223333", table="pipelines", row_id="p-1", column="metadata")
OWNER = owner_of(account_id="111122223333", table="voice_profile_domains", row_id="vpd-1")
MASTER = MasterKey(key=b"m" * 32)

parts = st.text(max_size=12)
places = st.builds(SealedPlace, account_id=parts, table=parts, row_id=parts, column=parts)


def _vault(master_key: MasterKey = MASTER, *, keys_remembered_max: int = KEYS_REMEMBERED_MAX) -> Vault:
    return Vault(MasterKeyWrapper(master_key), keys_remembered_max=keys_remembered_max)


@given(plaintext=st.binary(max_size=200), place=places)
def test_a_value_opens_in_its_place(plaintext: bytes, place: SealedPlace) -> None:
    ciphertext = KEY.seal(plaintext, place)
    assert KEY.open(ciphertext, place) == plaintext
    assert len(ciphertext) == len(plaintext) + OVERHEAD_BYTES
    assert KEY.seal(plaintext, place) != ciphertext


@given(sealed=places, opened=places)
def test_a_value_opens_in_no_other_place(sealed: SealedPlace, opened: SealedPlace) -> None:
    ciphertext = KEY.seal(b"value", sealed)
    if sealed != opened:
        with pytest.raises(CiphertextRefused):
            KEY.open(ciphertext, opened)


def test_places_whose_parts_join_alike_are_different_places() -> None:
    one = SealedPlace(account_id="1", table="ab", row_id="c", column="d")
    other = SealedPlace(account_id="1", table="a", row_id="bc", column="d")
    with pytest.raises(CiphertextRefused):
        KEY.open(KEY.seal(b"value", one), other)


def test_a_value_that_is_changed_in_any_bit_is_refused() -> None:
    ciphertext = KEY.seal(b"sixteen byte txt", PLACE)
    for bit in range(8 * len(ciphertext)):
        changed = bytearray(ciphertext)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(CiphertextRefused):
            KEY.open(bytes(changed), PLACE)


def test_a_value_that_is_cut_or_longer_is_refused() -> None:
    ciphertext = KEY.seal(b"value", PLACE)
    for length in range(len(ciphertext)):
        with pytest.raises(CiphertextRefused):
            KEY.open(ciphertext[:length], PLACE)
    with pytest.raises(CiphertextRefused):
        KEY.open(ciphertext + b"\0", PLACE)


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(CiphertextRefused):
        KEY.open(noise, PLACE)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(CiphertextRefused):
        DataKey(b"x" * 32).open(KEY.seal(b"value", PLACE), PLACE)


def test_nonces_come_from_the_randomness_that_is_passed_in() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes([len(asked)] * count)

    key = DataKey(b"k" * 32, random_bytes=random_bytes)
    assert key.seal(b"value", PLACE)[:13] == b"\x01" + b"\x01" * 12
    assert key.seal(b"value", PLACE)[:13] == b"\x01" + b"\x02" * 12
    assert asked == [12, 12]


def test_digests_are_equal_for_equal_data_under_the_same_key_only() -> None:
    assert KEY.digest(b"+4930123") == DataKey(b"k" * 32).digest(b"+4930123")
    assert KEY.digest(b"+4930123") != KEY.digest(b"+4930124")
    assert KEY.digest(b"+4930123") != DataKey(b"x" * 32).digest(b"+4930123")


def test_a_data_key_opens_for_its_owner_only() -> None:
    vault = _vault()
    wrapped = vault.new_wrapped_key(owner=OWNER)
    sealed = vault.key(wrapped, owner=OWNER).seal(b"value", PLACE)
    assert _vault().key(wrapped, owner=OWNER).open(sealed, PLACE) == b"value"
    with pytest.raises(CiphertextRefused):
        vault.key(wrapped, owner=owner_of(account_id="9", table="voice_profile_domains", row_id="vpd-1"))
    with pytest.raises(CiphertextRefused):
        _vault(MasterKey(key=b"n" * 32)).key(wrapped, owner=OWNER)


def test_without_its_wrapped_key_a_value_is_lost() -> None:
    vault = _vault()
    wrapped = vault.new_wrapped_key(owner=OWNER)
    sealed = vault.key(wrapped, owner=OWNER).seal(b"value", PLACE)
    vault.forget(wrapped, owner=OWNER)
    replacement = vault.new_wrapped_key(owner=OWNER)
    with pytest.raises(CiphertextRefused):
        vault.key(replacement, owner=OWNER).open(sealed, PLACE)


class _Counting(MasterKeyWrapper):
    """A wrapper that counts what it unwraps."""

    unwrapped = 0

    def unwrap(self, wrapped_key: bytes, *, owner: str) -> bytes:
        self.unwrapped += 1
        return super().unwrap(wrapped_key, owner=owner)


def test_keys_in_use_are_remembered_and_the_oldest_is_dropped() -> None:
    wrapper = _Counting(MASTER)
    vault = Vault(wrapper, keys_remembered_max=2)
    first, second, third = (vault.new_wrapped_key(owner=OWNER) for _ in range(3))
    for wrapped in (first, second, first, third, first):
        vault.key(wrapped, owner=OWNER)
    assert wrapper.unwrapped == 3
    vault.key(second, owner=OWNER)
    assert wrapper.unwrapped == 4
    vault.forget(second, owner=OWNER)
    vault.forget(second, owner=OWNER)
    vault.key(second, owner=OWNER)
    assert wrapper.unwrapped == 5


def test_one_key_serves_many_threads() -> None:
    vault = _vault(keys_remembered_max=3)
    keys = [vault.new_wrapped_key(owner=OWNER) for _ in range(6)]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(300):
                wrapped = keys[number % 6]
                key = vault.key(wrapped, owner=OWNER)
                assert key.open(key.seal(b"v" * number, PLACE), PLACE) == b"v" * number
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_check_value_tells_a_wrong_master_key() -> None:
    check = _vault().new_wrapped_key(owner="check")
    assert _vault().master_keys.opener(check, owner="check") == MASTER.key_id
    assert _vault(MasterKey(key=b"n" * 32)).master_keys.opener(check, owner="check") is None


def test_keys_do_not_show_themselves() -> None:
    assert "6d6d" not in repr(MASTER)
    assert "mmm" not in repr(MASTER)
    assert "kkk" not in repr(KEY) + str(vars(type(KEY)))
    try:
        KEY.open(b"", PLACE)
    except CiphertextRefused as error:
        assert PLACE.row_id not in str(error)
        assert PLACE.account_id not in str(error)
