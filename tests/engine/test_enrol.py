"""Which recordings make which voiceprint: every one is in exactly one, or is left over."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.engine.enrol import UsableRecording, account, joined_pieces
from earwitness.voice.band import Band
from earwitness.voice.speech import NetSpeech
from earwitness.voice.speech_quality import SpeechQuality

QUALITY = SpeechQuality(speech_level_dbfs=-20, peak_dbfs=-3, clipped_percent=0, snr_db=30, bandwidth_hz=3400)


def pieces(*seconds: float) -> list[UsableRecording]:
    return [
        UsableRecording(
            file=Path(f"{number}.wav"),
            content_id=str(number),
            speech=NetSpeech(
                samples=np.zeros(1, np.float32),
                seconds=length,
                band=Band.TELEPHONE,
                segments=(),
                quality=QUALITY,
                heard_seconds=length,
            ),
        )
        for number, length in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("seconds", "groups", "rest"),
    [
        ((15, 9.9, 12), [["0"], ["2"]], ["1"]),
        ((20, 6), [["0"]], ["1"]),
        ((6, 6), [["0", "1"]], []),
        ((6, 6, 6), [["0", "1", "2"]], []),
        ((9.9, 9.9, 9.9), [["0", "1"]], ["2"]),
        ((6, 12, 6), [["1"], ["0", "2"]], []),
        ((4, 4, 4, 4, 4, 4), [["0", "1", "2"], ["3", "4", "5"]], []),
        ((), [], []),
        ((9,), [], ["0"]),
    ],
)
def test_short_recordings_are_joined_to_ten_seconds_and_more(
    seconds: tuple[float, ...], groups: list[list[str]], rest: list[str]
) -> None:
    made, over = joined_pieces(pieces(*seconds))
    assert [[piece.content_id for piece in group] for group in made] == groups
    assert [piece.content_id for piece in over] == rest


@given(st.lists(st.floats(0.1, 20.0), max_size=30))
def test_nothing_is_lost_and_nothing_goes_unheard(seconds: list[float]) -> None:
    given = pieces(*seconds)
    groups, rest = joined_pieces(given)
    placed = sorted(int(piece.content_id) for group in groups for piece in group)
    assert sorted(placed + [int(piece.content_id) for piece in rest]) == list(range(len(given)))
    assert all(10 <= sum(piece.speech.seconds for piece in group) <= 20 for group in groups)
    uses = account(given, groups)
    assert [use.file for use in uses] == [piece.file for piece in given]
    assert all((use.voiceprint_id is None) == (use.left_out is not None) for use in uses)
