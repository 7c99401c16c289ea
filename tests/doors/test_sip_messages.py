"""SIP's syntax: RFC 4475's torture messages, round trips, and bytes of any kind."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from siprec_examples import ExampleCall
from torture_messages import ANSWERS, REQUESTS

from earwitness.doors.siprec.addresses import _split, read_name_address, read_uri, read_vias
from earwitness.doors.siprec.message import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    VIAS_MAX,
    Headers,
    SipMessage,
    SipRequest,
    SipResponse,
    answer,
    fault_of,
    read_datagram,
    write,
)
from earwitness.doors.siprec.stream import KeepAlive, SipStream
from earwitness.errors import SipUnreadable

TOKENS = st.text("abcdefXYZ019-.!%*_+`'~", min_size=1, max_size=20)
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=60).map(str.strip)
REQUEST = ExampleCall(call_id="round").request("OPTIONS")


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_torture_requests_are_read_or_refused(name: str) -> None:
    data, status = REQUESTS[name]
    request = read_datagram(data)
    assert isinstance(request, SipRequest)
    fault = fault_of(request)
    assert (fault.status if fault else None) == status, fault
    write(answer(request, 400))  # whatever it is, it can be answered


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_torture_answers_are_read_or_dropped(name: str) -> None:
    data, status = ANSWERS[name]
    if status is None:
        with pytest.raises(SipUnreadable):
            read_datagram(data)
    else:
        response = read_datagram(data)
        assert isinstance(response, SipResponse)
        assert response.status == status


def test_a_tortuous_invite_says_what_the_rfc_says_it_does() -> None:
    request = read_datagram(REQUESTS["wsinv"][0])
    assert isinstance(request, SipRequest)
    assert request.receiver.uri == "sip:vivekg@chair-dnrc.example.com"
    assert request.receiver.tag == "1918181833n"
    assert (request.sender.uri, request.sender.tag) == ("sip:jdrosen@example.com", "98asjd8")
    assert request.sequence == 9
    assert request.headers.get("newfangledheader") == "newfangled value continued newfangled value"
    hops = [hop for value in request.headers.all("via") for hop in read_vias(value)]
    assert [(hop.transport, hop.host) for hop in hops] == [
        ("UDP", "192.0.2.2"),
        ("TCP", "spindle.example.com"),
        ("UDP", "192.168.255.111"),
    ]


def test_an_escaped_user_is_unescaped_once() -> None:
    uri = read_uri("sip:sips%3Auser%40example.com@example.net")
    assert uri is not None
    assert (uri.user, uri.host) == ("sips:user@example.com", "example.net")


@given(TOKENS, st.lists(st.tuples(TOKENS.map(str.lower), VALUES), max_size=20), st.binary(max_size=200))
def test_what_is_written_is_read_again(method: str, fields: list[tuple[str, str]], body: bytes) -> None:
    fields = [(name, value) for name, value in fields if len(name) > 1 and name != "content-length"]
    request = SipRequest(method=method, uri="sip:a@b", headers=Headers(tuple(fields)), body=body)
    again = read_datagram(write(request))
    assert isinstance(again, SipRequest)
    kept = tuple((name, value) for name, value in again.headers.fields if name != "content-length")
    assert (again.method, again.uri, kept, again.body) == (method, "sip:a@b", tuple(fields), body)


@given(st.binary(max_size=300))
@example(b"INVITE sip:a@b SIP/2.0\r\n\r\n")
@example(b"SIP/2.0 200 OK\r\n\r\n")
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        message = read_datagram(data)
    except SipUnreadable:
        return
    if isinstance(message, SipRequest) and fault_of(message) is None:
        write(answer(message, 200, to_tag="x"))


@given(st.text(max_size=200))
def test_any_text_is_an_address_or_none(text: str) -> None:
    read_name_address(text)
    read_vias(text)
    read_uri(text)


@given(st.lists(st.integers(1, 40)), st.integers(0, 3))
def test_a_stream_gives_the_same_messages_whatever_the_pieces(cuts: list[int], empty: int) -> None:
    whole = (b"\r\n" * empty + REQUEST + ExampleCall(call_id="b").request("INFO", body=("text/plain", "héllo"))) * 2
    expected = messages(SipStream().feed(whole))
    assert len(expected) == 4
    stream, found, rest = SipStream(), list[SipMessage](), whole
    for cut in cuts:
        found += messages(stream.feed(rest[:cut]))
        rest = rest[cut:]
    assert found + messages(stream.feed(rest)) == expected


def messages(found: list[SipMessage | KeepAlive]) -> list[SipMessage]:
    return [each for each in found if not isinstance(each, KeepAlive)]


def test_two_empty_lines_are_a_question_whether_we_live() -> None:
    stream = SipStream()
    assert stream.feed(b"\r\n") == []
    assert stream.feed(b"\r\n") == [KeepAlive()]
    assert not stream.is_within_message


def test_heads_and_bodies_have_bounds() -> None:
    with pytest.raises(SipUnreadable):
        SipStream().feed(b"INVITE sip:a@b SIP/2.0\r\nVia: " + b"x" * (HEAD_BYTES_MAX + 10))
    huge = ExampleCall().request("INFO", body=("text/plain", "x" * (BODY_BYTES_MAX + 1)))
    request = read_datagram(huge)
    assert isinstance(request, SipRequest)
    assert request.broken is not None
    assert request.broken.status == 413
    with pytest.raises(SipUnreadable):
        read_datagram(b"INVITE sip:a@b SIP/2.0\r\n" + b"a: b\r\n" * 300 + b"\r\n")


@pytest.mark.parametrize(
    "attack", ['"' * 30_000, "<" * 30_000, ";" * 30_000, "a," * 15_000, "\\" * 30_000, " " * 30_000]
)
def test_long_addresses_take_no_long_time(attack: str) -> None:
    for text in (
        attack,
        f"sip:{attack}@x",
        f'"{attack}" <sip:a@b>',
        f"SIP/2.0/UDP {attack}",
        f"SIP/2.0/UDP h;{attack}",
    ):
        read_name_address(text)
        read_vias(text)
        read_uri(re.sub(r"\s", "", text))


def split_by_hand(text: str, separator: str) -> list[str]:
    """What is outside quotes and angle brackets, a character at a time."""
    parts, quoted, bracketed, at = [""], False, False, 0
    while at < len(text):
        step = 2 if quoted and text[at] == "\\" else 1
        if step == 1 and text[at] == '"' and not bracketed:
            quoted = not quoted
        elif step == 1 and text[at] in "<>" and not quoted:
            bracketed = text[at] == "<"
        if text[at] == separator and not quoted and not bracketed:
            parts.append("")
        else:
            parts[-1] += text[at : at + step]
        at += step
    return parts


@given(st.text('ab,;"<>\\\n', max_size=30), st.sampled_from(",;"))
def test_lists_are_cut_where_the_rfc_cuts_them(text: str, separator: str) -> None:
    assert [*_split(text, separator)] == split_by_hand(text, separator)


@pytest.mark.parametrize("name", ["via", "from", "to", "contact"])
def test_an_address_that_is_too_long_is_none(name: str) -> None:
    lines = ExampleCall().request("OPTIONS").decode().split("\r\n\r\n")[0].split("\r\n")
    kept = [line for line in lines if not line.lower().startswith(f"{name}:")]
    value = "SIP/2.0/UDP h;branch=z9hG4bK1;" if name == "via" else "<sip:a@b>;tag=1;"
    data = "\r\n".join([*kept, f"{name}: {value}x={'y' * 5_000}", "", ""]).encode()
    request = read_datagram(data)
    assert isinstance(request, SipRequest)
    fault = fault_of(request)
    assert (fault is None) == (name == "contact")  # which OPTIONS has no use for
    assert fault is None or fault.status == 400


def test_a_request_comes_over_so_many_hops() -> None:
    head, _, _ = ExampleCall().request("OPTIONS").partition(b"\r\n\r\n")
    request = read_datagram(head + b"\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1" * VIAS_MAX + b"\r\n\r\n")
    assert isinstance(request, SipRequest)
    fault = fault_of(request)
    assert fault is not None
    assert fault.status == 483
