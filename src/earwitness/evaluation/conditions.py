"""Conditions a recording is heard under: simulated telephone channels, codecs, lost packets, noise and rooms.

Each takes clean speech at 16 kHz and gives what would arrive, with its sample rate. Every random choice comes from the
generator passed in, so a seed fixes the whole evaluation.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from earwitness.audio.canonical import TELEPHONE_FILTER, TELEPHONE_RATE
from earwitness.errors import EvaluationError
from earwitness.evaluation.codecs import CODECS, MU_LAW, SimulatedCodec, coded
from earwitness.voice.band import CANONICAL_RATE, Band
from earwitness.voice.embedding import Samples

_LINE_RMS = 0.05
"""-26 dBFS, the speech level telephone networks aim at (ITU-T P.56 / G.111 practice)."""

_TILT_DB = 6.0
_NOISE_SNR_DB = 10.0
_BABBLE_TALKERS = 4
_ROOM_RT60_SECONDS = 0.45
_ROOM_DIRECT_TO_REVERBERANT_DB = 3.0
_ROOM_SECONDS = 0.6

SimulatedLine = Callable[[Samples, np.random.Generator, "list[Samples]"], tuple[Samples, int]]
"""(speech at 16 kHz, randomness, other people's speech to make babble of) → (what arrives, its rate)."""


def unchanged(speech: Samples, _random: np.random.Generator, _others: list[Samples]) -> tuple[Samples, int]:
    """Return speech as it is: `recorded` (real calls, telephone band) and `clean` (a studio, wide band)."""
    return speech, CANONICAL_RATE


def telephone(speech: Samples, _random: np.random.Generator, _others: list[Samples]) -> tuple[Samples, int]:
    """8 kHz, 300 to 3400 Hz, G.711 µ-law."""
    return _through("ULAW", telephone_line(speech))


def gsm(speech: Samples, random: np.random.Generator, _others: list[Samples]) -> tuple[Samples, int]:
    """Another handset and codec: a random spectral tilt of up to ±6 dB, then GSM 06.10 full rate."""
    tilt = random.uniform(-_TILT_DB, _TILT_DB)
    frequency = np.fft.rfftfreq(256, 1 / TELEPHONE_RATE)
    gain = np.float64(10.0) ** (tilt * (frequency / (TELEPHONE_RATE / 2) - 0.5) / 20)
    response = np.roll(np.fft.irfft(gain), 128) * np.hanning(256)
    tilted = np.asarray(signal.fftconvolve(telephone_line(speech), response, "same"), np.float32)
    return _through("GSM610", tilted)


def noise10(speech: Samples, random: np.random.Generator, others: list[Samples]) -> tuple[Samples, int]:
    """Four other talkers and pink noise, together 10 dB below the speech, then the telephone."""
    noise = _pink(len(speech), random)
    if others:
        chosen: NDArray[np.int64] = random.choice(len(others), size=_BABBLE_TALKERS)
        talkers = [_unit_power(np.resize(others[int(index)], len(speech))) for index in chosen]
        noise = _unit_power(np.sum(talkers, axis=0)) + _unit_power(noise)
    scale = np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (_NOISE_SNR_DB / 10))
    return telephone((speech + scale * noise).astype(np.float32), random, others)


def reverb(speech: Samples, random: np.random.Generator, others: list[Samples]) -> tuple[Samples, int]:
    """A synthetic room (RT60 0.45 s, direct sound 3 dB over the reverberation), then the telephone."""
    length = int(_ROOM_SECONDS * CANONICAL_RATE)
    # 6.9 nepers is the 60 dB that the reverberation time is defined by.
    decay = np.exp(-6.9 * np.arange(length) / (_ROOM_RT60_SECONDS * CANONICAL_RATE))
    room = random.standard_normal(length) * decay
    room[:40] = 0.0
    room *= np.sqrt(10 ** (-_ROOM_DIRECT_TO_REVERBERANT_DB / 10) / np.sum(room**2))
    room[0] = 1.0
    heard = np.asarray(signal.fftconvolve(speech, room), np.float32)
    return telephone(heard[: len(speech)], random, others)


