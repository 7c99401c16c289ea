"""Who signed a request, and whether the signature is good: AWS Signature Version 4 in the Authorization header.

Nothing here knows keys: the caller looks the secret up by the claim's access key id and hands it in. Error messages say
what to do next and never hold a secret or the signature that would have been right.
"""

import hmac
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from earwitness.errors import Unauthorized
from earwitness.wire.messages import Request

ALGORITHM = "AWS4-HMAC-SHA256"
AUTHORIZATION_CHARACTERS_MAX = 8192  # a request of an SDK has about 250; the C producer signs a dozen headers
SIGNING_KEYS_MAX = 1024  # one per secret, day, Region and service in use
TEXTS_KEPT = 256  # Credentials, SignedHeaders and times, read already: an SDK sends the same ones all day, or second

_UNSIGNED = "UNSIGNED-PAYLOAD"
_EMPTY_HASH = sha256(b"").hexdigest()
_CREDENTIAL = re.compile(r"([!-+\--.0-~]{1,128})/(\d{8})/([a-z0-9-]{1,32})/([a-z0-9-]{1,64})/aws4_request", re.ASCII)
_USUAL = re.compile(r"Credential=([^,=\s]+), SignedHeaders=([^,=\s]+), Signature=([^,=\s]+)")
"""As SDKs write it. Anything else is taken apart with more patience."""
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_HEADER_NAMES = re.compile(r"[!-:<-~]+(;[!-:<-~]+)*")
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_CANONICAL_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")
"""Paths as most are: no segment empty or of dots, nothing that is percent-encoded a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureClaim:
    """What an Authorization header says, not yet proved."""

    access_key_id: str
    date: str
    """The day of the credential scope, YYYYMMDD."""
    region: str
    service: str
    """The signing name: `chime` or `kinesisvideo`."""
    signed_headers: tuple[str, ...]
    """In lower case, in the order of the header."""
    signature: str
    """64 hexadecimal digits."""


@lru_cache(SIGNING_KEYS_MAX)
def signing_key(date: str, region: str, service: str, secret: str) -> hmac.HMAC:
    """Return the signing key of a scope, as the beginning of a signature: copy it. It is good for a day, and deriving
    it costs four hashes, so the latest are kept."""
    key = b"AWS4" + secret.encode("utf-8")
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("ascii"), "sha256")
    return hmac.new(key, digestmod="sha256")


def parse_authorization(request: Request) -> SignatureClaim:
    """Return what the Authorization header claims. Raise Unauthorized for none, several, or one we cannot read."""
    lines = request.header_values.get("authorization", [])
    if not lines:
        raise _not_signed(request)
    if len(lines) > 1:
        raise Unauthorized("the request has several Authorization headers; send one")
    scheme, _, rest = lines[0].strip().partition(" ")
    if scheme != ALGORITHM:
        raise Unauthorized(f"the Authorization header is not {ALGORITHM}; sign with AWS Signature Version 4")
    if len(rest) > AUTHORIZATION_CHARACTERS_MAX:
        raise Unauthorized("the Authorization header is too long; sign fewer headers")
    usual = _USUAL.fullmatch(rest)
    return _claim(*(usual.groups() if usual else _parts(rest)))


def verify(
    request: Request,
    claim: SignatureClaim,
    secret: str,
    *,
    now: datetime,
    skew_seconds: float,
    services: Collection[str],
    unsigned: bool = False,
    body_sha256: str | None = None,
    refuse_session_token: bool = False,
) -> None:
    """Prove a claim with the secret of its access key. Raise Unauthorized when it does not hold.

    `now` is aware; `skew_seconds` is how far the request's time may be from it, either way; `services` are the signing
    names we answer to. `unsigned` is for bodies that are streamed: the body is not covered, and the hash that the
    client signed in its place may be UNSIGNED-PAYLOAD, that of an empty body, or the one in `x-amz-content-sha256`
    (producers of Kinesis Video use all three). `body_sha256` is the hash of a body that was not kept with the request.
    A session token is ignored unless `refuse_session_token`: keys here are long-lived.
    """
    if claim.service not in services:
        raise Unauthorized(f"the request is signed for another service; sign for {' or '.join(sorted(services))}")
    if refuse_session_token and "x-amz-security-token" in request.header_values:
        raise Unauthorized("the request carries a session token; use the long-lived keys that this server gave out")
    _check_headers(request, claim)
    time = _check_time(request, claim, now=now, skew_seconds=skew_seconds)
    key = signing_key(claim.date, claim.region, claim.service, secret)
    for payload_hash in _payload_hashes(request, unsigned=unsigned, body_sha256=body_sha256):
        text = _canonical_request(request, claim.signed_headers, payload_hash)
        if hmac.compare_digest(_sign(key, time, claim, text), claim.signature):
            return
    raise Unauthorized(
        "the signature does not match; check the secret access key, and that no proxy on the way changes the Host "
        "header or the path"
    )


def _not_signed(request: Request) -> Unauthorized:
    if "x-amz-signature=" in request.raw_query.lower():
        return Unauthorized("presigned URLs are not supported; sign in the Authorization header, as SDKs do")
    return Unauthorized(
        "the request is not signed; configure an access key in the client (AWS_ACCESS_KEY_ID and secret)"
    )


def _parts(rest: str) -> tuple[str, str, str]:
    pairs = [part.partition("=") for part in rest.split(",")]
    parts = {name.strip(): value.strip() for name, _, value in pairs}
    if len(pairs) != 3 or parts.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise Unauthorized("the Authorization header needs Credential, SignedHeaders and Signature, each once")
    return parts["Credential"], parts["SignedHeaders"], parts["Signature"]


def _claim(credential: str, signed_headers: str, signature: str) -> SignatureClaim:
    access_key_id, date, region, service = _credential(credential)
    names = _header_names(signed_headers)
    if not _SIGNATURE.fullmatch(signature):
        raise Unauthorized("the Signature is not 64 hexadecimal digits in lower case; sign with an AWS SDK")
    return SignatureClaim(
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
        signature=signature,
    )


@lru_cache(TEXTS_KEPT)
def _credential(text: str) -> tuple[str, str, str, str]:
    scope = _CREDENTIAL.fullmatch(text)
    if not scope:
        raise Unauthorized("the Credential is not key-id/YYYYMMDD/region/service/aws4_request; sign with an AWS SDK")
    access_key_id, date, region, service = scope.groups()
    return access_key_id, date, region, service


@lru_cache(TEXTS_KEPT)
def _header_names(text: str) -> tuple[str, ...]:
    if not _HEADER_NAMES.fullmatch(text):
        raise Unauthorized("SignedHeaders is not a list of header names with semicolons; sign with an AWS SDK")
    return tuple(text.split(";"))


def require_signed(request: Request, claim: SignatureClaim, names: Iterable[str]) -> None:
    """Raise Unauthorized when the request has one of these headers (in lower case) and did not sign it.

    A header that nobody signed may have been changed or added on the way, so it cannot say what a request is about.
    """
    for name in names:
        if name in request.header_values and name not in claim.signed_headers:
            raise Unauthorized(f"the header {name} is not signed; add it to SignedHeaders")


def _check_headers(request: Request, claim: SignatureClaim) -> None:
    """Require that every signed header is there, and that the signature covers the host and the time."""
    values = request.header_values
    for name in claim.signed_headers:
        if name not in values:
            raise Unauthorized("a signed header did not arrive; let no proxy on the way remove headers")
    for name in ("host", "x-amz-date"):
        if name not in claim.signed_headers:
            raise Unauthorized(f"the header {name} is not signed; add it to SignedHeaders")


def _check_time(request: Request, claim: SignatureClaim, *, now: datetime, skew_seconds: float) -> str:
    values = request.header_values["x-amz-date"]
    try:
        if len(values) != 1:
            raise ValueError
        signed = _time(values[0])
    except ValueError:
        raise Unauthorized("x-amz-date is not one time as YYYYMMDDTHHMMSSZ; sign with an AWS SDK") from None
    if values[0][:8] != claim.date:
        raise Unauthorized("x-amz-date and the Credential name different days; sign with an AWS SDK")
    off_seconds = (now - signed).total_seconds()
    if abs(off_seconds) > skew_seconds:
        raise Unauthorized(
            f"the request was signed {abs(off_seconds):.0f} s in the {'past' if off_seconds > 0 else 'future'}, and "
            f"{skew_seconds:.0f} s are allowed; set the client's clock"
        )
    return values[0]


@lru_cache(TEXTS_KEPT)
def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise ValueError
    return datetime.fromisoformat(text)


def _payload_hashes(request: Request, *, unsigned: bool, body_sha256: str | None) -> tuple[str, ...]:
    """Return what may end the canonical request."""
    values = request.header_values.get("x-amz-content-sha256", [])
    if len(values) > 1 or (values and values[0].startswith("STREAMING-")):
        raise Unauthorized("bodies signed in chunks (STREAMING-…) are not supported; sign the body as a whole")
    if unsigned:
        return tuple(values) or (_EMPTY_HASH, _UNSIGNED)
    if values and values[0] == _UNSIGNED:
        raise Unauthorized("the body is not signed (UNSIGNED-PAYLOAD); sign it with its SHA-256")
    actual = body_sha256 or sha256(request.body).hexdigest()
    if values and values[0] != actual:
        raise Unauthorized("x-amz-content-sha256 is not the SHA-256 of the body that arrived; sign the body as sent")
    return (actual,)


def _sign(key: hmac.HMAC, time: str, claim: SignatureClaim, text: bytes) -> str:
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, time, scope, sha256(text).hexdigest()))
    signature = key.copy()
    signature.update(to_sign.encode("ascii"))
    return signature.hexdigest()


# The canonical request: one text that client and server must both arrive at. As botocore and the SDKs make it for
# services other than S3: the path loses its dot segments and repeated slashes and is percent-encoded once more, the
# query keeps its encoding and is sorted, header values lose superfluous blanks.


def _canonical_request(request: Request, signed_headers: Iterable[str], payload_hash: str) -> bytes:
    """Return the canonical request. Raise KeyError for a signed header that the request does not have."""
    names = list(signed_headers)
    lines = [
        request.method,
        _canonical_path(request.raw_path),
        _canonical_query(request.raw_query),
        *[f"{name}:{_header_value(request.header_values[name])}" for name in names],
        "",
        ";".join(names),
        payload_hash,
    ]
    return "\n".join(lines).encode("latin-1", "replace")


def _canonical_path(raw_path: str) -> str:
    """Return the path as received, without dot and empty segments (RFC 3986, 5.2.4), encoded a second time."""
    if _CANONICAL_PATH.fullmatch(raw_path):
        return raw_path
    kept: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    trailing = "/" if kept and raw_path.endswith("/") else ""
    return quote(("/" + "/".join(kept) + trailing).encode("latin-1", "replace"), safe="/~")


def _canonical_query(raw_query: str) -> str:
    """Return the query's fields as received, sorted; a field without `=` gets one."""
    if not raw_query:
        return ""
    fields = sorted(field.partition("=")[::2] for field in raw_query.split("&"))
    return "&".join(f"{name}={value}" for name, value in fields)


def _header_value(values: list[str]) -> str:
    if len(values) == 1 and " " not in values[0] and values[0].isprintable():
        return values[0]  # no blank of any kind, since the others do not print
    # Bytes, because text would also be split at blanks outside ASCII, which are no blanks to a client.
    return ",".join(b" ".join(value.encode("latin-1", "replace").split()).decode("latin-1") for value in values)
