"""How a phone system proves who it is when it dials: signatures, tokens, passwords. Nothing is read or kept here.

Every comparison takes the same time whatever is wrong. What belongs here: one function a proof. What must never: what
follows from it, sockets. Genesys's signature is also written here, for trying doors.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias, cast

import orjson

from earwitness.errors import BadRequest
from earwitness.voice.connector import DoorSecret

AUDIOHOOK_SECONDS_MAX = 10.0
"""How old a signature of Genesys may be."""

CLOCK_SKEW_SECONDS = 3.0
"""How far a signer's clock may be ahead of ours; Genesys's own verifier allows as much."""

NONCE_CHARACTERS_MIN = 22
"""Of a signature of Genesys: 128 random bits in base64."""

TOKEN_SECONDS_MAX = 300.0
"""How old a JSON Web Token without an end may be, and how far `nbf` and `iat` may be ahead."""

_SIGNED_BY_GENESYS = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)

_SIGNATURE_INPUT = re.compile(
    r'(?P<label>[a-z*][a-z0-9_.*-]*)=(?P<input>\((?P<names>"[!#-~]+"(?: "[!#-~]+")*)\)'
    r'(?P<parameters>(?:;[a-z]+=(?:"[ !#-\[\]-~]*"|\d{1,15}))*))'
)
"""One signature's inner list (RFC 9421, 4.1), written as strictly as signers write it (RFC 8941, 4.1)."""

_PARAMETER = re.compile(r';([a-z]+)=(?:"([ !#-\[\]-~]*)"|(\d{1,15}))')

_STANDARD_PORTS = {"wss": 443, "https": 443, "ws": 80, "http": 80}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialled:
    """What a phone system asked for, as far as proofs look at it."""

    #: Whole addresses under which it may have dialled, as far as we know: `wss://calls.example.com/doors/…`.
    urls: tuple[str, ...] = field(repr=False)
    #: Host and port, and path and query, of each of them.
    targets: tuple[tuple[str, str], ...] = field(repr=False)
    #: By name in lower case.
    headers: Mapping[str, str] = field(repr=False)
    #: The last segment of the path, or the query's `token`; empty when there is none.
    token: str = field(default="", repr=False)


class Verdict(Enum):
    """What became of a proof."""

    ABSENT = auto()
    """It was not given, or there is no secret to compare it with."""

    WRONG = auto()
    PROVED = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """One way to prove who dials."""

    #: Those that must be set for it.
    secrets: tuple[DoorSecret, ...]
    #: From what was dialled, the secrets in their order and Unix time.
    check: Callable[[Dialled, tuple[str, ...], float], Verdict]

    def judge(self, dialled: Dialled, secrets: Mapping[DoorSecret, str], *, now: float) -> Verdict:
        """Return what it proves. A secret that is not set proves nothing."""
        values = tuple(secrets.get(name, "") for name in self.secrets)
        return self.check(dialled, values, now) if all(values) else Verdict.ABSENT


Claims: TypeAlias = Mapping[str, object]


def _verdict(right: bool) -> Verdict:
    return Verdict.PROVED if right else Verdict.WRONG


def is_same(given: str, secret: str) -> bool:
    """Compare a secret, in a time that tells nothing of it."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())


def _twilio(dialled: Dialled, secrets: tuple[str, ...], _now: float) -> Verdict:
    """HMAC-SHA1 over the URL (twilio.com/docs/usage/security); SHA-256 where the newer header says so."""
    given = dialled.headers.get("x-twilio-signature", "")
    if not given:
        return Verdict.ABSENT
    settings = dialled.headers.get("x-twilio-webhooks-signature-settings", "").lower().replace("-", "")
    digest = hashlib.sha256 if "sha256" in settings else hashlib.sha1
    right = False
    for url in dialled.urls:
        for spelling in _with_and_without_port(url):
            expected = base64.b64encode(
                hmac.new(secrets[0].encode(), spelling.encode("latin-1", "replace"), digest).digest()
            )
            right |= is_same(given, expected.decode())
    return _verdict(right)


def _with_and_without_port(url: str) -> tuple[str, ...]:
    """Return a URL as Twilio may have signed it: ws or http, with a standard port written out or left out."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host, _, port = authority.rpartition(":") if re.search(r":\d+$", authority) else (authority, "", "")
    standard = str(_STANDARD_PORTS.get(scheme, 0))
    authorities = (host, f"{host}:{standard}") if port in ("", standard) else (authority,)
    schemes = ("wss", "https") if scheme in ("wss", "https") else ("ws", "http")
    return tuple(f"{each}://{one}{slash}{path}" for each in schemes for one in authorities)


def _bearer(dialled: Dialled) -> str:
    scheme, _, value = dialled.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _token(dialled: Dialled, secrets: tuple[str, ...], _now: float) -> Verdict:
    """In the path, in the query, or as a bearer token."""
    given = [token for token in (dialled.token, _bearer(dialled)) if token]
    if not given:
        return Verdict.ABSENT
    return _verdict(sum(is_same(token, secrets[0]) for token in given) > 0)


def _basic(dialled: Dialled, secrets: tuple[str, ...], _now: float) -> Verdict:
    """`user:password` (RFC 7617)."""
    scheme, _, value = dialled.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return Verdict.ABSENT
    try:
        given = base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        return Verdict.WRONG
    return _verdict(hmac.compare_digest(given, secrets[0].encode()))


