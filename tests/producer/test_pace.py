"""Fragments of a recording, and real time with a clock that a test moves."""

import asyncio

import pytest

from earwitness.producer.fragments import OutgoingFragment, Pacing, PcmSource, fragments


def cut(seconds: float, *, rate: int = 8_000, channels: int = 1, block: int = 777) -> list[OutgoingFragment]:
    pcm = bytes(round(seconds * rate) * 2 * channels)
    blocks = (pcm[first : first + block] for first in range(0, len(pcm), block))
    return list(fragments(PcmSource(rate=rate, channels=channels, blocks=blocks, seconds=None), start_ms=5_000))


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (8_000, 2), (16_000, 1), (11_025, 1), (48_000, 2)])
def test_a_fragment_a_second_and_a_short_last_one(rate: int, channels: int) -> None:
    found = cut(2.5, rate=rate, channels=channels)
    assert [fragment.timecode_ms for fragment in found] == [5_000, 6_000, 7_000]
    assert [fragment.ends for fragment in found] == pytest.approx([1.0, 2.0, 2.5], abs=1e-4)
    assert [fragment.seconds for fragment in found] == pytest.approx([1.0, 1.0, 0.5], abs=1e-4)


def test_nothing_is_no_fragment() -> None:
    assert cut(0.0) == []


class Clock:
    """Seconds that go by when somebody sleeps, and one tenth more each time: nobody wakes in time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + 0.1


def test_real_time_does_not_drift_and_catches_up() -> None:
    clock = Clock()
    pace = Pacing(clock=lambda: clock.now, sleep=clock.sleep)
    sent_after: list[float] = []

    async def send() -> None:
        for index, fragment in enumerate(cut(4.5)):
            if index == 3:
                clock.now += 5.0  # the connection was broken for so long
            await pace.until_recorded(fragment)
            sent_after.append(clock.now - 100.0)

    asyncio.run(send())
    assert sent_after == pytest.approx([1.1, 2.1, 3.1, 8.1, 8.1])
    assert clock.slept == pytest.approx([1.0, 0.9, 0.9])
