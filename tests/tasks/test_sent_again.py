"""Fragments that a producer sent again, told from new ones."""

from datetime import UTC, datetime, timedelta

import pytest

from earwitness.audio.matroska.ids import CLUSTER, SIMPLE_BLOCK, TIMESTAMP
from earwitness.audio.matroska.writer import write_block, write_cluster
from earwitness.tasks.sent_again import LOOKED_BACK, SentAgain

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SILENCE = bytes(32_000)
SPEECH = b"\x01\x02" * 4_000


def cluster(content: bytes, *, ticks: int = 0) -> bytes:
    return write_cluster(ticks, [write_block(1, 0, content)])


def test_the_same_is_known_wherever_its_connection_began() -> None:
    sent = SentAgain()
    assert not sent.is_known(NOW, cluster(SPEECH, ticks=70_000), call=None)
    assert sent.is_known(NOW, cluster(SPEECH, ticks=0), call=None)


@pytest.mark.parametrize(("first", "second"), [(SPEECH, bytes(8_000)), (SPEECH, SPEECH[::-1])])
def test_other_speech_before_the_same_silence_is_new(first: bytes, second: bytes) -> None:
    """A producer's clock may begin at nought with each connection."""
    sent = SentAgain()
    assert not sent.is_known(NOW, cluster(first + SILENCE), call=None)
    assert not sent.is_known(NOW, cluster(second + SILENCE), call=None)


def test_another_call_is_new() -> None:
    sent = SentAgain()
    assert not sent.is_known(NOW, cluster(SPEECH), call="one")
    assert not sent.is_known(NOW, cluster(SPEECH), call="two")
    assert sent.is_known(NOW, cluster(SPEECH), call="one")


def test_nothing_of_a_clock_that_stands_still_is_known() -> None:
    sent = SentAgain()
    assert not any(sent.is_known(NOW, cluster(said), call=None) for said in (SILENCE, SPEECH, SILENCE, SPEECH))


def test_so_many_are_remembered() -> None:
    sent = SentAgain()
    times = [NOW + timedelta(seconds=number) for number in range(LOOKED_BACK + 1)]
    assert not any(sent.is_known(time, cluster(SPEECH), call=None) for time in times)
    assert not sent.is_known(times[0], cluster(SPEECH), call=None)
    assert sent.is_known(times[-1], cluster(SPEECH), call=None)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, CLUSTER.to_bytes(4, "big") + b"\x01" + b"\xa3\x7f"])
def test_what_is_no_cluster_is_compared_as_it_is(content: bytes) -> None:
    """Who decodes it says what is wrong."""
    sent = SentAgain()
    assert not sent.is_known(NOW, content, call=None)
    assert sent.is_known(NOW, content, call=None)
    assert not sent.is_known(NOW, content + b"\x00", call=None)


def test_a_cluster_whose_size_is_unknown() -> None:
    def live(ticks: int) -> bytes:
        return b"".join(
            (
                CLUSTER.to_bytes(4, "big") + b"\xff",
                bytes([TIMESTAMP, 0x82]) + ticks.to_bytes(2, "big"),
                bytes([SIMPLE_BLOCK, 0x85]) + b"\x81\x00\x00\x80\x07",
            )
        )

    sent = SentAgain()
    assert not sent.is_known(NOW, live(1), call=None)
    assert sent.is_known(NOW, live(2), call=None)
