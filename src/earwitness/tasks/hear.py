"""Hear one channel of a call: from its samples to a probe after 10 s of net speech and a voiceprint after 20 s.

What comes out depends on the samples alone, not on how they were cut into fragments, and of them only on those of
passages with speech: a call that goes on after a crash, when only these were heard again, gives the same answers.
"""

import logging

from earwitness.audio.channel import MediaType, ReferencedDecoder, media_type_of
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.tracks import parse_header
from earwitness.audio.passages import PassageEnd, PassageGatherer
from earwitness.engine.engine import Engine
from earwitness.engine.enrol import enrolment_embedding
from earwitness.engine.tell_apart import Voice, voices_of
from earwitness.errors import MediaIncompatible, NotEnoughSpeech
from earwitness.tasks.checkpoint import PassageLog
from earwitness.tasks.replay import FragmentSlice
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.embedding import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX, Embedding, Samples
from earwitness.voice.speech import NetSpeech

_PROBE_SAMPLES = round(IDENTIFY_SECONDS * CANONICAL_RATE)

_log = logging.getLogger("earwitness.hear")


class CallVoice:
    """The voice on one channel. Feed it in order, from one thread at a time; each feeding may take long."""

    def __init__(self, engine: Engine, *, rate: int) -> None:
        """`rate` is the channel's own, in Hz. Raises RateUnsupported."""
        self._engine = engine
        self._gatherer = PassageGatherer(engine.vad, band=engine.band, rate=rate, target_seconds=SPEECH_SECONDS_MAX)
        self._voices: tuple[Voice, ...] | None = None

    @property
    def seconds(self) -> float:
        """Net speech so far."""
        return self._gatherer.seconds

    @property
    def can_identify(self) -> bool:
        """Whether there is enough speech for a probe."""
        return self.seconds >= IDENTIFY_SECONDS

    @property
    def can_enrol(self) -> bool:
        """Whether there is enough speech for a voiceprint; more is not listened to."""
        return self._gatherer.complete

    def feed(self, samples: Samples) -> None:
        """Take the channel's next samples, shape (n,), or (n, 2) with its reference.

        AudioNotFinite on NaN or infinity.
        """
        self._gatherer.feed(samples)

    @property
    def position(self) -> int:
        """Samples that were fed."""
        return self._gatherer.position

    @property
    def settled(self) -> int:
        """Up to here it is decided where passages end."""
        return self._gatherer.settled

    def end_passage(self) -> None:
        """A passage that is heard again is known to have ended here."""
        self._gatherer.end_passage()

    def take_ends(self) -> list[PassageEnd]:
        """The passages that ended since this was last asked."""
        return self._gatherer.take_ends()

    def finish(self) -> None:
        """The channel has ended: count what had waited for more."""
        self._gatherer.finish()

    def voices(self) -> tuple[Voice, ...]:
        """The voices in the first 10 s of net speech, nearly always one. NotEnoughSpeech before there are so many."""
        if self._voices is None:
            samples = self._gatherer.speech().samples[:_PROBE_SAMPLES]
            if len(samples) < _PROBE_SAMPLES:
                raise NotEnoughSpeech(have_seconds=self.seconds, need_seconds=IDENTIFY_SECONDS)
            self._voices = voices_of(self._engine.encoder, samples)
        return self._voices

    def voiceprint(self) -> tuple[Embedding, NetSpeech]:
        """The embedding of 20 s of net speech, and that speech.

        Raises SpeechTooPoor when it would spoil a profile: bad audio, a loop, or several voices; NotEnoughSpeech before
        20 s.
        """
        speech = self._gatherer.speech()
        return enrolment_embedding(self._engine.encoder, [speech], seconds_min=SPEECH_SECONDS_MAX), speech


class ChannelListener:
    """One channel of a stream, fragment by fragment. Use it from one thread at a time; `hear` may take long."""

    def __init__(self, engine: Engine, *, channel: int, declared_rate: int) -> None:
        """`channel` and `declared_rate` are what the pipeline's source says; the stream's own rate wins."""
        self._engine = engine
        self._channel = channel
        self._declared_rate = declared_rate
        self._header = b""
        self._media_type: MediaType | None = None
        """The latest that was told: tags may come too late for a fragment that is read at once."""

        self._decoder: ReferencedDecoder | None = None
        self._voice: CallVoice | None = None
        self._rate = 0
        self.course = PassageLog()
        """Where in the stream its passages lie."""

    @property
    def seconds(self) -> float:
        """Net speech so far."""
        return self._voice.seconds if self._voice is not None else 0.0

    @property
    def can_identify(self) -> bool:
        """Whether there is enough speech for a probe."""
        return self._voice is not None and self._voice.can_identify

    @property
    def can_enrol(self) -> bool:
        """Whether there is enough speech for a voiceprint."""
        return self._voice is not None and self._voice.can_enrol

    @property
    def heard_seconds(self) -> float:
        """Audio so far, speech and silence."""
        return self._voice.position / self._rate if self._voice is not None else 0.0

    def hear(self, piece: FragmentSlice) -> None:
        """Take what comes next. Raises MatroskaInvalid and MediaIncompatible for what cannot be decoded."""
        fragment = piece.fragment
        media_type = media_type_of(fragment.tags) or self._media_type
        same = fragment.header == self._header and media_type == self._media_type
        if piece.begins or fragment.after_gap or not same or self._decoder is None:
            self._open(fragment.header, media_type)
        decoder, voice, course = self._decoder, self._voice, self.course
        if decoder is None or voice is None:
            return
        whole = not decoder.rest_bytes
        samples = decoder.feed(list(read_frames(fragment.cluster)))
        course.arrive(fragment, begins_at=voice.position - piece.start, whole=whole)
        if piece.begins:
            course.begin_anew(voice.position)
        voice.feed(samples[piece.start : piece.end])
        if piece.ends_passage:
            voice.end_passage()
        course.passages_ended(voice.take_ends(), settled=voice.settled)

    def finish(self) -> None:
        """The channel has ended."""
        if self._voice is not None:
            self._voice.finish()

    def voices(self) -> tuple[Voice, ...]:
        """As CallVoice gives them."""
        return self._heard().voices()

    def voiceprint(self) -> tuple[Embedding, NetSpeech]:
        """As CallVoice gives it."""
        return self._heard().voiceprint()

    def _open(self, header: bytes, media_type: MediaType | None) -> None:
        """A producer connected, or connected again: its header says how to decode. Behind a gap there is no half of a
        sample to go on with either."""
        decoder = ReferencedDecoder(
            parse_header(header), channel=self._channel, declared_rate=self._declared_rate, media_type=media_type
        )
        if self._voice is not None and decoder.own.rate != self._rate:
            raise MediaIncompatible(
                f"the stream went on with {decoder.own.rate} Hz after {self._rate} Hz; start another task"
            )
        if self._voice is None:
            self._voice, self._rate = CallVoice(self._engine, rate=decoder.own.rate), decoder.own.rate
            if decoder.own.rate_differs:
                rates = {"stated_hz": decoder.own.rate, "declared_hz": decoder.own.declared_rate}
                _log.warning("a stream states another sample rate than its pipeline; the stream's is used", extra=rates)
        self._header, self._media_type, self._decoder = header, media_type, decoder

    def _heard(self) -> CallVoice:
        if self._voice is None:
            raise NotEnoughSpeech(have_seconds=0.0, need_seconds=IDENTIFY_SECONDS)
        return self._voice
