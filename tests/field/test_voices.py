"""Calls with more than one voice, as they were met: a prompt before the caller, the agent's leakage on his channel."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from earwitness.audio.files import open_recording
from earwitness.engine.engine import Engine, identify_recording
from earwitness.engine.enrol import voiceprints_of
from earwitness.engine.gallery import Gallery
from earwitness.engine.gallery_file import read_gallery
from earwitness.errors import SeveralVoices
from earwitness.samples import first_call, second_call
from earwitness.voice.decision import Decision, Outcome

pytestmark = pytest.mark.slow


def gallery_of(known: Path, engine: Engine) -> Gallery:
    gallery = engine.gallery()
    gallery.add_all(read_gallery(known).voiceprints)
    return gallery


def names(decision: Decision) -> list[str]:
    answers = decision.voices or (decision,)
    return [one.candidates[0].profile_id for one in answers if one.outcome is Outcome.MATCH]


def test_the_caller_is_found_behind_a_prompt(engine: Engine, known: Path, field_dir: Path) -> None:
    found = identify_recording(
        engine, gallery_of(known, engine), open_recording(field_dir / "D2_ivr_then_enrolled_caller.gsm.wav")
    )
    assert names(found.decision) == ["ls1688"]


@pytest.mark.parametrize("whole", [False, True])
def test_leakage_is_not_named(engine: Engine, known: Path, field_dir: Path, whole: bool) -> None:
    file = field_dir / "D3_customer_channel_leak35dB.adpcm.wav"
    decision = identify_recording(engine, gallery_of(known, engine), open_recording(file), whole=whole).decision
    assert (decision.outcome, names(decision)) == (Outcome.MATCH, ["ls1688"])
    assert decision.leakage_seconds > 15


def test_a_prompt_and_a_caller_of_our_own(engine: Engine, tmp_path: Path) -> None:
    """The synthetic sibling: one voice, then another, who is enrolled."""
    (prompt, rate), (caller, _) = (soundfile.read(call) for call in (first_call("marvin"), second_call("sally")))
    soundfile.write(tmp_path / "call.wav", np.concatenate([prompt, caller]), rate)
    soundfile.write(tmp_path / "leak.wav", np.concatenate([prompt * 10 ** (-35 / 20), caller]), rate)
    gallery = engine.gallery()
    for name in ("sally", "marvin"):
        gallery.add_all(voiceprints_of(engine, name, [first_call(name)]).voiceprints)
    both = identify_recording(engine, gallery, open_recording(tmp_path / "call.wav"), whole=True).decision
    assert both.outcome is Outcome.SEVERAL_VOICES
    assert sorted(names(both)) == ["marvin", "sally"]
    leaked = identify_recording(engine, gallery, open_recording(tmp_path / "leak.wav")).decision
    assert names(leaked) == ["sally"]


def test_two_voices_are_not_enrolled_unless_forced(engine: Engine, tmp_path: Path) -> None:
    (first, rate), (second, _) = (soundfile.read(first_call(name)) for name in ("sally", "russell"))
    turn = 5 * rate
    turns = [voice[at * turn : (at + 1) * turn] for at in range(4) for voice in (first, second)]
    soundfile.write(tmp_path / "both.wav", np.concatenate(turns), rate)
    with pytest.raises(SeveralVoices, match=r"both\.wav: the speech is of more than one voice"):
        voiceprints_of(engine, "somebody", [tmp_path / "both.wav"])
    assert len(voiceprints_of(engine, "somebody", [tmp_path / "both.wav"], force=True).voiceprints) == 1
