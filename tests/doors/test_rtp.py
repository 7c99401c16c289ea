"""Packets to samples in their places: loss, disorder, other sources, keys pressed, and bytes of any kind."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from siprec_examples import rtp

from earwitness.doors.leg import LegTimeline
from earwitness.doors.siprec.rtp import TAKEN_BYTES_MAX, RtpStream, read_packet
from earwitness.doors.siprec.srtp import Decryption, SrtpKey
from earwitness.voice.call import AudioCoding, Leg

PACKET = 160
LEG = Leg(label="1", is_caller=True, coding=AudioCoding.PCMU, rate=8_000)
ANY_PACKET = st.builds(
    rtp,
    st.binary(max_size=400),
    sequence=st.integers(0, 70_000),
    timestamp=st.integers(0, 2**33),
    source=st.integers(0, 3),
    payload_type=st.sampled_from([0, 13, 101]),
)


def stream() -> RtpStream:
    return RtpStream(payload_type=0, event_type=101)


def packet(number: int, *, tone: bytes = b"\x10", source: int = 7, offset: int = 0) -> bytes:
    return rtp(tone * PACKET, sequence=number, timestamp=offset + number * PACKET, source=source)


def test_packets_in_order_are_one_stretch() -> None:
    received = stream()
    for number in range(5):
        assert received.receive(packet(number, offset=2**32 - 300), now=number * 0.02)
    [audio] = received.take()
    assert (audio.at, len(audio.data)) == (0, 5 * PACKET)
    assert received.take() == []


def test_a_lost_packet_is_a_place_where_nothing_is() -> None:
    received = stream()
    for number in (0, 1, 3, 2):
        received.receive(packet(number), now=0.0)
    assert [(audio.at // PACKET, len(audio.data) // PACKET) for audio in received.take()] == [(0, 2), (3, 1), (2, 1)]


def test_the_first_source_stays_while_it_speaks() -> None:
    received = stream()
    for number in range(50):
        received.receive(packet(number), now=number * 0.02)
        received.receive(packet(number, tone=b"\x55", source=99, offset=77), now=number * 0.02)
    assert all(set(audio.data) == {0x10} for audio in received.take())
    assert received.counts.foreign == 50


def test_another_source_that_takes_over_goes_on_in_time() -> None:
    received = stream()
    for number in range(10):
        received.receive(packet(number), now=number * 0.02)
    for number in range(5):
        received.receive(packet(number, tone=b"\x55", source=99, offset=123_456), now=1.0 + number * 0.02)
    first, second = received.take()
    assert len(first.data) == 10 * PACKET
    assert len(second.data) == 5 * PACKET
    assert abs(second.at - 8_000) <= 400


def test_a_key_is_told_once_whatever_the_number_of_its_packets() -> None:
    received = stream()
    for number in range(12):
        event = rtp(b"\x05\x80\x03\x20", sequence=number, timestamp=4_000 * (number // 6), payload_type=101)
        received.receive(event, now=0.0)
    assert received.take_keys() == 2
    assert received.take() == []


def test_comfort_noise_and_other_types_are_silence() -> None:
    received = stream()
    received.receive(rtp(b"\x10", sequence=1, timestamp=0, payload_type=13), now=0.0)
    received.receive(rtp(b"\x10" * 20, sequence=2, timestamp=0, payload_type=18), now=0.0)
    assert received.take() == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rtp(b"ab", sequence=1, timestamp=2), b"ab"),
        (rtp(b"\0\0\0\x09ab", sequence=1, timestamp=2, flags=0x81), b"ab"),
        (rtp(b"\xbe\xde\0\x01xxxxab", sequence=1, timestamp=2, flags=0x90), b"ab"),
        (rtp(b"ab\0\x02", sequence=1, timestamp=2, flags=0xA0), b"ab"),
        (rtp(b"ab\x09", sequence=1, timestamp=2, flags=0xA0), None),
        (rtp(b"ab\0", sequence=1, timestamp=2, flags=0xA0), None),
        (rtp(b"\xbe\xde\xff\xff", sequence=1, timestamp=2, flags=0x90), None),
        (rtp(b"ab", sequence=1, timestamp=2, flags=0x40), None),
        (b"\x80\xc8\0\x06" + bytes(24), None),  # RTCP
        (b"\x80" * 11, None),
        (b"", None),
    ],
)
def test_packets_and_what_is_none(data: bytes, expected: bytes | None) -> None:
    found = read_packet(data)
    assert (found.payload if found else None) == expected


@given(st.lists(st.binary(max_size=60) | ANY_PACKET, max_size=40))
def test_any_packets_are_taken_within_bounds(packets: list[bytes]) -> None:
    received = stream()
    for number, data in enumerate(packets):
        received.receive(data, now=float(number))
    assert sum(len(audio.data) for audio in received.take()) <= TAKEN_BYTES_MAX


def test_a_flood_is_dropped_and_counted() -> None:
    received = stream()
    for number in range(1_000):
        received.receive(packet(number), now=0.0)
    assert sum(len(audio.data) for audio in received.take()) <= TAKEN_BYTES_MAX
    assert received.counts.overflowing


@pytest.mark.parametrize("seed", range(3))
def test_one_percent_of_loss_and_40_ms_of_jitter_leave_silence_in_the_right_places(seed: int) -> None:
    """30 s: what comes out is what went in, to the sample, but for the packets that never came."""
    rng, count = random.Random(seed), 1_500
    lost = {number for number in range(1, count - 1) if rng.random() < 0.01}
    arrivals = sorted((number * 0.02 + rng.uniform(0, 0.04), number) for number in range(count) if number not in lost)
    said = [bytes([1 + number % 100]) * PACKET for number in range(count)]
    received, timeline = (
        stream(),
        LegTimeline(LEG, begins=0.0),
    )
    fragments, look = [], 0.1
    for at, number in arrivals:
        while at >= look:
            for audio in received.take():
                fragments += timeline.place(bytes(audio.data), audio.at, now=look)
            look += 0.1
        received.receive(rtp(said[number], sequence=number, timestamp=99 + number * PACKET), now=at)
    for audio in received.take():
        fragments += timeline.place(bytes(audio.data), audio.at, now=look)
    fragments += timeline.finish()
    heard = b"".join(each.data or b"\xff" * each.samples for each in fragments)
    expected = b"".join(b"\xff" * PACKET if number in lost else said[number] for number in range(count))
    assert abs(len(heard) - len(expected)) <= PACKET
    offset = len(heard) - len(expected)
    assert heard[max(0, offset) :] == expected[max(0, -offset) :]
    assert not timeline.counts.late


@pytest.mark.parametrize(("suite", "size"), [("AES_CM_128_HMAC_SHA1_80", 30), ("AEAD_AES_256_GCM", 44)])
def test_encrypted_packets_are_opened_once_and_forged_ones_never(suite: str, size: int) -> None:
    pylibsrtp = pytest.importorskip("pylibsrtp")
    key = SrtpKey(tag=1, suite=suite, key=bytes(range(size)))
    profile = {30: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 44: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM}
    policy = pylibsrtp.Policy(key=key.key, ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile[size])
    sealed = pylibsrtp.Session(policy).protect(packet(1))
    opening = Decryption(key)
    assert opening.open(sealed[:-1] + bytes([sealed[-1] ^ 1])) is None
    assert opening.open(sealed) == packet(1)
    assert opening.open(sealed) is None
    assert opening.open(packet(2)) is None
    assert opening.open(b"") is None
    assert opening.open(bytes(5_000)) is None


@pytest.mark.slow
@pytest.mark.parametrize("drift", [-50e-6, 0.0, 50e-6])
def test_a_call_of_eight_hours_with_an_hour_of_hold_is_as_long_to_the_sample(drift: float) -> None:
    """Timestamps and sequence numbers begin anew on the way; the phone system's clock is off as clocks are."""
    size, hours = 4_000, 8
    count = hours * 3_600 * LEG.rate // size
    held = range(count * 3 // 8, count * 4 // 8)
    received, timeline = stream(), LegTimeline(LEG, begins=0.0)
    place, wrong = 0, 0
    for number in range(count):
        now = (number + 1) * size / LEG.rate * (1 + drift)
        if number in held:
            fragments = timeline.elapse(now)
        else:
            timestamp = 2**32 - count * size // 4 + number * size
            received.receive(rtp(tone(number) * size, sequence=number, timestamp=timestamp), now=now)
            fragments = [each for one in received.take() for each in timeline.place(bytes(one.data), one.at, now=now)]
        fragments += timeline.finish() if number == count - 1 else []
        for each in fragments:
            assert each.first == place
            place += each.samples
            wrong += (each.data or b"\xff" * each.samples) != expected(each.first, each.samples, size, held)
    assert (place, wrong) == (hours * 3_600 * LEG.rate, 0)
    assert (timeline.counts.late, timeline.counts.duplicate, timeline.counts.jumps) == (0, 0, 0)
    assert received.counts.unreadable == received.counts.foreign == received.counts.overflowing == 0


def tone(number: int) -> bytes:
    return bytes([1 + number % 100])


def expected(first: int, samples: int, size: int, held: range) -> bytes:
    """Return what was said at a place of the long call."""
    numbers = range(first // size, -(-(first + samples) // size))
    said = b"".join((b"\xff" if number in held else tone(number)) * size for number in numbers)
    return said[first - numbers[0] * size :][:samples]
