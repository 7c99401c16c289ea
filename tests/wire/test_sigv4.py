"""Signatures: what botocore signs must verify, and whatever was changed on the way must not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from stock_client import ACCESS_KEY_ID, SECRET, received

from earwitness.errors import Unauthorized
from earwitness.wire.messages import Request
from earwitness.wire.service_models import load_services
from earwitness.wire.sigv4 import (
    SIGNING_KEYS_MAX,
    SignatureClaim,
    parse_authorization,
    require_signed,
    signing_key,
    verify,
)

ARN = "arn%3Aaws%3Achime%3Aus-east-1%3A123456789012%3Avoice-profile%2Fvp-1"
TOKEN = "session-token-1"  # noqa: S105  # of nobody
NOW = datetime(2024, 2, 29, 12, 30, 59, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}

# name: method, URL, headers, body, session token
VECTORS: dict[str, tuple[str, str, dict[str, str], bytes, str | None]] = {
    "plain": ("GET", "http://localhost/voice-profiles", {}, b"", None),
    "port": ("GET", "http://localhost:8123/voice-profiles", {}, b"", None),
    "address": ("GET", "http://[::1]:8123/voice-profiles", {}, b"", None),
    "root": ("GET", "http://localhost:8123/", {}, b"", None),
    "no path": ("GET", "http://localhost:8123", {}, b"", None),
    "encoded ARN": ("GET", f"http://localhost/media-insights-pipelines/{ARN}/x", {}, b"", None),
    "encoded twice": ("GET", "http://localhost/voice-profiles/a%252Fb", {}, b"", None),
    "unicode path": ("GET", "http://localhost/voice-profiles/%C3%A9%F0%9F%98%80", {}, b"", None),
    "odd path": ("GET", "http://localhost/a~b_c.d-e/+$!*'()/x/", {}, b"", None),
    "query": ("GET", f"http://localhost/tags?arn={ARN}", {}, b"", None),
    "query order": ("GET", "http://localhost/x?b=2&a=2&a=1&c&%20=", {}, b"", None),
    "query unicode": ("GET", "http://localhost/x?next-token=%E6%BC%A2%2B%20", {}, b"", None),
    "constant query": ("POST", "http://localhost/x?operation=start", {}, b"", None),
    "body": ("POST", "http://localhost/voice-profiles", JSON, '{"Name": "é😀"}'.encode(), None),
    "binary body": ("PUT", "http://localhost/x", {}, bytes(range(256)), None),
    "blanks": ("POST", "http://localhost/x", {"X-Amzn-Stream-Name": "  a   b\t c "}, b"", None),
    "token": ("GET", "http://localhost/x", {}, b"", TOKEN),
}


def sign(
    method: str = "POST",
    url: str = "http://localhost:8123/voice-profiles?a=1&b=2",
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    token: str | None = None,
    *,
    signer: type[SigV4Auth] = SigV4Auth,
) -> Request:
    """A request as botocore signs it at NOW for chime in us-east-1."""
    request = AWSRequest(method, url, headers=headers or dict(JSON), data=body)
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        signer(Credentials(ACCESS_KEY_ID, SECRET, token), "chime", "us-east-1").add_auth(request)
    return received(request.prepare())


def check(request: Request, *, secret: str = SECRET, now: datetime = NOW, **options: Any) -> SignatureClaim:
    claim = parse_authorization(request)
    options = {"skew_seconds": 300, "services": ("chime",)} | options
    verify(request, claim, secret, now=now, **options)
    return claim


def with_header(request: Request, name: str, value: str | None) -> Request:
    """The request with a header replaced, added or (None) removed."""
    lines = [line for line in request.header_list if line[0] != name]
    return replace(request, header_list=(*lines, *([] if value is None else [(name, value)])))


@pytest.mark.parametrize("name", VECTORS)
def test_what_botocore_signs_verifies(name: str) -> None:
    claim = check(sign(*VECTORS[name]))
    assert (claim.access_key_id, claim.region, claim.service) == (ACCESS_KEY_ID, "us-east-1", "chime")


def test_the_first_example_of_awss_own_test_suite_verifies() -> None:
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )
    headers = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z", "Authorization": authorization}
    request = Request.received(
        method="GET",
        raw_path=b"/",
        raw_query=b"",
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
    )
    check(request, now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC), services=["service"])


def test_what_is_not_signed_may_change_and_the_query_may_be_reordered() -> None:
    request = sign()
    check(with_header(request, "user-agent", "other"))
    check(with_header(request, "x-forwarded-for", "10.0.0.1"))
    check(replace(request, raw_query="b=2&a=1"))
    check(replace(request, raw_path="/./x/..//voice-profiles"))  # as canonical; the router refuses such a path


def edit_authorization(old: str, new: str) -> Callable[[Request], Request]:
    return lambda request: with_header(request, "authorization", request.headers["authorization"].replace(old, new))


CHANGES: dict[str, Callable[[Request], Request]] = {
    "method": lambda request: replace(request, method="PUT"),
    "path": lambda request: replace(request, raw_path="/voice-profiles/a"),
    "path case": lambda request: replace(request, raw_path="/Voice-profiles"),
    "path encoding": lambda request: replace(request, raw_path="/voice%2Dprofiles"),
    "trailing slash": lambda request: replace(request, raw_path="/voice-profiles/"),
    "query": lambda request: replace(request, raw_query="a=1&b=3"),
    "query added": lambda request: replace(request, raw_query="a=1&b=2&c=3"),
    "query removed": lambda request: replace(request, raw_query=""),
    "body": lambda request: replace(request, body=b"{ }"),
    "body removed": lambda request: replace(request, body=b""),
    "host": lambda request: with_header(request, "host", "localhost:8124"),
    "signed header": lambda request: with_header(request, "content-type", "text/plain"),
    "signed header removed": lambda request: with_header(request, "content-type", None),
    "signed header repeated": lambda request: replace(
        request, header_list=(*request.header_list, ("content-type", "application/json"))
    ),
    "region": edit_authorization("us-east-1", "us-west-2"),
    "service": edit_authorization("/chime/", "/kinesisvideo/"),
    "access key": edit_authorization(ACCESS_KEY_ID, "AKIDOTHER"),
    "date": lambda request: with_header(request, "x-amz-date", (NOW + timedelta(seconds=9)).strftime("%Y%m%dT%H%M%SZ")),
    "host unsigned": edit_authorization("host;", ""),
}


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"access key"}))
def test_what_was_changed_does_not_verify(name: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        check(CHANGES[name](sign()), services=("chime", "kinesisvideo"))
    assert SECRET not in str(caught.value)


def test_another_key_is_looked_up_and_its_secret_does_not_fit() -> None:
    request = CHANGES["access key"](sign())
    assert parse_authorization(request).access_key_id == "AKIDOTHER"
    with pytest.raises(Unauthorized, match="does not match"):
        check(request, secret=SECRET + "x")


@st.composite
def changes(draw: st.DrawFn) -> Request:
    """The signed request with one part of it edited."""
    request = sign()
    part = draw(st.sampled_from(["method", "raw_path", "raw_query", "body", "signature", "header"]))
    at = draw(st.integers(1, 40))
    if part == "body":
        return replace(request, body=draw(st.binary().filter(lambda body: body != request.body)))
    if part == "signature":
        value = request.headers["authorization"]
        digit = draw(st.sampled_from("0123456789abcdef").filter(lambda digit: digit != value[-at]))
        return with_header(request, "authorization", value[:-at] + digit + value[len(value) - at + 1 :])
    if part == "header":
        name = draw(st.sampled_from(["host", "content-type", "x-amz-date"]))
        return with_header(request, name, insert(request.headers[name], at, "x"))
    return replace(request, **{part: insert(getattr(request, part), at, draw(st.sampled_from("aZ0-")))})


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(changes())
def test_any_change_is_noticed(changed: Request) -> None:
    with pytest.raises(Unauthorized):
        check(changed)


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(lambda secret: secret != SECRET))
def test_any_other_secret_is_noticed(secret: str) -> None:
    """Without NUL, since HMAC fills keys up with it: a secret and the same with a NUL at its end are one key."""
    with pytest.raises(Unauthorized, match="does not match"):
        check(sign(), secret=secret)


def insert(text: str, position: int, letter: str) -> str:
    at = min(position, len(text))
    return text[:at] + letter + text[at:]


@pytest.mark.parametrize(("seconds", "message"), [(301, "in the past"), (-301, "in the future"), (86_400, "past")])
def test_the_clock(seconds: int, message: str) -> None:
    request = sign()
    check(request, now=NOW + timedelta(seconds=300))
    check(request, now=NOW - timedelta(seconds=300))
    with pytest.raises(Unauthorized, match=message):
        check(request, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is not signed; configure an access key"),
        ("", "sign with AWS Signature Version 4"),
        ("Bearer token", "sign with AWS Signature Version 4"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "sign with AWS Signature Version 4"),
        ("AWS4-HMAC-SHA256", "each once"),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b", "each once"),
        ("AWS4-HMAC-SHA256 Credential=a, Credential=b, Signature=c", "each once"),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c, Signature=c", "each once"),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c", "key-id/YYYYMMDD"),
        ("AWS4-HMAC-SHA256 Credential=a/2024/r/s/aws4_request, SignedHeaders=b, Signature=c", "key-id/YYYYMMDD"),
        ("AWS4-HMAC-SHA256 Credential=a/b/20240101/r/s/aws4_request, SignedHeaders=b, Signature=c", "key-id/YYYYMMDD"),
        ("AWS4-HMAC-SHA256 Credential=a/20240101/../s/aws4_request, SignedHeaders=b, Signature=c", "key-id/YYYYMMDD"),
        ("AWS4-HMAC-SHA256 Credential=a/20240101/r/s/aws4_request, SignedHeaders=, Signature=c", "SignedHeaders is"),
        ("AWS4-HMAC-SHA256 Credential=a/20240101/r/s/aws4_request, SignedHeaders=a b, Signature=c", "SignedHeaders is"),
        ("AWS4-HMAC-SHA256 Credential=a/20240101/r/s/aws4_request, SignedHeaders=b, Signature=C", "64 hexadecimal"),
        ("AWS4-HMAC-SHA256 " + "x" * 10_000, "too long"),
    ],
)
def test_authorizations_that_cannot_be_read(value: str | None, message: str) -> None:
    with pytest.raises(Unauthorized, match=message):
        parse_authorization(with_header(sign(), "authorization", value))


def test_odd_blanks_in_the_authorization_are_read() -> None:
    request = sign()
    value = request.headers["authorization"]
    check(with_header(request, "authorization", f"  {value.replace(', ', ',')}  "))
    check(with_header(request, "authorization", value.replace(", ", " ,   ").replace("SHA256 ", "SHA256   ")))


def test_two_authorizations_and_presigned_urls_are_refused() -> None:
    request = sign()
    twice = replace(request, header_list=(*request.header_list, ("authorization", request.headers["authorization"])))
    with pytest.raises(Unauthorized, match="several Authorization headers"):
        parse_authorization(twice)
    presigned = with_header(replace(request, raw_query="X-Amz-Signature=0"), "authorization", None)
    with pytest.raises(Unauthorized, match="presigned URLs"):
        parse_authorization(presigned)


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("20240230T000000Z", "is not one time"),
        ("2024-01-01", "is not one time"),
        ("20240101T000000Z", "different days"),
    ],
)
def test_dates_that_cannot_be_read(date: str, message: str) -> None:
    with pytest.raises(Unauthorized, match=message):
        check(with_header(sign(), "x-amz-date", date))


class WithoutHost(SigV4Auth):
    """No SDK leaves the host out; a request so signed could be replayed to another server."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        headers = super().headers_to_sign(request)
        del headers["host"]
        return headers


