"""Hear one channel of a call: from its samples to a probe after 10 s of net speech and a voiceprint after 20 s.

What comes out depends on the samples alone, not on how they were cut into fragments, and of them only on those of
passages with speech: a call that goes on after a crash, when only these were heard again, gives the same answers.
"""

import logging
from dataclasses import dataclass

from earwitness.audio.channel import MediaType, ReferencedDecoder, media_type_of
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.tracks import parse_header
from earwitness.audio.passages import PassageGatherer
from earwitness.audio.recording import codec_named
from earwitness.engine.engine import Engine, Voice, voices_of
from earwitness.engine.enrol import enrolment_embedding
from earwitness.errors import MediaIncompatible, NotEnoughSpeech
from earwitness.tasks.checkpoints import PassageLog
from earwitness.tasks.heard import HeardSoFar
from earwitness.tasks.level_strip import LevelStrip
from earwitness.tasks.replay import FragmentSlice
from earwitness.voice.band import CANONICAL_RATE
from earwitness.voice.durations import IDENTIFY_SECONDS, SPEECH_SECONDS_MAX
from earwitness.voice.embedding import Embedding
from earwitness.voice.line import Codec
from earwitness.voice.speech import NetSpeech

_PROBE_SAMPLES = round(IDENTIFY_SECONDS * CANONICAL_RATE)

_log = logging.getLogger("earwitness.hear")


def gatherer_of(engine: Engine, *, rate: int) -> PassageGatherer:
    """Return what gathers the speech of one channel of a call. `rate` is the channel's own, in Hz."""
    return PassageGatherer(engine.vad, band=engine.band, rate=rate, target_seconds=SPEECH_SECONDS_MAX)


def probe_of(engine: Engine, gatherer: PassageGatherer) -> tuple[Voice, ...]:
    """Return the voices in the first 10 s of net speech, nearly always one. Raise NotEnoughSpeech before 10 s."""
    samples = gatherer.speech().samples[:_PROBE_SAMPLES]
    if len(samples) < _PROBE_SAMPLES:
        raise NotEnoughSpeech(have_seconds=gatherer.seconds, need_seconds=IDENTIFY_SECONDS)
    return voices_of(engine.encoder, samples)


def voiceprint_of(engine: Engine, gatherer: PassageGatherer) -> tuple[Embedding, NetSpeech]:
    """Return the embedding of 20 s of net speech, and that speech.

    Raise SpeechTooPoor when it would spoil a profile (bad audio, a loop, or several voices), NotEnoughSpeech before
    20 s.
    """
    speech = gatherer.speech()
    return enrolment_embedding(engine.encoder, [speech], seconds_min=SPEECH_SECONDS_MAX), speech


@dataclass(frozen=True, kw_only=True)
class _Connection:
    """What the header of a producer's connection says; the speech goes on over all connections."""

    header: bytes
    media_type: MediaType | None
    decoder: ReferencedDecoder
    gatherer: PassageGatherer

    @property
    def rate(self) -> int:
        return self.decoder.own.rate


