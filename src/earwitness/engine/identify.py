"""Identify who speaks in a recording: its first 20 s of speech, and as much more as the answer needs.

An announcement before the caller, or another party's leakage, can fill the first 20 s. So the search goes on when these
name nobody for sure, and ends after a minute of speech, unless the whole recording is asked for.
"""

from dataclasses import dataclass
from pathlib import Path

from earwitness.audio.files import RawFormat
from earwitness.engine.decide import not_enough_speech
from earwitness.engine.engine import Decoded, Engine, unwatched
from earwitness.engine.gallery import Gallery
from earwitness.engine.tell_apart import Voice, voices_of
from earwitness.errors import AudioTooLong, NotEnoughSpeech
from earwitness.voice.decision import Decision, Outcome
from earwitness.voice.embedding import SPEECH_SECONDS_MAX
from earwitness.voice.speech import NetSpeech, SpeechQuality

_SPEECH_SECONDS_MAX = 60.0
"""Net speech that is searched through when nobody is found, unless the whole recording is asked for."""

_FAINT_DBFS = -45.0
"""Telephone networks aim at -26 dBFS; speech so much quieter is judged only when all was heard: it may be leakage."""


@dataclass(frozen=True, kw_only=True)
class Identified:
    """The answer for a recording."""

    decision: Decision
    quality: SpeechQuality
    """Of the first 20 s of speech."""

    heard_seconds: float
    """Length of the recording that was listened to, speech and silence."""

    to_the_end: bool
    """Whether that is all of it."""


def identify_recording(
    engine: Engine,
    gallery: Gallery,
    path: Path,
    *,
    channel: int | None = None,
    raw: RawFormat | None = None,
    whole: bool = False,
    decoded: Decoded = unwatched,
) -> Identified:
    """Who of the gallery speaks in one channel of a recording, if anyone. Raises AudioError when it cannot be used."""
    voices: list[Voice] = []
    heard: list[NetSpeech] = []
    cut_off = False
    try:
        for speech in engine.passages(path, channel=channel, raw=raw, decoded=decoded):
            heard.append(speech)
            try:
                voices += voices_of(engine.encoder, speech.samples)
            except NotEnoughSpeech:
                continue  # the last seconds, or all there is
            if not whole and _enough(engine, gallery, voices, sum(passage.seconds for passage in heard)):
                break
    except AudioTooLong:
        if not voices:
            raise
        cut_off = True  # there is enough for an answer; only the search for a surer one ends here
    seconds = sum(passage.seconds for passage in heard)
    return Identified(
        decision=engine.search_voices(voices, gallery) if voices else not_enough_speech(seconds),
        quality=heard[0].quality,
        heard_seconds=sum(passage.heard_seconds for passage in heard),
        to_the_end=not cut_off and (whole or heard[-1].seconds < SPEECH_SECONDS_MAX),
    )


def _enough(engine: Engine, gallery: Gallery, voices: list[Voice], seconds: float) -> bool:
    """Whether the last passage has a voice, as loud as a talker's, that is somebody's for sure; or it gets too long."""
    if seconds >= _SPEECH_SECONDS_MAX:
        return True
    if max(voice.level_dbfs for voice in voices) < _FAINT_DBFS:
        return False
    decision = engine.search_voices(voices[-1:], gallery)
    return decision.outcome is Outcome.MATCH and not decision.weak
