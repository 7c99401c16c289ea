"""Session descriptions, bodies and recording metadata: the RFCs' shapes, vendors' habits, what is not safe."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from siprec_examples import ExampleCall, description, document, multipart

from earwitness.doors.allowed import AllowList
from earwitness.doors.siprec.body import SessionBody, read_body
from earwitness.doors.siprec.caller import address_of_record, callers_label, number_of
from earwitness.doors.siprec.message import SipRequest, read_datagram
from earwitness.doors.siprec.metadata import (
    ELEMENTS_MAX,
    REMEMBERED_CHARACTERS_MAX,
    RecordingMetadata,
    read_metadata,
)
from earwitness.doors.siprec.sdp import AnsweredLine, read_offer, write_answer
from earwitness.doors.siprec.srtp import read_crypto
from earwitness.errors import BodyNotUsable, RecordingMetadataInvalid, SessionDescriptionInvalid
from earwitness.voice.call import AudioCoding

ACME = b"""<?xml version='1.0' encoding='UTF-8'?>
<recording xmlns='urn:ietf:params:xml:ns:recording'>
  <dataMode>complete</dataMode>
  <session id="BYiC7uSZQGN3VQdzWI1HWw=="><associate-time>2012-06-26T13:44:13</associate-time></session>
  <participant id="10"><aor>sip:1001@example.com</aor><send>7ztMV9</send></participant>
  <participant id="11"><aor>sip:2002@example.com</aor><send>wmRnXv</send></participant>
  <stream id="7ztMV9" session="x"><label>10</label></stream>
  <stream id="wmRnXv" session="x"><label>11</label></stream>
