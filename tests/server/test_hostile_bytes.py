"""Whatever bytes arrive: no 5xx, no stack trace, and an end within the time that a head and a body may take."""

import random
import socket
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live import DOMAINS, Live, domain_input

from earwitness.wire.serialize import write_json

CASES = 2_000
AT_ONCE = 50
SEED = 20261124

PIECES = [
    b"GET ",
    b"POST ",
    b"/health",
    DOMAINS.encode(),
    b" HTTP/1.1\r\n",
    b" HTTP/9.9\r\n",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/chime/aws4_request\r\n",
    b"\r\n",
    b"\n",
    b"\0",
    b"5\r\nabcde\r\n",
    b"0\r\n\r\n",
    b"\xff\xfe",
    b"%",
    b"?",
    b"//",
]


def check(received: bytes) -> None:
    """An answer that a client may see, or nothing at all."""
    assert not received or received.startswith(b"HTTP/1.1 "), received
    for head in received.split(b"HTTP/1.1 ")[1:]:
        assert head[:3].isdigit() and head[:1] != b"5", received
    assert b"Traceback" not in received
    assert b".py" not in received


def fire(live: Live, requests: Iterable[bytes]) -> list[bytes]:
    """Send each on a connection of its own, all at once; what came back until each was closed by one of us."""
    connections: list[socket.socket] = []
    for sent in requests:
        connection = live.connect()
        connections.append(connection)
        try:
            connection.sendall(sent)
        except ConnectionError:
            continue
    return [_until_quiet(connection) for connection in connections]


def _until_quiet(connection: socket.socket) -> bytes:
    """All bytes until the server closes, or until it has answered and waits for more."""
    received = b""
    with connection:
        try:
            while piece := connection.recv(65_536):
                received += piece
                if _is_whole(received):
                    break
        except ConnectionError:
            return received
    return received


def _is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")), None)
    return length is not None and len(body) >= int(length)


def mutated(source: random.Random, request: bytes) -> bytes:
    """The request with a few changes: bytes turned, cut out, doubled, swapped; pieces of HTTP put in."""
    changed = bytearray(request)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(changed) + 1)
        length = source.choice((1, 1, 2, 8, 40))
        what = source.randrange(5)
        if what == 0 and at < len(changed):
            changed[at] = source.randrange(256)
        elif what == 1:
            del changed[at : at + length]
        elif what == 2:
            changed[at:at] = changed[at : at + length] * source.choice((1, 1, 50))
        elif what == 3:
            changed[at:at] = source.choice(PIECES)
        else:
            changed[at:at] = source.randbytes(length)
    return bytes(changed)


@pytest.mark.slow
def test_good_requests_with_a_few_changes(live: Live) -> None:
    source = random.Random(SEED)
    create = write_json(domain_input())
    chunked = live.signed("POST", DOMAINS, create, Transfer_Encoding="chunked").removesuffix(create)
    requests = [
        live.signed(),
        live.signed("GET", "/voice-profile-domains?max-results=5&next-token=x"),
        live.signed("GET", "/tags?arn=arn%3Aaws%3Achime%3Aus-east-1%3A111122223333%3Avc%2F1"),
        live.signed("POST", DOMAINS, create),
        live.signed("POST", "/tags?operation=tag-resource", b'{"ResourceARN": "x", "Tags": []}'),
        live.signed("POST", "/describeStream", b"{}"),
        live.signed("DELETE", "/voice-profile-domains/none"),
        chunked + b"%x\r\n" % len(create) + create + b"\r\n0\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD /health HTTP/1.0\r\n\r\n",
    ]
    for _ in range(CASES // AT_ONCE):
        sent = [mutated(source, source.choice(requests)) for _ in range(AT_ONCE)]
        for request, received in zip(sent, fire(live, sent), strict=True):
            try:
                check(received)
            except AssertionError:
                raise AssertionError(f"{request!r} was answered with {received!r}") from None


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(sent=st.binary(max_size=300) | st.lists(st.sampled_from(PIECES) | st.binary(max_size=8)).map(b"".join))
def test_any_bytes(live: Live, sent: bytes) -> None:
    for received in fire(live, [sent, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" + sent]):
        check(received)
