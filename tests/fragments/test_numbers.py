"""Fragment numbers: their digits, their order, what is no number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import BadRequest
from earwitness.fragments.numbers import DIGITS, SEQUENCE_MAX, FragmentNumber, read_number

numbers = st.builds(
    FragmentNumber,
    sequence=st.integers(1, SEQUENCE_MAX),
    server_ms=st.integers(0, 2**42),
    random=st.integers(0, 2**28 - 1),
)


@given(number=numbers)
def test_a_number_is_read_as_it_was_composed(number: FragmentNumber) -> None:
    assert len(str(number)) == DIGITS
    assert read_number(str(number)) == number


@given(one=numbers, other=numbers)
def test_numbers_sort_alike_in_parts_as_text_and_as_integers(one: FragmentNumber, other: FragmentNumber) -> None:
    assert (one < other) == (str(one) < str(other)) == (int(str(one)) < int(str(other)))


def test_numbers_begin_as_those_of_aws() -> None:
    number = FragmentNumber(sequence=1, server_ms=1_767_225_600_000, random=0)
    assert int(str(number)) == 2**156 + 2**92 + 1_767_225_600_000 * 2**28
    assert str(number).startswith("9134385233")


@pytest.mark.parametrize("text", ["", "1", "9" * 46, "0" * 47, "x" * 47, "-" + "9" * 46, " " + "9" * 46, "９" * 47])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_number(text)