</recording>"""
RIBBON = """<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>complete</datamode>
<participant participant_id="a"><nameID aor="sip:+15550001@10.0.0.1"/></participant>
<participant participant_id="b"><nameID aor="sip:300@10.0.0.2"/></participant>
<stream stream_id="s1"><label>1</label></stream><stream stream_id="s2"><label>2</label></stream>
<participantstreamassoc participant_id="a"><send>s1</send></participantstreamassoc>
<participantstreamassoc participant_id="b"><send>s2</send></participantstreamassoc>
<extensiondata><apn:callData xmlns:apn="urn:x"><apn:fromhdr>&lt;sip:+15550001@10.0.0.1&gt;;tag=1</apn:fromhdr>
<apn:tohdr>&lt;sip:300@10.0.0.2&gt;</apn:tohdr><apn:callid>9</apn:callid></apn:callData></extensiondata></recording>"""


def read(text: str, before: RecordingMetadata | None = None) -> RecordingMetadata:
    return read_metadata(text.encode(), before)


def test_metadata_say_who_is_on_which_label() -> None:
    metadata = read(document())
    assert metadata.address_of("1") == "sip:+15550001@example.com"
    assert metadata.address_of("2") == "sip:agent7@example.com"
    assert metadata.address_of("nobody's") == ""


def test_acme_has_ids_of_its_own_and_streams_in_participants() -> None:
    metadata = read_metadata(ACME)
    assert (metadata.address_of("10"), metadata.address_of("11")) == ("sip:1001@example.com", "sip:2002@example.com")


def test_ribbon_adds_the_recorded_call_s_headers() -> None:
    metadata = read(RIBBON)
    assert address_of_record(metadata.original_from) == "+15550001@10.0.0.1"
    assert address_of_record(metadata.original_to) == "300@10.0.0.2"


def test_a_partial_document_adds_and_a_complete_one_replaces() -> None:
    first = read(document())
    added = read(document((("3", "sip:agent9@example.com"),), mode="partial"), first)
    assert [added.address_of(label) for label in "123"] == [
        "sip:+15550001@example.com",
        "sip:agent7@example.com",
        "sip:agent9@example.com",
    ]
    replaced = read(document((("3", "sip:agent9@example.com"),)), first)
    assert replaced.address_of("1") == ""


def test_who_takes_a_stream_over_is_named_from_then_on() -> None:
    first = read(document((("1", "sip:+15550001@example.com"), ("2", "sip:agent7@example.com"))))
    taken_over = """<recording><datamode>partial</datamode>
        <participant participant_id="p9"><nameID aor="sip:agent9@example.com"/></participant>
        <participantstreamassoc participant_id="p9"><send>{stream}</send></participantstreamassoc></recording>"""
    stream = next(stream for stream, label in first.labels.items() if label == "2")
    after = read(taken_over.format(stream=stream), first)
    assert [after.address_of(label) for label in "12"] == ["sip:+15550001@example.com", "sip:agent9@example.com"]
    left = f"""<recording><datamode>partial</datamode><participantstreamassoc participant_id="p9"><send>{stream}</send>
        <disassociate-time>2026-01-01T00:00:00Z</disassociate-time></participantstreamassoc></recording>"""
    assert read(left, after).address_of("2") == "sip:agent7@example.com"


def test_partial_documents_without_end_are_remembered_as_far_as_there_is_room() -> None:
    metadata, was_cut = read(RIBBON), list[bool]()
    for number in range(10, 300):
        metadata = read(document(((f"{number}", f"sip:{number}@{'x' * 2_000}"),), mode="partial"), metadata)
        assert metadata.characters <= REMEMBERED_CHARACTERS_MAX
        assert metadata.address_of(f"{number}").startswith(f"sip:{number}@")
        was_cut.append(metadata.is_cut)
    assert (was_cut[0], was_cut[-1]) == (False, True)
    assert address_of_record(metadata.original_from) == "+15550001@10.0.0.1"
    assert not read(document(), metadata).is_cut


@pytest.mark.parametrize(
    "evil",
    [
        "<!DOCTYPE recording><recording/>",
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><recording>&b;</recording>',
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><recording/>',
        "<recording>",
        "",
        "hello",
        "<other/>",
        "<recording>" + "<a>" * 100 + "</a>" * 100 + "</recording>",
        "<recording>" + "<a/>" * (ELEMENTS_MAX + 1) + "</recording>",
        "<recording>" + "x" * 200_000 + "</recording>",
        '<?xml version="1.0" encoding="martian"?><recording/>',
        "<recording>&nothing;</recording>",
    ],
)
def test_metadata_that_are_not_safe_are_refused(evil: str) -> None:
    with pytest.raises(RecordingMetadataInvalid):
        read(evil)


@given(st.binary(max_size=200))
def test_any_bytes_are_metadata_or_refused(data: bytes) -> None:
    for each in (data, b"<recording>" + data + b"</recording>"):
        try:
            read_metadata(each)
        except RecordingMetadataInvalid:
            continue


def label_of_caller(
    labels: tuple[str, ...],
    *,
    addresses: dict[str, str] | None = None,
    setting: str = "",
    sender: str = "<sip:sbc@example.com>;tag=1",
    receiver: str = "<sip:connector@example.com>",
) -> str:
    return callers_label(
        labels, addresses=addresses or {}, setting=setting, senders=("", sender), receivers=("", receiver)
    )


PARTIES = {"1": "sip:+15550001@Example.com", "2": "sip:agent7@example.com;user=phone"}


@pytest.mark.parametrize(
    ("expected", "labels", "given"),
    [
        ("1", ("1", "2"), {"setting": "1"}),
        ("2", ("1", "2"), {"setting": "nobody's"}),
        ("1", ("1", "2"), {"addresses": PARTIES, "sender": '"A" <sip:+15550001@example.com>;tag=7'}),
        ("2", ("1", "2"), {"addresses": PARTIES, "sender": "<sip:agent7@example.com>;tag=7"}),
        ("1", ("1", "2"), {"addresses": PARTIES, "receiver": "sip:agent7@example.com"}),
        ("a_leg", ("a_leg", "b_leg"), {}),
        ("x", ("agent", "x"), {}),
        ("10", ("2", "10"), {}),
        ("b", ("b", "a"), {}),
        ("7", ("7",), {}),
        ("", ("2",), {"addresses": PARTIES, "receiver": "sip:agent7@example.com"}),
        ("", (), {}),
    ],
)
def test_the_caller_is_found_by_setting_address_habit_and_order(
    expected: str, labels: tuple[str, ...], given: dict[str, object]
) -> None:
    assert label_of_caller(labels, **given) == expected  # pyright: ignore[reportArgumentType]


def test_numbers_are_users_of_addresses() -> None:
    assert number_of('"Bob" <sip:+15550001@example.com;user=phone>;tag=3') == "+15550001"
    assert number_of("tel:+15550001;phone-context=x") == "+15550001"
    assert number_of("sip:example.com") == "example.com"
    assert number_of("nonsense") == ""


def test_an_answer_has_every_line_in_order_received_or_declined() -> None:
    text = description(formats="9 8 0 101", direction="sendrecv") + "m=video 5000 RTP/AVP 31\r\na=label:v\r\n"
    offer = read_offer(text.encode())
    assert [line.label for line in offer] == ["1", "2", "v"]
    assert offer[0].codings == ((8, AudioCoding.PCMA), (0, AudioCoding.PCMU))
    answered = [AnsweredLine(line=line, port=port) for line, port in zip(offer, (9_000, 9_002, 0), strict=True)]
    answer = write_answer(answered, address="2001:db8::1", session=1, version=1).decode().split("\r\n")
    assert [line for line in answer if line.startswith("m=")] == [
        "m=audio 9000 RTP/AVP 8 101",
        "m=audio 9002 RTP/AVP 8 101",
        "m=video 0 RTP/AVP 31",
    ]
    assert answer.count("a=recvonly") == 2
    assert [line for line in answer if line.startswith("a=label")] == ["a=label:1", "a=label:2", "a=label:v"]
    assert "c=IN IP6 2001:db8::1" in answer


@pytest.mark.parametrize(
    ("formats", "names", "usable"),
    [
        ("0", "", True),
        ("8", "", True),
        ("96", "a=rtpmap:96 PCMA/8000\r\n", True),
        ("96", "a=rtpmap:96 PCMA/16000\r\n", False),
        ("0", "a=rtpmap:0 opus/48000/2\r\n", True),  # cannot be read, so 0 is what RFC 3551 says
        ("9 18 111", "", False),
        ("0 8 999 -1 x", "", True),
    ],
)
def test_g711_is_what_is_taken(formats: str, names: str, usable: bool) -> None:
    text = f"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP {formats}\r\n{names}"
    assert read_offer(text.encode())[0].is_usable is usable


@pytest.mark.parametrize("text", ["", "v=1", "v=0\r\n", "v=0\r\nm=audio x RTP/AVP 0", "v=0\r\nm=audio 99999 RTP/AVP 0"])
def test_descriptions_that_are_none(text: str) -> None:
    with pytest.raises(SessionDescriptionInvalid):
        read_offer(text.encode())


@given(st.text(max_size=200))
def test_any_text_is_a_description_or_refused(text: str) -> None:
    for each in (
        text,
        f"v=0\r\nm=audio 9 RTP/AVP 0\r\n{text}",
        f"v=0\r\nm={text}",
        f"v=0\r\nm=audio 9 RTP/AVP 0\r\na={text}",
    ):
        try:
            offer = read_offer(each.encode("utf-8", "replace"))
        except SessionDescriptionInvalid:
            continue
        write_answer([AnsweredLine(line=line, port=0) for line in offer], address="192.0.2.1", session=1, version=1)


KEY = base64.b64encode(bytes(range(30))).decode()


@pytest.mark.parametrize(
    ("line", "is_taken"),
    [
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", True),
        (f"2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^48", True),
        (f"1 AEAD_AES_256_GCM inline:{base64.b64encode(bytes(44)).decode()}", True),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4", False),  # a key identifier in each packet
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP", False),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}", False),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", False),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:!!", False),
        ("", False),
    ],
)
def test_crypto_lines(line: str, is_taken: bool) -> None:
    key = read_crypto(line)
    assert (key is not None) is is_taken
    if key is not None:
        assert read_crypto(key.written) == key
        assert KEY not in repr(key)


def body_of(kind: str, content: str, *, more: str = "") -> SessionBody:
    request = read_datagram(ExampleCall().request("INVITE", body=(kind, content), more=more))
    assert isinstance(request, SipRequest)
    return read_body(request)


@pytest.mark.parametrize("kind", ["application/rs-metadata+xml", "application/rs-metadata"])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_parts_of_a_body(kind: str, end: str) -> None:
    name, content = multipart("v=0", "<recording/>", kind=kind)
    body = body_of(name.replace("edge", '"edge"'), content.replace("\r\n", end))
    assert (body.description, body.metadata) == (b"v=0", b"<recording/>")


def test_a_part_that_has_no_end_is_left_out() -> None:
    content = "preamble\r\n--edge\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
    content += "--edge\r\nContent-Type: application/rs-metadata\r\n\r\n<rec"
    body = body_of("multipart/mixed; boundary=edge", content)
    assert (body.description, body.metadata) == (b"v=0", None)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("text/plain", ""), ("multipart/mixed", ""), ("application/sdp", "Content-Encoding: gzip\r\n"), ("", "")],
)
def test_bodies_that_are_not_read(kind: str, more: str) -> None:
    with pytest.raises(BodyNotUsable):
        body_of(kind or "x", "hello", more=more)


@given(st.binary(max_size=200))
def test_any_parts_are_read_or_refused(data: bytes) -> None:
    request = SipRequest(
        method="INVITE",
        uri="sip:a@b",
        headers=read_datagram(ExampleCall().request("INVITE", body=("multipart/mixed;boundary=x", "y"))).headers,
        body=b"--x\r\n" + data + b"\r\n--x--",
    )
    try:
        read_body(request)
    except BodyNotUsable:
        return


def test_allow_lists() -> None:
    networks = AllowList(("192.0.2.0/24", "2001:db8::/32", "198.51.100.7"))
    assert networks.allows("192.0.2.9")
    assert networks.allows("::ffff:192.0.2.9")
    assert networks.allows("2001:db8::5")
    assert networks.allows("198.51.100.7")
    assert not networks.allows("127.0.0.1")
    assert not networks.allows("nonsense")
    assert AllowList(()).allows("127.0.0.1")
    assert AllowList(()).allows("::1")
    assert not AllowList(()).allows("10.0.0.1")
    assert not AllowList(("nonsense",)).allows("127.0.0.1")
