"""A leg's timeline: whatever becomes of packets on the way, what is left has its length and its places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.doors.events import AudioCoding, Leg
from earwitness.doors.leg import (
    CLOCK_JUMP_SECONDS,
    LATE_SECONDS,
    REORDER_SECONDS,
    SILENCE_SECONDS_MAX,
    LegFragment,
    LegTimeline,
)

RATE = 8_000
PACKET = 160
PACKET_SECONDS = PACKET / RATE
SILENCE = AudioCoding.PCMU.silence


def leg(coding: AudioCoding = AudioCoding.PCMU, rate: int = RATE) -> Leg:
    return Leg(label="a", is_caller=True, coding=coding, rate=rate)


def packet(number: int) -> bytes:
    """160 samples that tell which packet they are, and are never silence."""
    return bytes([number % 200 + 1]) * PACKET


def joined(fragments: list[LegFragment], silence: bytes = SILENCE) -> bytes:
    """All audio of a leg, after a look that no fragment leaves a hole."""
    place, audio = 0, b""
    for fragment in fragments:
        assert fragment.first == place
        place += fragment.samples
        audio += fragment.data or silence * fragment.samples
        assert len(audio) == place * len(silence)
    return audio


def test_packets_in_order_are_cut_into_seconds() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out = []
    for number in range(125):
        given_out += timeline.place(packet(number), number * PACKET, now=(number + 1) * PACKET_SECONDS)
    assert [one.samples for one in given_out] == [RATE, RATE]
    given_out += timeline.finish()
    assert given_out[-1].samples == RATE // 2
    assert joined(given_out) == b"".join(map(packet, range(125)))
    assert timeline.finish() == []


@pytest.mark.slow
@given(st.data())
def test_any_order_within_the_window_and_any_loss_give_the_right_length_and_places(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 200))
    lost = data.draw(st.sets(st.integers(1, count - 2), max_size=count // 2).filter(lambda lost: not _too_many(lost)))
    delays = data.draw(st.lists(st.floats(0, REORDER_SECONDS - 0.03), min_size=count, max_size=count))
    twice = data.draw(st.sets(st.integers(0, count - 1), max_size=5))
    sent = [(number * PACKET_SECONDS + delays[number], number) for number in range(count) if number not in lost]
    sent += [(at + 0.001, number) for at, number in sent if number in twice]
    looked = min(sent)[0] - PACKET_SECONDS  # a call begins when it is first heard
    timeline = LegTimeline(leg(), begins=looked)
    given_out: list[LegFragment] = []
    for at, number in sorted(sent):
        while looked < at:
            given_out += timeline.elapse(looked)
            looked += 0.25
        given_out += timeline.place(packet(number), number * PACKET, now=at)
    given_out += timeline.finish()
    want = [SILENCE * PACKET if number in lost else packet(number) for number in range(count)]
    assert joined(given_out) == b"".join(want)
    # A copy of a packet that completed a fragment comes when its place has been given away.
    assert timeline.counts.duplicate + timeline.counts.late == PACKET * len(twice - lost)
    assert timeline.counts.jumps == 0
    assert timeline.counts.lost == PACKET * len(lost)


def _too_many(lost: set[int]) -> bool:
    """Whether a second in a row is lost: then silence is written by the clock."""
    return any(all(number + each in lost for each in range(30)) for number in lost)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40) | st.none(), st.integers(0, 2_000), st.floats(0, 5)),
        max_size=60,
    )
)
def test_whatever_a_sender_says_of_its_clock_silence_is_bounded(
    packets: list[tuple[int | None, int, float]],
) -> None:
    timeline = LegTimeline(leg(AudioCoding.L16), begins=0.0)
    given_out: list[LegFragment] = []
    now, audio = 0.0, 0
    for at, size, passed in packets:
        now += passed
        audio += size // 2
        given_out += timeline.place(b"x" * size, at, now=now)
        given_out += timeline.elapse(now)
    given_out += timeline.finish()
    joined(given_out, b"\0\0")
    samples = sum(one.samples for one in given_out)
    assert samples <= audio + (now + 2 * CLOCK_JUMP_SECONDS) * RATE + RATE


def test_silence_is_written_by_the_clock_while_nothing_comes_and_audio_goes_on_in_its_place() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out = timeline.place(packet(1), 0, now=PACKET_SECONDS)
    now = PACKET_SECONDS
    while now < 60:
        now += 0.25
        new = timeline.elapse(now)
        given_out += new
        for one in new:  # neither ahead of audio that may still come, nor later than is promised
            assert now - 0.25 - LATE_SECONDS <= (one.first + one.samples) / RATE <= now - LATE_SECONDS
    at = round(now * RATE)
    given_out += timeline.place(packet(2), at, now=now + PACKET_SECONDS)
    given_out += timeline.finish()
    audio = joined(given_out)
    assert audio[at:] == packet(2)
    assert set(audio[PACKET:at]) == set(SILENCE)
    assert timeline.counts.lost == 0
    assert timeline.counts.late == 0


def test_without_a_senders_clock_audio_after_a_hold_is_placed_by_ours() -> None:
    timeline = LegTimeline(leg(), begins=100.0)
    given_out = timeline.place(packet(1), None, now=100.02)
    given_out += timeline.elapse(110.0)
    given_out += timeline.place(packet(2), None, now=110.02)
    given_out += timeline.place(packet(3), None, now=110.09)  # jitter makes no hole
    given_out += timeline.finish()
    audio = joined(given_out)
    assert len(audio) == 80_000 + 2 * PACKET
    assert audio[80_000:] == packet(2) + packet(3)


def test_a_leg_that_comes_late_is_silent_from_the_calls_begin() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out = timeline.elapse(20.0)
    given_out += timeline.place(packet(7), 0, now=20.02)
    audio = joined(given_out + timeline.finish())
    assert audio == SILENCE * (20 * RATE) + packet(7)
    assert timeline.counts.lost == 0


def test_what_comes_after_its_place_was_given_away_is_dropped_and_counted() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out = timeline.place(packet(0), 0, now=0.02)
    given_out += timeline.elapse(2.1)  # the first second is away
    given_out += timeline.place(packet(9), 20 * PACKET, now=2.1)
    given_out += timeline.place(packet(8), RATE - PACKET // 2, now=2.1)  # half of it is in time
    given_out += timeline.finish()
    audio = joined(given_out)
    assert timeline.counts.late == PACKET + PACKET // 2
    assert audio == packet(0) + SILENCE * (RATE - PACKET) + packet(8)[: PACKET // 2]


def test_a_senders_clock_that_jumps_forward_writes_no_hours_of_silence() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out = timeline.place(packet(0), 0, now=0.02)
    given_out += timeline.place(packet(1), 5 * 3_600 * RATE, now=0.04)
    given_out += timeline.place(packet(2), 5 * 3_600 * RATE + PACKET, now=0.06)
    given_out += timeline.finish()
    assert joined(given_out) == packet(0) + packet(1) + packet(2)
    assert timeline.counts.jumps == 1


def test_a_senders_clock_that_is_set_back_costs_half_a_second() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out: list[LegFragment] = []
    for number in range(150):
        given_out += timeline.place(packet(number), number * PACKET, now=(number + 1) * PACKET_SECONDS)
    for number in range(150):
        given_out += timeline.place(packet(number), number * PACKET, now=3.0 + (number + 1) * PACKET_SECONDS)
    given_out += timeline.finish()
    assert timeline.counts.jumps == 1
    assert timeline.counts.late < RATE / 2
    audio = joined(given_out)
    assert abs(len(audio) - 6 * RATE) <= PACKET
    assert audio.endswith(b"".join(map(packet, range(30, 150))))


def test_audio_faster_than_time_is_kept_whole() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out: list[LegFragment] = []
    for number in range(3_000):
        given_out += timeline.place(packet(number), number * PACKET, now=number / 10_000)
    assert joined(given_out + timeline.finish()) == b"".join(map(packet, range(3_000)))


def test_a_look_after_hours_writes_a_minute_of_silence() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    samples = sum(one.samples for one in timeline.elapse(8 * 3_600.0))
    assert samples == SILENCE_SECONDS_MAX * RATE


def test_a_hold_is_silent_as_long_as_it_lasts() -> None:
    timeline = LegTimeline(leg(), begins=0.0)
    given_out = timeline.place(packet(1), 0, now=0.02)
    for quarter in range(1, 4 * 3_600):
        given_out += timeline.elapse(quarter / 4)
    assert sum(one.samples for one in given_out) >= (3_600 - 3) * RATE
    given_out += timeline.place(packet(2), 3_600 * RATE, now=3_600.02)
    audio = joined(given_out + timeline.finish())
    assert audio[3_600 * RATE :] == packet(2)
    assert timeline.counts.lost == timeline.counts.late == timeline.counts.jumps == 0


def test_a_sender_whose_clock_stands_still_on_hold_stays_in_time() -> None:
    timeline, at, now = LegTimeline(leg(), begins=0.0), 0, 0.0
    given_out: list[LegFragment] = []
    for lost, packets, held in ((0.0, 500, 0), (2.9, 20, 41), (0.0, 500, 0)):  # what was lost before does not count
        at, now = at + round(lost * RATE), now + lost
        for _packet in range(packets):
            now += PACKET_SECONDS
            given_out += timeline.place(packet(1), at, now=now)
            at += PACKET
        for _look in range(held):
            now += 0.25
            given_out += timeline.elapse(now)
    written = sum(one.samples for one in given_out + timeline.finish())
    assert abs(written - now * RATE) <= PACKET


@pytest.mark.slow
def test_a_sender_whose_clock_is_slow_loses_nothing_in_eight_hours() -> None:
    """100 ppm: three seconds in a working day, more than audio is waited for."""
    timeline = LegTimeline(leg(rate=800), begins=0.0)  # a tenth of the rate and fifty times the packet: quicker
    step, sent, kept = 800, 0, 0
    while sent < 8 * 3_600 * 800:
        now = (sent + step) / (800 * (1 - 1e-4))
        kept += sum(one.samples for one in timeline.elapse(now - 0.3))
        kept += sum(one.samples for one in timeline.place(b"x" * step, sent, now=now))
        sent += step
    kept += sum(one.samples for one in timeline.finish())
    assert kept == sent
    assert timeline.counts.late == timeline.counts.lost == timeline.counts.jumps == 0


def test_half_a_sample_is_no_sample() -> None:
    timeline = LegTimeline(leg(AudioCoding.L16), begins=0.0)
    assert timeline.place(b"", None, now=0.0) == timeline.place(b"x", None, now=0.0) == []
    timeline.place(b"abc", None, now=0.0)
    (rest,) = timeline.finish()
    assert rest.data == b"ab"
