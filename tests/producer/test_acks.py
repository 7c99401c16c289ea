"""Acknowledgements in any pieces, and what is none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import PutMediaFailed
from earwitness.producer.connection import Ack, AckReader, AckType

NUMBER = "91343852333181432392682062683891801378680086158"

documents = st.lists(
    st.one_of(
        st.builds(
            lambda kind, timecode: {"EventType": kind, "FragmentTimecode": timecode, "FragmentNumber": NUMBER},
            st.sampled_from(["BUFFERING", "RECEIVED", "PERSISTED"]),
            st.integers(0, 2**53),
        ),
        st.just({"EventType": "IDLE"}),
        st.just(
            {"EventType": "ERROR", "FragmentTimecode": -1, "FragmentNumber": "", "ErrorId": 4006, "ErrorCode": "X"}
        ),
    ),
    max_size=6,
)


def expected(document: dict[str, Any]) -> Ack:
    return Ack(
        type=AckType(document["EventType"]),
        timecode_ms=document.get("FragmentTimecode"),
        fragment_number=document.get("FragmentNumber", ""),
        error_code=document.get("ErrorCode", ""),
    )


@given(documents=documents, between=st.sampled_from(["", "\n", "\r\n", "  "]), size=st.integers(1, 400))
def test_objects_cut_anywhere(documents: list[dict[str, Any]], between: str, size: int) -> None:
    text = "".join(json.dumps(document) + between for document in documents).encode()
    reader = AckReader()
    found = [ack for first in range(0, len(text), size) for ack in reader.feed(text[first : first + size])]
    assert found == list(map(expected, documents))


@given(data=st.lists(st.binary(max_size=300), max_size=40))
def test_garbage_is_refused_and_nothing_else_happens(data: list[bytes]) -> None:
    reader = AckReader()
    try:
        for piece in data:
            reader.feed(piece)
    except PutMediaFailed as refused:
        assert "endpoint" in str(refused)


@pytest.mark.parametrize(
    "garbage",
    [
        b"7 ",
        b"[]",
        b'"text"',
        b"null",
        b"{}",
        b'{"EventType":"SHIPPED"}',
        b'{"EventType":"IDLE","FragmentTimecode":[]}',
        b"<html>",
        b"[" * 5_000,
        b'{"a":' * 5_000,
        b'{"EventType":"' + b"x" * 5_000,
    ],
)
def test_what_is_no_acknowledgement(garbage: bytes) -> None:
    with pytest.raises(PutMediaFailed, match="no acknowledgement"):
        AckReader().feed(garbage)


def test_the_nested_form_of_the_documentation() -> None:
    nested = {"Acknowledgement": {"AckEventType": "PERSISTED", "FragmentTimecode": 7, "FragmentNumber": NUMBER}}
    assert AckReader().feed(json.dumps(nested).encode()) == [
        Ack(type=AckType.PERSISTED, timecode_ms=7, fragment_number=NUMBER, error_code="")
    ]
