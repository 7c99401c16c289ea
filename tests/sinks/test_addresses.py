"""A webhook does not lead inside: not by address, not by name, not by a name that changes its mind."""

import ipaddress
import socket
from collections.abc import Sequence

import pytest
from event_examples import BODY, EVENT_ID, NOON, PIPELINE_ID, SECRET
from hypothesis import given
from hypothesis import strategies as st
from recording_server import Recording

from earwitness.errors import SinkUnavailable
from earwitness.sinks.http_post import Resolver, judged_addresses, may_connect, system_resolver
from earwitness.sinks.webhook import WebhookSettings, WebhookSink
from earwitness.voice.events import EventKind

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104  an address to refuse
    "255.255.255.255",
    "224.0.0.1",
    "240.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%1",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


def send(url: str, *, allow_private: bool = False, resolver: Resolver = system_resolver) -> None:
    settings = WebhookSettings(secret=SECRET, allow_private_addresses=allow_private, seconds=1.0)
    sink = WebhookSink(url, settings, now=lambda: NOON, resolver=resolver)
    sink.send(BODY, event_id=EVENT_ID, ordering_key=PIPELINE_ID, kind=EventKind.SPEAKER_SEARCH)


@pytest.mark.parametrize("address", INSIDE)
def test_inside_is_refused(address: str) -> None:
    assert not may_connect(address, allow_private=False)


@pytest.mark.parametrize("address", OUTSIDE)
def test_outside_is_allowed(address: str) -> None:
    assert may_connect(address, allow_private=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fe80::1", "fc00::1"])
def test_inside_is_allowed_where_the_settings_say_so(address: str) -> None:
    assert may_connect(address, allow_private=True)


@pytest.mark.parametrize("address", ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "::ffff:0.0.0.0"])  # noqa: S104
def test_several_receivers_or_none_are_never_allowed(address: str) -> None:
    assert not may_connect(address, allow_private=True)


@given(st.ip_addresses(v=4))
def test_an_address_within_an_address_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    plain = may_connect(str(address), allow_private=False)
    assert may_connect(f"::ffff:{address}", allow_private=False) == plain
    assert may_connect(str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address))), allow_private=False) == plain


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"],
)
def test_nothing_is_sent_inside(recorder: Recording, host: str) -> None:
    with pytest.raises(SinkUnavailable, match="private"):
        send(f"http://{host}:{recorder.port}/")
    assert recorder.requests == []


def test_a_name_with_one_address_inside_is_refused() -> None:
    with pytest.raises(SinkUnavailable, match="private"):
        send("http://events.example/", resolver=lambda *_: ("8.8.8.8", "10.0.0.1"))


def test_a_name_is_resolved_once_and_the_connection_goes_there(
    recorder: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up would be answered differently, and fails here."""
    asked: list[tuple[str, int]] = []
    real = socket.getaddrinfo

    def only_addresses(host: str, *others: object, **named: object) -> object:
        ipaddress.ip_address(host)
        return real(host, *others, **named)  # type: ignore[arg-type]

    def resolver(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ("127.0.0.1",)

    monkeypatch.setattr(socket, "getaddrinfo", only_addresses)
    send(f"http://events.example:{recorder.port}/", allow_private=True, resolver=resolver)
    assert asked == [("events.example", recorder.port)]
    assert recorder.requests[0].headers["host"] == f"events.example:{recorder.port}"


def test_the_next_address_is_tried_when_one_does_not_answer(recorder: Recording) -> None:
    send(f"http://events.example:{recorder.port}/", allow_private=True, resolver=lambda *_: ("127.0.0.3", "127.0.0.1"))
    assert len(recorder.requests) == 1


def test_a_redirect_inside_is_not_followed(recorder: Recording) -> None:
    recorder.status, recorder.headers = 302, {"Location": "http://169.254.169.254/latest/meta-data/"}
    with pytest.raises(SinkUnavailable, match="redirects"):
        send(recorder.url, allow_private=True)
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("failure", [socket.gaierror("unknown"), UnicodeError("label")])
def test_a_name_that_cannot_be_found(failure: Exception) -> None:
    def resolver(host: str, port: int) -> Sequence[str]:
        raise failure

    with pytest.raises(SinkUnavailable, match="cannot be found"):
        judged_addresses("events.example", 80, allow_private=False, resolver=resolver)


def test_a_name_without_addresses() -> None:
    with pytest.raises(SinkUnavailable, match="no address"):
        judged_addresses("events.example", 80, allow_private=False, resolver=lambda *_: ())
