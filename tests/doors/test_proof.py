"""How phone systems prove who they are. Vectors are the vendors' own, or made by other libraries than ours."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from earwitness.doors.proof import (
    AUDIOHOOK,
    BASIC,
    TOKEN,
    TWILIO,
    WEB_TOKEN,
    Dialled,
    Proof,
    Verdict,
    nonce_of,
)
from earwitness.voice.connector import DoorSecret

NOW = 1_700_000_000.0
SECRETS = {
    DoorSecret.TWILIO_AUTH_TOKEN: "12345",
    DoorSecret.TOKEN: "t0ken-of-a-connector",
    DoorSecret.BASIC: "user:pass:word",
    DoorSecret.JWT_SECRET: "a secret of thirty-two characters",
    DoorSecret.AUDIOHOOK_API_KEY: "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh",
    DoorSecret.AUDIOHOOK_CLIENT_SECRET: "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU=",
}


def dialled(url: str = "wss://calls.example.com/doors/c/twilio", *, token: str = "", **headers: str) -> Dialled:
    authority, _, target = url.partition("://")[2].partition("/")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Dialled(urls=(url,), targets=((authority, f"/{target}"),), headers=named, token=token)


def judge(proof: Proof, what: Dialled, *, now: float = NOW) -> Verdict:
    return proof.judge(what, SECRETS, now=now)


# Twilio.


def test_twilios_own_example() -> None:
    """twilio.com/docs/usage/security and the tests of its libraries: URL and parameters; ours are always in the URL."""
    signed = "https://mycompany.com/myapp.php?foo=1&bar=2"
    for name, value in sorted(
        {
            "CallSid": "CA1234567890ABCDE",
            "Caller": "+14158675309",
            "Digits": "1234",
            "From": "+14158675309",
            "To": "+18005551212",
        }.items()
    ):
        signed += name + value
    what = Dialled(urls=(signed,), targets=(), headers={"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="})
    assert judge(TWILIO, what) is Verdict.PROVED


@pytest.mark.parametrize(
    "signed",
    [
        "wss://calls.example.com/doors/c/twilio",
        "https://calls.example.com/doors/c/twilio",
        "wss://calls.example.com:443/doors/c/twilio",
    ],
)
def test_twilio_may_write_the_url_in_some_ways(signed: str) -> None:
    signature = base64.b64encode(hmac.new(b"12345", signed.encode(), hashlib.sha1).digest()).decode()
    assert judge(TWILIO, dialled(x_twilio_signature=signature)) is Verdict.PROVED
    assert judge(TWILIO, dialled("wss://calls.example.com/doors/other", x_twilio_signature=signature)) is Verdict.WRONG
    newer = base64.b64encode(hmac.new(b"12345", signed.encode(), hashlib.sha256).digest()).decode()
    assert judge(TWILIO, dialled(x_twilio_signature=newer)) is Verdict.WRONG
    settings = {"x_twilio_webhooks_signature_settings": "key=WK1,algorithm=HMAC-SHA256"}
    assert judge(TWILIO, dialled(x_twilio_signature=newer, **settings)) is Verdict.PROVED


def test_a_port_that_is_not_the_standard_one_is_signed() -> None:
    for url, right in (("wss://a:8443/x", True), ("wss://a/x", False)):
        signature = base64.b64encode(hmac.new(b"12345", url.encode(), hashlib.sha1).digest()).decode()
        found = judge(TWILIO, dialled("wss://a:8443/x", x_twilio_signature=signature))
        assert (found is Verdict.PROVED) == right


def test_what_is_not_given_or_not_set_proves_nothing() -> None:
    for proof in (TWILIO, TOKEN, BASIC, WEB_TOKEN, AUDIOHOOK):
        assert judge(proof, dialled()) is Verdict.ABSENT
        everything = dialled(
            token="",  # the secret that is not set
            authorization="Basic ",
            x_twilio_signature="",
            signature="a=:=:",
        )
        assert proof.judge(everything, {}, now=NOW) is Verdict.ABSENT


# Tokens and passwords.


def test_a_token_travels_in_the_path_or_as_a_bearer_token() -> None:
    secret = SECRETS[DoorSecret.TOKEN]
    assert judge(TOKEN, dialled(token=secret)) is Verdict.PROVED
    assert judge(TOKEN, dialled(authorization=f"Bearer {secret}")) is Verdict.PROVED
    for wrong in (secret[:-1], secret + "x", "ü" * 20, "\udcff"):
        assert judge(TOKEN, dialled(token=wrong)) is Verdict.WRONG


def test_basic() -> None:
    def found(credentials: str) -> Verdict:
        return judge(BASIC, dialled(authorization=credentials))

    assert found("Basic " + base64.b64encode(b"user:pass:word").decode()) is Verdict.PROVED
    assert found("basic " + base64.b64encode(b"user:pass:word").decode()) is Verdict.PROVED
    assert found("Basic " + base64.b64encode(b"user:pass").decode()) is Verdict.WRONG
    assert found("Basic user:pass:word") is Verdict.WRONG
    assert found("Bearer x") is Verdict.ABSENT


def web_token(claims: dict[str, object], *, algorithm: str = "HS256", key: str = "", **header: object) -> str:
    secret = OctKey.import_key(key or SECRETS[DoorSecret.JWT_SECRET])
    return jwt.encode({"alg": algorithm, **header}, claims, secret, algorithms=[algorithm])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claims", "right"),
    [
        ({"iat": NOW - 10, "exp": NOW + 60}, True),
        ({"exp": NOW + 60}, True),
        ({"iat": NOW - 299}, True),
        ({"iat": NOW - 301}, False),
        ({"iat": NOW - 10, "exp": NOW - 1}, False),
        ({"nbf": NOW + 400, "exp": NOW + 900}, False),
        ({"iss": "Vonage"}, False),
        ({"exp": True}, False),
        ({"exp": "2999-01-01"}, False),
        ({"exp": float("1e400")}, False),
    ],
)
def test_a_web_token_that_another_library_signed(claims: dict[str, object], right: bool) -> None:
    try:
        token = web_token(claims)
    except ValueError:  # what no JSON can hold
        return
    found = judge(WEB_TOKEN, dialled(authorization=f"Bearer {token}"))
    assert found is (Verdict.PROVED if right else Verdict.WRONG)


def test_a_web_token_of_another_algorithm_or_key_is_wrong() -> None:
    claims: dict[str, object] = {"exp": NOW + 60}
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    payload = web_token(claims).split(".")[1]
    wrong = [
        web_token(claims, algorithm="HS512"),
        web_token(claims, key="another secret of thirty-two chars"),
        f"{unsigned}.{payload}.",
        f"{unsigned}.{payload}.{web_token(claims).split('.')[2]}",
        "..",
        "a.b.c",
        "é.é.é",
        f"{web_token(claims)}x",
    ]
    for token in wrong:
        assert judge(WEB_TOKEN, dialled(authorization=f"Bearer {token}")) is Verdict.WRONG


# Genesys: the example of its documentation, which its reference implementation's tests have too.

EXAMPLE = {
    "host": "audiohook.example.com",
    "audiohook_organization_id": "d7934305-0972-4844-938e-9060eef73d05",
    "audiohook_session_id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
    "audiohook_correlation_id": "e160e428-53e2-487c-977d-96989bf5c99d",
    "x_api_key": "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh",
    "signature": "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:",
    "signature_input": 'sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" '
    '"audiohook-correlation-id" "x-api-key");keyid="SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh";'
    'nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created=1641013200;expires=3282026430',
}
EXAMPLE_URL = "wss://audiohook.example.com/api/v1/voicebiometrics/ws"
EXAMPLE_AT = 1_641_013_205.0


def test_genesyss_own_example() -> None:
    what = dialled(EXAMPLE_URL, **EXAMPLE)
    assert judge(AUDIOHOOK, what, now=EXAMPLE_AT) is Verdict.PROVED
    assert nonce_of(what) == "VGhpc0lzQVVuaXF1ZU5vbmNl"


@pytest.mark.parametrize("seconds", [-4.0, 10.5, 3600.0])
def test_a_signature_of_genesys_is_good_for_ten_seconds(seconds: float) -> None:
    assert judge(AUDIOHOOK, dialled(EXAMPLE_URL, **EXAMPLE), now=1_641_013_200 + seconds) is Verdict.WRONG


@pytest.mark.parametrize(
    "change",
    [
        ("audiohook_organization_id", "d7934305", "e7934305"),
        ("audiohook_session_id", "30b0e395", "40b0e395"),
        ("x_api_key", "SGVs", "SGVt"),
        ("signature", "NZBw", "NZBx"),
        ("signature", "sig1", "sig2"),
        ("signature", ":", ""),
        ("signature_input", "nonce=", "nonc="),
        ("signature_input", "VGhpc0lzQVVuaXF1ZU5vbmNl", "VGhpc0lzQVVuaXF1ZU5vb"),
        ("signature_input", '"@authority" ', ""),
        ("signature_input", "created=1641013200;", ""),
        ("signature_input", "hmac-sha256", "rsa-v1_5-sha256"),
        ("signature_input", "expires=3282026430", "expires=1641013100"),
        ("signature_input", '" "', '"  "'),
        ("signature_input", "created=1641013200", "created=16410132001641013200"),
    ],
)
def test_what_genesys_signed_cannot_be_changed(change: tuple[str, str, str]) -> None:
    name, old, new = change
    assert old in EXAMPLE[name]
    changed = {**EXAMPLE, name: EXAMPLE[name].replace(old, new)}
    assert judge(AUDIOHOOK, dialled(EXAMPLE_URL, **changed), now=EXAMPLE_AT) is Verdict.WRONG


def test_another_path_or_host_is_not_what_was_signed() -> None:
    for url in (EXAMPLE_URL + "?a=1", EXAMPLE_URL.replace("audiohook.", "other.")):
        assert judge(AUDIOHOOK, dialled(url, **EXAMPLE), now=EXAMPLE_AT) is Verdict.WRONG


@given(st.text(), st.text(max_size=200))
def test_anything_may_be_given(header: str, value: str) -> None:
    for name in ("authorization", "signature", "signature-input", "x-twilio-signature"):
        what = Dialled(
            urls=(f"wss://a/{value}".encode("ascii", "replace").decode(),),
            targets=(("a", "/"),),
            headers={**{key.replace("_", "-"): text for key, text in EXAMPLE.items()}, name: header + value},
            token=value,
        )
        for proof in (TWILIO, TOKEN, BASIC, WEB_TOKEN, AUDIOHOOK):
            assert judge(proof, what) is not Verdict.PROVED