def _web_token(dialled: Dialled, secrets: tuple[str, ...], now: float) -> Verdict:
    """A JSON Web Token signed with HS256 and nothing else (RFC 7519; RFC 8725, 3.1)."""
    token = _bearer(dialled)
    if token.count(".") != 2:
        return Verdict.ABSENT
    signed, _, signature = token.rpartition(".")
    head, _, payload = signed.partition(".")
    expected = hmac.new(secrets[0].encode(), signed.encode("latin-1"), hashlib.sha256).digest()
    right = hmac.compare_digest(_from_base64url(signature), expected)
    header, claims = _json(head), _json(payload)
    return _verdict(right and header.get("alg") == "HS256" and "crit" not in header and _is_current(claims, now))


def _is_current(claims: Claims, now: float) -> bool:
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in times.values()):
        return False
    known = cast("dict[str, float]", times)
    begins = max((known[name] for name in ("nbf", "iat") if name in known), default=None)
    if begins is not None and begins > now + TOKEN_SECONDS_MAX:
        return False
    if "exp" in known:
        return now < known["exp"]
    return "iat" in known and now - known["iat"] <= TOKEN_SECONDS_MAX


def _from_base64url(text: str) -> bytes:
    """Return the bytes; none when it is no base64url (RFC 4648, 5)."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _json(text: str) -> Claims:
    try:
        # `Any`: whatever JSON holds.
        value: Any = orjson.loads(_from_base64url(text))
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _audiohook(dialled: Dialled, secrets: tuple[str, ...], now: float) -> Verdict:
    """Genesys's: an HTTP message signature (RFC 9421) with HMAC-SHA256 over what must not be exchanged."""
    key, secret = secrets
    headers = dialled.headers
    if "signature-input" not in headers or "signature" not in headers:
        return Verdict.ABSENT
    found = _SIGNATURE_INPUT.fullmatch(headers["signature-input"])
    given = re.fullmatch(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]{43}=):", headers["signature"])
    if found is None or given is None or found["label"] != given[1]:
        return Verdict.WRONG
    names = found["names"][1:-1].split('" "')
    parameters = {name: text or number for name, text, number in _PARAMETER.findall(found["parameters"])}
    if not ({*names} >= {*_SIGNED_BY_GENESYS} and len({*names}) == len(names) and _is_fresh(parameters, now)):
        return Verdict.WRONG
    if not (is_same(parameters.get("keyid", ""), key) and is_same(headers.get("x-api-key", ""), key)):
        return Verdict.WRONG
    shared = _from_base64(secret)
    right = False
    for authority, target in dialled.targets:
        base = _signature_base(names, found["input"], {**headers, "@authority": authority, "@request-target": target})
        expected = hmac.new(shared, base.encode("latin-1", "replace"), hashlib.sha256).digest()
        right |= hmac.compare_digest(base64.b64encode(expected).decode(), given[2])
    return _verdict(right and bool(shared))


def audiohook_signature(
    headers: Mapping[str, str], secret: str, *, authority: str, target: str, nonce: str, created: int
) -> dict[str, str]:
    """Return the two headers by which Genesys proves a handshake.

    `headers` are those that are signed, by name in lower case, with the API key. `authority` is host and port as they
    are dialled, `target` path and query, `created` Unix time. Raise BadRequest for a secret that is not base64.
    """
    shared = _from_base64(secret)
    if not shared:
        raise BadRequest("the client secret of Genesys is in base64; copy it as Genesys shows it")
    names = " ".join(f'"{name}"' for name in _SIGNED_BY_GENESYS)
    key = headers["x-api-key"]
    signed = f'({names});keyid="{key}";nonce="{nonce}";alg="hmac-sha256";created={created}'
    values = {**headers, "@authority": authority, "@request-target": target}
    base = _signature_base([*_SIGNED_BY_GENESYS], signed, values)
    signature = hmac.new(shared, base.encode("latin-1", "replace"), hashlib.sha256).digest()
    return {"signature-input": f"sig1={signed}", "signature": f"sig1=:{base64.b64encode(signature).decode()}:"}


def _is_fresh(parameters: Mapping[str, str], now: float) -> bool:
    created, expires = parameters.get("created", ""), parameters.get("expires", "")
    return (
        parameters.get("alg", "hmac-sha256") == "hmac-sha256"
        and len(parameters.get("nonce", "")) >= NONCE_CHARACTERS_MIN
        and created.isdecimal()
        and -CLOCK_SKEW_SECONDS <= now - int(created) <= AUDIOHOOK_SECONDS_MAX
        and (not expires or (expires.isdecimal() and now < int(expires) + CLOCK_SKEW_SECONDS))
    )


def _signature_base(names: list[str], signed_input: str, values: Mapping[str, str]) -> str:
    """Return what is signed (RFC 9421, 2.5)."""
    lines = [f'"{name}": {values.get(name, "").strip()}' for name in names]
    return "\n".join([*lines, f'"@signature-params": {signed_input}'])


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def nonce_of(dialled: Dialled) -> str:
    """Return the nonce of a message signature that was proved; empty when there is none."""
    found = re.search(r';nonce="([^"]*)"', dialled.headers.get("signature-input", ""))
    return found[1] if found else ""


TWILIO = Proof(secrets=(DoorSecret.TWILIO_AUTH_TOKEN,), check=_twilio)
TOKEN = Proof(secrets=(DoorSecret.TOKEN,), check=_token)
BASIC = Proof(secrets=(DoorSecret.BASIC,), check=_basic)
WEB_TOKEN = Proof(secrets=(DoorSecret.JWT_SECRET,), check=_web_token)
AUDIOHOOK = Proof(secrets=(DoorSecret.AUDIOHOOK_API_KEY, DoorSecret.AUDIOHOOK_CLIENT_SECRET), check=_audiohook)
