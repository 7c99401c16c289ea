"""Signatures of requests between nodes: HMAC-SHA-256 under a key that only nodes of these records have.

A signature covers method, path, body, the time, a nonce and the run of the node that is asked, so that what was
recorded is of no use: not later, not twice, not for another node, and not after the node's next start. It is the
requests that are signed; what nodes send each other is not encrypted, so it belongs into a network of their own.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from earwitness.errors import Unauthorized
from earwitness.vault.data_key import DataKey

SKEW_SECONDS_MAX = 300.0
"""How far the clocks of two nodes may differ; nonces are remembered for as long on both sides."""

NONCES_MAX = 200_000
"""Nonces that are remembered: more than nodes ask in ten minutes. When there are more, requests are refused."""

_PURPOSE = b"earwitness internal request 1\0"
TIME, NONCE, SIGNATURE = "x-earwitness-time", "x-earwitness-nonce", "x-earwitness-signature"
_REFUSAL = "the request is not of a node of these records"


@dataclass(frozen=True, kw_only=True)
class InternalRequest:
    """What one node asks another."""

    method: str
    path: str
    body: bytes
    #: The run of the node that is asked.
    run: str


def signed_headers(request: InternalRequest, key: DataKey, *, now: float, nonce: str) -> dict[str, str]:
    """Return the headers that prove a request; `now` are seconds since 1970."""
    time = f"{now:.3f}"
    return {TIME: time, NONCE: nonce, SIGNATURE: _signature(request, key, time=time, nonce=nonce)}


class SignatureCheck:
    """Checks requests of other nodes; remembers their nonces."""

    def __init__(self, key: DataKey, *, nonces_max: int = NONCES_MAX) -> None:
        self._key = key
        self._nonces_max = nonces_max
        self._seen: OrderedDict[str, float] = OrderedDict()

    def require(self, request: InternalRequest, headers: Mapping[str, str], *, now: float) -> None:
        """Raise Unauthorized unless a node of these records made this request, just now, for this one, once."""
        time, nonce = headers.get(TIME, ""), headers.get(NONCE, "")
        wanted = _signature(request, self._key, time=time, nonce=nonce)
        if not hmac.compare_digest(wanted.encode(), headers.get(SIGNATURE, "").encode()):
            raise Unauthorized(_REFUSAL)
        if abs(float(time) - now) > SKEW_SECONDS_MAX:  # it is a number: a node signed it
            raise Unauthorized("the clocks of two nodes differ by more than five minutes; set them")
        while self._seen and next(iter(self._seen.values())) < now - 2 * SKEW_SECONDS_MAX:
            self._seen.popitem(last=False)
        if nonce in self._seen or len(self._seen) >= self._nonces_max:
            raise Unauthorized(_REFUSAL)
        self._seen[nonce] = now


def _signature(request: InternalRequest, key: DataKey, *, time: str, nonce: str) -> str:
    parts = (request.method, request.path, hashlib.sha256(request.body).hexdigest(), request.run, time, nonce)
    return key.digest(_PURPOSE + "\0".join(parts).encode()).hex()
