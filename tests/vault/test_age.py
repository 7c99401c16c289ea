"""Files in the age format are opened by the right key alone, and a changed one by none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import ArchiveInvalid, BadRequest
from earwitness.vault.age import decrypt, encrypt, encrypt_into, encrypted_bytes_max, new_identity

SECRET, PUBLIC = new_identity()
CHUNK = 65_536
NOBODYS = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"
"""The point zero of the curve: what is agreed with it is zero too, for everybody. The library panics over it."""


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_what_is_encrypted_is_opened_whatever_its_size(size: int) -> None:
    content = bytes(number * 7 % 251 for number in range(size))
    file = encrypt(content, recipient=PUBLIC)
    assert len(file) <= encrypted_bytes_max(size)
    assert decrypt(file, identity=SECRET) == content
    with pytest.raises(ArchiveInvalid, match="does not open with this key"):
        decrypt(file, identity=new_identity()[0])


@settings(deadline=None)
@given(content=st.binary(max_size=300), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed_wherever_it_is(content: bytes, at: int, bit: int) -> None:
    file = bytearray(encrypt(content, recipient=PUBLIC))
    file[at % len(file)] ^= 1 << bit
    with pytest.raises(ArchiveInvalid):
        decrypt(bytes(file), identity=SECRET)


def test_a_file_in_memory_that_was_used_before_holds_nothing_of_it() -> None:
    file = memoryview(bytearray(encrypted_bytes_max(3 * CHUNK)))
    encrypt_into(file, memoryview(b"\x01" * (3 * CHUNK)), recipient=PUBLIC)
    size = encrypt_into(file, memoryview(b"short"), recipient=PUBLIC)
    assert decrypt(bytes(file[:size]), identity=SECRET) == b"short"


@pytest.mark.parametrize(
    "recipient",
    ["", "age1nonsense", PUBLIC[:-1] + "?", SECRET, NOBODYS],
    ids=["nothing", "nonsense", "another letter", "a secret key", "nobody's"],
)
def test_what_is_no_key_of_somebody_is_refused(recipient: str) -> None:
    with pytest.raises(BadRequest, match="age-keygen"):
        encrypt(b"", recipient=recipient)
