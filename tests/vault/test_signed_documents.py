"""Whoever has the public key alone can say whether a document is as it was signed; nobody can make one that is not."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import SignatureInvalid
from earwitness.vault.data_key import DataKey
from earwitness.vault.signing import PublicKey, Signer, canonical, verified

SIGNER = Signer(DataKey(b"k" * 32))
OTHER = Signer(DataKey(b"o" * 32))
DOCUMENT = {"count": 3, "node": "n-1", "head": "ab" * 32, "times": [1, None, True], "of": {"x": "ü"}}
PURPOSE = "a test"

plain = st.recursive(
    st.none() | st.booleans() | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcXYZ_", max_size=5), inner, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=6), plain, max_size=5)


def _text(*, signer: Signer = SIGNER) -> str:
    return json.dumps(signer.signed(DOCUMENT, purpose=PURPOSE))


def _refused(text: str | bytes, *, purpose: str = PURPOSE, key: PublicKey = SIGNER.public) -> None:
    with pytest.raises(SignatureInvalid):
        verified(text, purpose=purpose, key=key)


@given(document=documents)
@settings(max_examples=50)
def test_what_was_signed_is_proved_with_the_public_key_alone(document: dict[str, object]) -> None:
    key = PublicKey.from_text(SIGNER.public.text + "\n")
    signed = SIGNER.signed(document, purpose=PURPOSE)
    for text in (json.dumps(signed), json.dumps(signed, indent=2, sort_keys=True)):
        assert verified(text, purpose=PURPOSE, key=key) == document


def test_every_bit_counts() -> None:
    text = canonical(SIGNER.signed(DOCUMENT, purpose=PURPOSE))
    assert verified(text, purpose=PURPOSE, key=SIGNER.public) == DOCUMENT
    for place in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[place] ^= 1 << bit
            _refused(bytes(changed))


def test_another_key_or_purpose_does_not_prove_it() -> None:
    _refused(_text(), key=OTHER.public)
    _refused(_text(), purpose="another test")
    forged = json.loads(_text(signer=OTHER))
    forged["signature"]["keyId"] = SIGNER.public.key_id
    _refused(json.dumps(forged))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"signature": null}',
        '{"signature": {}}',
        '{"signature": {"keyId": 1, "ed25519": 2}}',
        json.dumps({"signature": {"keyId": SIGNER.public.key_id, "ed25519": "AAAA"}}),
        json.dumps({"signature": {"keyId": SIGNER.public.key_id, "ed25519": "*"}}),
        "[" * 100_000,
        b"\xff\xfe\xfd",
        _text()[:-1],
        _text().replace('"count": 3', '"count": 3.0'),
        _text().replace('"count": 3', '"count": 3, "count": 3'),
        _text().replace('"count": 3', '"count": 3, "more": 1e999'),
        _text().replace('"count": 3', f'"count": {10**30}'),
        _text().replace('"n-1"', '"\\ud800"'),
    ],
)
def test_hostile_documents_are_refused(text: str | bytes) -> None:
    _refused(text)


@pytest.mark.parametrize(
    "document",
    [{"share": 0.5}, {"é": 1}, {"large": 2**53}, {"half": "\ud800"}, {"bytes": b""}, {"signature": {}}],
)
def test_what_others_would_write_otherwise_is_not_signed(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        SIGNER.signed(document, purpose=PURPOSE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519 AAAA",
        "ed25519:",
        "ed25519:AAAA",
        "ed25519:é",
        SIGNER.public.text[:-1],
        # The last letter before "=" has two bits that say nothing.
        SIGNER.public.text[:-2] + chr(ord(SIGNER.public.text[-2]) + 1) + "=",
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        PublicKey.from_text(text)


def test_the_key_comes_from_its_data_key_and_shows_nothing_of_it() -> None:
    assert Signer(DataKey(b"k" * 32)).public.text == SIGNER.public.text != OTHER.public.text
    assert base64.b64encode(b"k" * 32).decode() not in repr(SIGNER) + SIGNER.public.text


def test_openssl_says_the_same(tmp_path: Path) -> None:
    signature = json.loads(_text())["signature"]["ed25519"]
    (tmp_path / "key.pem").write_text(SIGNER.public.pem)
    (tmp_path / "message").write_bytes(PURPOSE.encode() + b"\0" + canonical(DOCUMENT))
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"]
    command += ["-in", "message", "-sigfile", "signature"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert "Signature Verified Successfully" in done.stdout, done.stderr