def _over(*codecs: SimulatedCodec, loss: float = 0.0) -> SimulatedLine:
    """Return a line through codecs, one after the other, of which the last loses this share of its packets."""

    def line(speech: Samples, random: np.random.Generator, _others: list[Samples]) -> tuple[Samples, int]:
        samples, rate = (
            (telephone_line(speech), TELEPHONE_RATE)
            if codecs[0].rate == TELEPHONE_RATE
            else (at_level(speech), CANONICAL_RATE)
        )
        for codec in codecs[:-1]:
            samples, rate = coded(_resampled(samples, rate, codec.rate), codec)
        last = codecs[-1]
        return coded(_resampled(samples, rate, last.rate), last, random=random, loss=loss)

    return line


CHANNELS: dict[str, SimulatedLine] = {
    "recorded": unchanged,
    "clean": unchanged,
    "telephone": telephone,
    "gsm": gsm,
    "noise10": noise10,
    "reverb": reverb,
    **{name: _over(codec) for name, codec in CODECS.items()},
    **{f"loss-{percent}": _over(MU_LAW, loss=percent / 100) for percent in (1, 3, 5, 10)},
    # From one mobile network to another; from the internet to a mobile network; a call recorder behind a mobile call.
    "mobile-mobile": _over(CODECS["amr-12.2"], CODECS["alaw"], CODECS["amr-7.4"]),
    "internet-mobile": _over(CODECS["opus-12"], MU_LAW, CODECS["amr-4.75"], loss=0.03),
    "mobile-recorder": _over(CODECS["amr-7.4"], MU_LAW, CODECS["mp3-16"]),
}


@dataclass(frozen=True)
class Condition:
    """How the enrolment and the test are heard; both in one band."""

    name: str
    enrol: str
    test: str

    @property
    def band(self) -> Band:
        return Band.WIDEBAND if self.enrol == "clean" else Band.TELEPHONE


def parse_condition(name: str) -> Condition:
    """`X` is telephone enrolment tested under X; `clean` (wideband) and `recorded` hold for both sides; `A>B` enrols
    under A and tests under B.
    """
    enrol, arrow, test = name.partition(">")
    if not arrow:
        enrol, test = (name if name in ("clean", "recorded") else "telephone"), name
    for channel in (enrol, test):
        if channel not in CHANNELS:
            raise EvaluationError(
                f"there is no condition {channel!r}; there are {', '.join(CHANNELS)}, or two as enrol>test"
            )
    if (enrol == "clean") != (test == "clean"):
        raise EvaluationError(
            f"{name!r} mixes bands: clean speech is wideband, the other conditions are telephone; use both in one band"
        )
    return Condition(name, enrol, test)


def telephone_line(speech: Samples) -> Samples:
    """Bring speech to the telephone network's level, rate and band."""
    narrow = _resampled(at_level(speech), CANONICAL_RATE, TELEPHONE_RATE)
    return np.clip(signal.sosfilt(TELEPHONE_FILTER, narrow), -1, 1).astype(np.float32)


def at_level(speech: Samples) -> Samples:
    """Bring speech to the telephone network's level."""
    return np.clip(speech * (_LINE_RMS / max(float(np.sqrt(np.mean(speech**2))), 1e-6)), -1, 1)


def _resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    return samples if rate == wanted else np.asarray(soxr.resample(samples, rate, wanted), np.float32)


def _through(codec: str, samples: Samples) -> tuple[Samples, int]:
    """Code and decode by libsndfile at the telephone's rate."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), TELEPHONE_RATE, format="WAV", subtype=codec)
    buffer.seek(0)
    decoded, rate = soundfile.read(buffer, dtype="float32")
    return np.asarray(decoded, np.float32), rate


def _pink(length: int, random: np.random.Generator) -> Samples:
    """Return noise with power falling as 1/frequency."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    divisor = np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0))
    return np.fft.irfft(spectrum / divisor, length).astype(np.float32)


def _unit_power(samples: Samples) -> Samples:
    return samples / np.sqrt(np.mean(samples**2) + 1e-12)