class ChannelListener:
    """One channel of a stream, fragment by fragment. Use it from one thread at a time; `hear` may take long."""

    def __init__(
        self, engine: Engine, *, channel: int, declared_rate: int, declared_channels: int | None = None
    ) -> None:
        """`channel` and what is declared are what the pipeline's source says; what the stream itself says wins."""
        self._engine = engine
        self._channel = channel
        self._declared_rate = declared_rate
        self._declared_channels = declared_channels
        self._connection: _Connection | None = None  # before the first fragment
        self._strip: LevelStrip | None = None  # as above
        self.passages = PassageLog()
        """Where in the stream its passages lie."""

        self.remark: str | None = None
        """What readers of the record should know: whoever is heard may be somebody else than the pipeline means."""

    @property
    def seconds(self) -> float:
        """Net speech so far."""
        return self._connection.gatherer.seconds if self._connection is not None else 0.0

    @property
    def codec(self) -> Codec:
        """What the channel is encoded with, as the stream says lately."""
        connection = self._connection
        return codec_named(connection.decoder.own.audio.encoding) if connection is not None else Codec.UNKNOWN

    @property
    def can_identify(self) -> bool:
        """Whether there is enough speech for a probe."""
        return self.seconds >= IDENTIFY_SECONDS

    @property
    def can_enrol(self) -> bool:
        """Whether there is enough speech for a voiceprint; more is not listened to."""
        return self._connection is not None and self._connection.gatherer.complete

    @property
    def heard_seconds(self) -> float:
        """Audio so far, speech and silence."""
        return self._connection.gatherer.position / self._connection.rate if self._connection is not None else 0.0

    def hear(self, piece: FragmentSlice) -> None:
        """Take what comes next. Raise MatroskaInvalid and MediaIncompatible for what cannot be decoded."""
        fragment = piece.fragment
        connection = self._connection_of(piece)
        decoder, gatherer = connection.decoder, connection.gatherer
        whole = not decoder.rest_bytes
        samples = decoder.feed(list(read_frames(fragment.cluster)))
        self.passages.arrive(fragment, begins_at=gatherer.position - piece.start, whole=whole)
        if piece.begins:
            self.passages.begin_anew(gatherer.position)
        heard = samples[piece.start : piece.end]
        gatherer.feed(heard)
        self._strip = self._strip or LevelStrip(connection.rate)
        self._strip.feed(heard[:, 0] if heard.ndim == 2 else heard)
        if piece.ends_passage:
            gatherer.end_passage()
        self.passages.passages_ended(gatherer.take_ends(), settled=gatherer.settled)

    def so_far(self) -> HeardSoFar | None:
        """Return what was heard so far, for those who watch; None before the first samples."""
        if self._strip is None or self._connection is None:
            return None
        segments = self._connection.gatherer.segments
        return self._strip.so_far(net_speech_seconds=self.seconds, segments=segments)

    def finish(self) -> None:
        """Count what had waited for more: the channel has ended."""
        if self._connection is not None:
            self._connection.gatherer.finish()

    def probe(self) -> tuple[Voice, ...]:
        """Return the voices to search for, as `probe_of` does."""
        return probe_of(self._engine, self._gatherer())

    def speech(self) -> NetSpeech:
        """Return the speech so far, 20 s at most."""
        return self._gatherer().speech()

    def voiceprint(self) -> tuple[Embedding, NetSpeech]:
        """Return the voiceprint and its speech, as `voiceprint_of` does."""
        return voiceprint_of(self._engine, self._gatherer())

    def _gatherer(self) -> PassageGatherer:
        if self._connection is None:
            raise NotEnoughSpeech(have_seconds=0.0, need_seconds=IDENTIFY_SECONDS)
        return self._connection.gatherer

    def _connection_of(self, piece: FragmentSlice) -> _Connection:
        """Return the connection that a fragment is of. A producer may have connected again, with another header.

        Behind a gap the decoder begins anew as well: half a sample of before is of no use there.
        """
        fragment, before = piece.fragment, self._connection
        # Tags may come too late for a fragment that is read at once: the latest ones count.
        media_type = media_type_of(fragment.tags) or (before.media_type if before is not None else None)
        anew = piece.begins or fragment.after_gap
        if before is None or anew or fragment.header != before.header or media_type != before.media_type:
            self._connection = before = self._connect(fragment.header, media_type, before)
        return before

    def _connect(self, header: bytes, media_type: MediaType | None, before: _Connection | None) -> _Connection:
        decoder = ReferencedDecoder(
            parse_header(header), channel=self._channel, declared_rate=self._declared_rate, media_type=media_type
        )
        rate = decoder.own.rate
        if before is not None and rate != before.rate:
            raise MediaIncompatible(f"the stream went on with {rate} Hz after {before.rate} Hz; start another task")
        gatherer = gatherer_of(self._engine, rate=rate) if before is None else before.gatherer
        if before is None and decoder.own.rate_differs:
            rates = {"stated_hz": rate, "declared_hz": decoder.own.declared_rate}
            _log.warning("a stream states another sample rate than its pipeline; the stream's is used", extra=rates)
        stated, declared = decoder.own.participants, self._declared_channels
        if before is None and declared not in (None, stated) and not decoder.own.names_participants:
            self.remark = (
                f"the stream's channels are {stated} and not {declared}, as its pipeline says, "
                f"so channel {self._channel} may be of somebody else; "
                "correct NumberOfChannels, and choose the caller's channel"
            )
            channels = {"stated_channels": stated, "declared_channels": declared, "channel": self._channel}
            _log.warning("a stream has another number of channels than its pipeline says", extra=channels)
        return _Connection(header=header, media_type=media_type, decoder=decoder, gatherer=gatherer)
