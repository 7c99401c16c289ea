"""Codecs and lost packets that a call may have come through, by FFmpeg's libraries.

What belongs here: coding speech and decoding it again, packet by packet, so that packets can be lost on the way. PyAV
is the extra `formats`; what it cannot code (AMR-WB, G.729, iLBC, EVS) is not here. GSM 06.10 is libsndfile's, in
conditions.py.
"""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from earwitness.errors import EvaluationError
from earwitness.voice.embedding import Samples

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame, Packet
    from av.audio.stream import AudioStream

    AudioPacket = Packet[AudioStream]

PACKET_SECONDS = 0.02
"""What one packet of a call holds, in every codec that leaves the choice."""

_REPETITIONS_MAX = 3
"""A lost packet is replaced by the one before it, each time at half the strength, and then by silence: after G.711
Appendix I, which fades within 60 ms."""

_BURST_PACKETS = 2.0
"""Packets that are lost together, in the mean."""


@dataclass(frozen=True, kw_only=True)
class SimulatedCodec:
    """A codec at one bit rate, by FFmpeg's names."""

    encoder: str
    decoder: str
    rate: int
    bits_per_second: int
    sample_format: str = "s16"
    encoder_options: dict[str, str] = field(default_factory=dict[str, str])
    decoder_options: dict[str, str] = field(default_factory=dict[str, str])


def _opus(kilobits: int) -> SimulatedCodec:
    options = {"application": "voip", "frame_duration": "20"}
    return SimulatedCodec(
        encoder="libopus", decoder="libopus", rate=16_000, bits_per_second=kilobits * 1000, encoder_options=options
    )


def _amr(bits_per_second: int) -> SimulatedCodec:
    return SimulatedCodec(encoder="libopencore_amrnb", decoder="amrnb", rate=8_000, bits_per_second=bits_per_second)


def _mp3(kilobits: int, rate: int) -> SimulatedCodec:
    return SimulatedCodec(
        encoder="libmp3lame", decoder="mp3float", rate=rate, bits_per_second=kilobits * 1000, sample_format="fltp"
    )


def _g726(bits: int) -> SimulatedCodec:
    options = {"bits_per_coded_sample": str(bits)}
    return SimulatedCodec(
        encoder="g726", decoder="g726", rate=8_000, bits_per_second=bits * 8_000, decoder_options=options
    )


MU_LAW = SimulatedCodec(encoder="pcm_mulaw", decoder="pcm_mulaw", rate=8_000, bits_per_second=64_000)

CODECS: dict[str, SimulatedCodec] = {
    "alaw": SimulatedCodec(encoder="pcm_alaw", decoder="pcm_alaw", rate=8_000, bits_per_second=64_000),
    "g722": SimulatedCodec(encoder="g722", decoder="g722", rate=16_000, bits_per_second=64_000),
    "g723": SimulatedCodec(encoder="g723_1", decoder="g723_1", rate=8_000, bits_per_second=6_300),
    "g726-16": _g726(2),
    "g726-32": _g726(4),
    "amr-4.75": _amr(4_750),
    "amr-7.4": _amr(7_400),
    "amr-12.2": _amr(12_200),
    "opus-6": _opus(6),
    "opus-12": _opus(12),
    "opus-24": _opus(24),
    "mp3-8": _mp3(8, 8_000),
    "mp3-16": _mp3(16, 8_000),
    "mp3-64": _mp3(64, 16_000),
}
"""By name; the number is kb/s. AMR at 12.2 kb/s is GSM's enhanced full rate (EFR)."""


def coded(
    samples: Samples, codec: SimulatedCodec, *, random: np.random.Generator | None = None, loss: float = 0.0
) -> tuple[Samples, int]:
    """Return speech, shape (n,) at the codec's rate, as it comes out of the decoder, and the rate that has.

    `loss` is the share of packets that `random` loses. Raise EvaluationError where PyAV is missing or lacks the codec.
    """
    with _translating(codec):
        packets, extradata = _encode(samples, codec)
        lost = np.zeros(len(packets), np.bool_)
        if random is not None:
            lost = lost_packets(len(packets), share=loss, random=random)
        return _decode(packets, codec, extradata=extradata, lost=lost)


def lost_packets(count: int, *, share: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return which packets are lost: a chain of two states (Gilbert 1960), as losses on the internet come in bursts."""
    leave = 1.0 / _BURST_PACKETS
    enter = leave * share / (1.0 - share)
    lost, losing = np.zeros(count, np.bool_), False
    for index, draw in enumerate(random.random(count).tolist()):
        losing = draw >= leave if losing else draw < enter
        lost[index] = losing
    return lost


def _encode(samples: Samples, codec: SimulatedCodec) -> "tuple[list[AudioPacket], bytes | None]":
    from av import AudioFrame

    encoder = _context(codec, "w")
    # What codes sample by sample states no length, or a long one of its own choice.
    length = encoder.frame_size or round(PACKET_SECONDS * codec.rate)
    padded = np.clip(np.pad(samples, (0, -len(samples) % length)), -1.0, 1.0)
    packets: list[AudioPacket] = []
    for start in range(0, len(padded), length):
        part = np.ascontiguousarray(padded[None, start : start + length])
        if codec.sample_format == "s16":
            part = np.round(part * 32_767).astype(np.int16)
        frame = AudioFrame.from_ndarray(part, format=codec.sample_format, layout="mono")
        frame.sample_rate, frame.pts = codec.rate, start
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return packets, encoder.extradata


def _decode(
    packets: "Sequence[AudioPacket]", codec: SimulatedCodec, *, extradata: bytes | None, lost: NDArray[np.bool_]
) -> tuple[Samples, int]:
    decoder = _context(codec, "r")
    if extradata:
        decoder.extradata = extradata
    parts: list[Samples] = []
    last, repetitions, rate = np.zeros(round(PACKET_SECONDS * codec.rate), np.float32), 0, codec.rate
    for packet, missing in zip(packets, lost.tolist(), strict=True):
        if missing:
            repetitions += 1
            parts.append(last * np.float32(0.5**repetitions if repetitions <= _REPETITIONS_MAX else 0.0))
            continue
        for frame in decoder.decode(packet):
            last, repetitions, rate = _mono(frame), 0, frame.sample_rate
            parts.append(last)
    parts += [_mono(frame) for frame in decoder.decode(None)]
    return np.concatenate([np.zeros(0, np.float32), *parts]), rate


def _context(codec: SimulatedCodec, mode: Literal["r", "w"]) -> "AudioCodecContext":
    from av import CodecContext

    context = cast("AudioCodecContext", CodecContext.create(codec.encoder if mode == "w" else codec.decoder, mode))
    context.sample_rate = codec.rate
    context.layout = "mono"
    context.options = dict(codec.encoder_options if mode == "w" else codec.decoder_options)
    if mode == "w":
        context.format = codec.sample_format
        context.bit_rate = codec.bits_per_second
    context.open()
    return context


def _mono(frame: "AudioFrame") -> Samples:
    samples = frame.to_ndarray().reshape(-1)
    return samples.astype(np.float32) * np.float32(2.0**-15 if samples.dtype == np.int16 else 1.0)


@contextlib.contextmanager
def _translating(codec: SimulatedCodec) -> Generator[None]:
    """Raise PyAV's errors as ours."""
    if find_spec("av") is None:
        raise EvaluationError("this condition is coded by PyAV: pip install 'earwitness[formats]'")
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, ValueError) as error:
        raise EvaluationError(f"FFmpeg's libraries here cannot code {codec.encoder}: {error}") from error
