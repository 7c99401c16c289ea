"""Requests as no SDK sends them: what is too long, broken or slow is refused, and the next client is served."""

import time

import pytest
from live import DOMAINS, Live, answer, domain_input, drain, fault_of

from patience import until


@pytest.fixture(autouse=True)
def _the_next_client_is_served(live: Live):
    yield
    assert live.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200


HEAD = b"GET /voice-profile-domains HTTP/1.1\r\nHost: a\r\n"
BAD = [
    pytest.param(HEAD + b"".join(b"h%d: v\r\n" % i for i in range(5_000)) + b"\r\n", id="5000-headers"),
    pytest.param(HEAD + b"long: " + b"v" * 100_000 + b"\r\n\r\n", id="one-long-header"),
    pytest.param(HEAD + b"".join(b"h%d: %s\r\n" % (i, b"v" * 2_000) for i in range(50)) + b"\r\n", id="long-head"),
    pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", id="long-path"),
    pytest.param(b"GET /" + b"a" * 300_000, id="endless-path"),
    pytest.param(HEAD + b"endless: " + b"v" * 300_000, id="endless-header"),
    pytest.param(HEAD + b"n" * 300_000, id="endless-header-name"),
    pytest.param(b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", id="utf-8-path"),
    pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", id="no-utf-8-path"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="tls-hello"),
    pytest.param(b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", id="connect"),
    pytest.param(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two-lengths"),
    pytest.param(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length-and-chunked"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", id="chunked-and-length"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", id="chunked-not-last"),
    pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown-coding"),
    pytest.param(HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="blank-before-colon"),
    pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="negative-length"),
    pytest.param(HEAD + b"Content-Length: +3\r\n\r\nabc", id="signed-length"),
    pytest.param(HEAD + b"Content-Length: 0x3\r\n\r\nabc", id="hexadecimal-length"),
    pytest.param(HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", id="length-of-67-bits"),
    pytest.param(HEAD + b"a: b\0c\r\n\r\n", id="nul-in-header"),
    pytest.param(HEAD + b"a: b\rc: d\r\n\r\n", id="bare-carriage-return"),
    pytest.param(b"POST /voice-profile-domains HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", id="no-chunk"),
    pytest.param(
        b"POST /voice-profile-domains HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        id="chunk-longer-than-it-says",
    ),
    pytest.param(
        b"POST /voice-profile-domains HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        id="chunk-of-68-bits",
    ),
    pytest.param(
        b"POST /voice-profile-domains HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nt: " + b"v" * 300_000,
        id="endless-trailer",
    ),
    pytest.param(
        b"POST /voice-profile-domains HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"e" * 300_000,
        id="endless-chunk-extension",
    ),
]


@pytest.mark.parametrize("sent", BAD)
def test_what_is_no_request_is_refused_and_the_connection_closed(live: Live, sent: bytes) -> None:
    received = live.raw(sent)
    # A client that still sends may be cut off before it has read the answer.
    assert received.startswith(b"HTTP/1.1 400 ") or (not received and len(sent) > 50_000)
    assert received.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("path", ["/%ff%fe", "/%00", "/%c3%28", "/..%2f..", "//", "/.", "*"])
def test_paths_that_lead_nowhere_are_answered_in_the_words_of_aws(live: Live, path: str) -> None:
    status, headers, _ = live.ask(live.signed(path="/").replace(b"GET / ", f"GET {path} ".encode()))
    assert status in (400, 401, 404)
    assert status == 400 or headers["x-amzn-errortype"].endswith("Exception")


def test_a_trailer_does_not_become_a_header(live: Live) -> None:
    good = live.signed("GET", DOMAINS)
    line = next(one for one in good.split(b"\r\n") if one.lower().startswith(b"authorization:"))
    bare = good.replace(line + b"\r\n", b"").removesuffix(b"\r\n")
    smuggled = bare + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + line + b"\r\n\r\n"
    with live.connect() as connection:
        connection.sendall(live.signed() + smuggled)
        assert answer(connection)[0] == 200
        assert answer(connection)[0] == 401


def test_a_body_that_is_no_utf8_is_a_bad_request(live: Live) -> None:
    status, headers, body = live.ask(live.signed("POST", DOMAINS, b'{"Name": "\xff"}'))
    assert (status, headers["x-amzn-errortype"]) == (400, "BadRequestException")
    assert b"UTF-8" in body


@pytest.mark.slow
def test_ten_megabytes_are_a_bad_request_and_no_broken_pipe(live: Live) -> None:
    with pytest.raises(live.client.exceptions.BadRequestException) as caught:
        live.client.create_voice_profile_domain(**domain_input(), Description="d" * 10_000_000)
    assert fault_of(caught.value) == ("BadRequestException", 400)
    assert "larger than 100000 bytes" in str(caught.value)
    assert live.service.root.aws._body_memory.held_bytes == 0


def test_more_than_the_length_says_is_the_next_request(live: Live) -> None:
    received = live.raw(live.signed("POST", DOMAINS, b"{}") + b"and more\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"BadRequestException" in received


def test_less_than_the_length_says_is_refused_in_time(live: Live) -> None:
    request = live.signed("POST", DOMAINS, b'{"Name": "short"}')
    with live.connect() as connection:
        started = time.monotonic()
        connection.sendall(request[:-5])
        status, headers, body = answer(connection)
        assert (status, headers["x-amzn-errortype"]) == (400, "BadRequestException")
        assert b"did not arrive within 0.2 s" in body
        connection.sendall(b"x")  # it goes on as slowly, after its answer
        assert drain(connection) == b""
        assert time.monotonic() - started >= 0.2


def test_a_slow_head_is_given_up(live: Live) -> None:
    with live.connect() as connection:
        started = time.monotonic()
        connection.sendall(b"GET /health HTT")
        assert drain(connection) == b""
        assert time.monotonic() - started >= 0.15


def test_blank_lines_instead_of_a_request_do_not_keep_a_connection(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer(connection)[0] == 200
        connection.sendall(b"\r\n")
        assert drain(connection) == b""


def test_a_client_that_goes_in_mid_body_leaves_nothing(live: Live) -> None:
    aws = live.service.root.aws
    request = live.signed("POST", DOMAINS, b"x" * 50_000)
    for _ in range(10):
        with live.connect() as connection:
            connection.sendall(request[:-10])
    until(lambda: not aws._body_memory.held_bytes and not live.server.server_state.tasks)
    assert aws._in_progress == 0


def test_bodies_of_all_requests_together_are_bounded(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = live.service.root.aws._body_memory
    monkeypatch.setattr(memory, "_bytes_max", 60_000)
    request = live.signed("POST", DOMAINS, b"x" * 50_000)
    with live.connect() as first, live.connect() as second:
        first.sendall(request[:-1])
        until(lambda: memory.held_bytes)
        second.sendall(request)
        status, headers, _ = answer(second)
        assert (status, headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
        first.sendall(request[-1:])
        assert answer(first)[0] == 400
    until(lambda: memory.held_bytes == 0)


def test_expect_continue(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(live.signed("POST", DOMAINS, b"{}", Expect="100-continue").removesuffix(b"{}"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert answer(connection)[0] == 400