def test_unexpected_services_and_unsigned_essentials_are_refused() -> None:
    with pytest.raises(Unauthorized, match="host is not signed"):
        check(sign(signer=WithoutHost))
    with pytest.raises(Unauthorized, match="sign for kinesisvideo"):
        check(sign(), services=("kinesisvideo",))
    with pytest.raises(Unauthorized, match="x-amz-date is not signed"):
        check(edit_authorization(";x-amz-date", "")(sign()))


class Unsigned(SigV4Auth):
    """As the Java producer and aws4 sign PutMedia."""

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002  # the name is botocore's
        return "UNSIGNED-PAYLOAD"


class Empty(SigV4Auth):
    """As the C producer signs PutMedia."""

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002  # the name is botocore's
        return "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_streamed_bodies_are_covered_only_where_that_is_allowed() -> None:
    java = with_header(sign(signer=Unsigned), "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    script = sign(signer=Unsigned, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    for request in (java, script, sign(signer=Unsigned), sign(signer=Empty)):
        check(replace(request, body=b"streamed later"), unsigned=True)
        with pytest.raises(Unauthorized):
            check(request)
    with pytest.raises(Unauthorized, match="UNSIGNED-PAYLOAD"):
        check(java)


def test_body_hashes_must_be_those_of_the_body() -> None:
    right = sign(headers={"X-Amz-Content-SHA256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"})
    check(right)
    with pytest.raises(Unauthorized, match="not the SHA-256 of the body"):
        check(replace(right, body=b"[]"))
    for unsigned in (False, True):
        chunked = with_header(right, "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        with pytest.raises(Unauthorized, match="signed in chunks"):
            check(chunked, unsigned=unsigned)


def test_session_tokens_are_ignored_or_refused() -> None:
    request = sign(token=TOKEN)
    check(request)
    with pytest.raises(Unauthorized, match="long-lived keys"):
        check(request, refuse_session_token=True)
    check(with_header(sign(), "x-amz-security-token", "unsigned"))


PUT_MEDIA_HEADERS = (
    "x-amzn-stream-name",
    "x-amzn-stream-arn",
    "x-amzn-fragment-timecode-type",
    "x-amzn-producer-start-timestamp",
)
PRODUCERS = {
    # Recorded: what these signers made of one PutMedia request, with the key EARWPRODUCER and the secret `secret`.
    "the JavaScript SDK, @smithy/signature-v4 5.7.5": (
        "host;x-amz-content-sha256;x-amz-date;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;"
        "x-amzn-stream-name",
        "eae882bf86f1bff46efeab3e0bca5b9524cfc69285291e9200389f52e652fbc1",
    ),
    "aws4 1.13.2": (
        "host;x-amz-date;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name",
        "c9d695e02dc33b9244860a8a87d848f45e79cffc6cb505f4c7c981f568481470",
    ),
}


def test_the_parameters_of_put_media_must_be_signed() -> None:
    put_media = load_services(["kinesis-video-media"])["kinesis-video-media"].operations["PutMedia"]
    assert put_media.header_names == PUT_MEDIA_HEADERS
    signed = sign(headers={"X-Amzn-Stream-Name": "calls"})
    require_signed(signed, check(signed), PUT_MEDIA_HEADERS)
    for name in PUT_MEDIA_HEADERS[1:]:
        added = with_header(signed, name, "something")
        with pytest.raises(Unauthorized, match=f"{name} is not signed"):
            require_signed(added, check(added), PUT_MEDIA_HEADERS)


def test_what_a_load_balancer_adds_need_not_be_signed() -> None:
    traced = with_header(sign(headers={"X-Amzn-Stream-Name": "calls"}), "x-amzn-trace-id", "Root=1-67891233-abcdef")
    require_signed(traced, check(traced), PUT_MEDIA_HEADERS)


@pytest.mark.parametrize("producer", PRODUCERS)
def test_producers_sign_the_parameters_of_put_media(producer: str) -> None:
    names, signature = PRODUCERS[producer]
    headers = {
        "host": "127.0.0.1:4500",
        "x-amz-date": "20260101T000000Z",
        "x-amzn-stream-name": "call-7",
        "x-amzn-fragment-timecode-type": "RELATIVE",
        "x-amzn-producer-start-timestamp": "1767225600",
        "authorization": "AWS4-HMAC-SHA256 Credential=EARWPRODUCER/20260101/us-east-1/kinesisvideo/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}",
    }
    if "x-amz-content-sha256" in names:
        headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    request = Request(method="POST", raw_path="/putMedia", raw_query="", header_list=tuple(headers.items()))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    claim = check(request, secret="secret", now=now, services=("kinesisvideo",), unsigned=True)  # noqa: S106  # above
    require_signed(request, claim, PUT_MEDIA_HEADERS)


def test_thousands_of_headers_do_no_harm() -> None:
    request = sign()
    lines = tuple((f"x-{index % 50}", "value " * 3) for index in range(5000))
    check(replace(request, header_list=request.header_list + lines))
    names = ";".join(f"x-{index % 50}" for index in range(1500))
    crowded = edit_authorization("host;", f"host;{names};")(replace(request, header_list=request.header_list + lines))
    with pytest.raises(Unauthorized):
        check(crowded)


def test_signing_keys_are_kept_and_bounded() -> None:
    scope = ("20240229", "us-east-1", "chime", SECRET)
    first = signing_key(*scope)
    assert signing_key(*scope) is first
    for index, other in enumerate(("20240301", "eu-west-1", "kinesisvideo", SECRET + "x")):
        changed = (*scope[:index], other, *scope[index + 1 :])
        assert signing_key(*changed).hexdigest() != first.hexdigest()
    for number in range(SIGNING_KEYS_MAX):
        signing_key("20240229", "us-east-1", "chime", f"secret {number}")
    assert signing_key.cache_info().currsize == SIGNING_KEYS_MAX
    again = signing_key(*scope)
    assert again is not first
    assert again.hexdigest() == first.hexdigest()
