"""Requests between nodes: only of a node of these records, for this one, now, once."""

from dataclasses import replace

import pytest

from earwitness.errors import Unauthorized
from earwitness.nodes.signing import SKEW_SECONDS_MAX, InternalRequest, SignatureCheck, signed_headers
from earwitness.vault.data_key import DataKey

KEY = DataKey(b"k" * 32)
ASKED = InternalRequest(method="POST", path="/internal/a", body=b"{}", run="this run")


def headers(*, now: float = 1_000.0, nonce: str = "n", key: DataKey = KEY) -> dict[str, str]:
    return signed_headers(ASKED, key, now=now, nonce=nonce)


def test_a_nodes_request_passes_once() -> None:
    check = SignatureCheck(KEY)
    check.require(ASKED, headers(), now=1_000)
    check.require(ASKED, headers(nonce="another"), now=1_000)
    with pytest.raises(Unauthorized):
        check.require(ASKED, headers(), now=1_001)


@pytest.mark.parametrize(
    "received",
    [
        replace(ASKED, method="GET"),
        replace(ASKED, path="/internal/b"),
        replace(ASKED, body=b"{ }"),
        replace(ASKED, run="the next run"),
    ],
)
def test_what_was_signed_for_something_else_does_not(received: InternalRequest) -> None:
    with pytest.raises(Unauthorized):
        SignatureCheck(KEY).require(received, headers(), now=1_000)


@pytest.mark.parametrize("now", [1_000 - SKEW_SECONDS_MAX - 1, 1_000 + SKEW_SECONDS_MAX + 1])
def test_what_was_recorded_does_not(now: float) -> None:
    with pytest.raises(Unauthorized):
        SignatureCheck(KEY).require(ASKED, headers(), now=now)


@pytest.mark.parametrize("name", ["x-earwitness-time", "x-earwitness-nonce", "x-earwitness-signature"])
@pytest.mark.parametrize("value", ["", "nan", "é", "1e999"])
def test_forged_headers_do_not(name: str, value: str) -> None:
    with pytest.raises(Unauthorized):
        SignatureCheck(KEY).require(ASKED, headers() | {name: value}, now=1_000)


def test_a_stranger_does_not() -> None:
    with pytest.raises(Unauthorized):
        SignatureCheck(KEY).require(ASKED, headers(key=DataKey(b"s" * 32)), now=1_000)
    with pytest.raises(Unauthorized):
        SignatureCheck(KEY).require(ASKED, {}, now=1_000)


def test_nonces_are_forgotten_when_they_are_of_no_use_any_more() -> None:
    check = SignatureCheck(KEY, nonces_max=2)
    check.require(ASKED, headers(nonce="1"), now=1_000)
    check.require(ASKED, headers(nonce="2"), now=1_000)
    with pytest.raises(Unauthorized):
        check.require(ASKED, headers(nonce="3"), now=1_000)
    later = 1_000 + 2 * SKEW_SECONDS_MAX + 1
    check.require(ASKED, headers(nonce="1", now=later), now=later)
