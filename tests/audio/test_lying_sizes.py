"""WAV whose sizes are not what is there, FLAC without a length, chains and concatenations: all is heard to the end."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from earwitness.audio.files import open_recording
from earwitness.audio.links import LINKS_MAX
from earwitness.errors import AudioTruncated, AudioUnreadable

RATE = 8_000


@pytest.fixture
def wav(tmp_path: Path, call: np.ndarray) -> bytes:
    """A WAV of 35 s with an honest header of 44 bytes."""
    return encoded(tmp_path / "whole.wav", call, "PCM_16")


def encoded(path: Path, samples: np.ndarray, subtype: str | None = None, rate: int = RATE) -> bytes:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path.read_bytes()


def test_mp3_in_wav_lacks_no_more_than_its_encoders_padding(tmp_path: Path, call: np.ndarray) -> None:
    """The header counts the encoder's delay and the whole last frame; the decoder leaves both out."""
    path = tmp_path / "call.wav"
    with av.open(str(path), "w", format="wav") as file:
        stream = file.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.codec_context.open()
        whole = av.AudioFrame.from_ndarray(call[None].astype("f4"), format="fltp", layout="mono")
        whole.sample_rate = RATE
        as_frames = av.AudioResampler(format="fltp", layout="mono", rate=RATE, frame_size=576)
        for frame in [*as_frames.resample(whole), *as_frames.resample(None)]:
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    content = path.read_bytes()
    assert len(heard(path, content)) == pytest.approx(len(call), abs=2 * 1_152)
    with pytest.raises(AudioTruncated):
        heard(path, content[: len(content) * 3 // 4])


def with_size(wav: bytes, declared: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:at] + declared.to_bytes(4, "little") + wav[at + 4 :]


def heard(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    recording = open_recording(path)
    samples = np.concatenate(list(recording.blocks()))
    assert recording.seconds == pytest.approx(len(samples) / recording.rate, abs=0.2) or recording.seconds == 0
    return samples


@pytest.mark.parametrize(
    "declared", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 2_000_000_000, 0xFFFFFFDB, 0xFFFFFFFF, 100_000]
)
def test_a_size_that_is_not_what_is_there(tmp_path: Path, wav: bytes, call: np.ndarray, declared: int) -> None:
    np.testing.assert_allclose(heard(tmp_path / "lies.wav", with_size(wav, declared)), call, atol=1e-4)


@pytest.mark.parametrize("subtype", ["ULAW", "GSM610", "IMA_ADPCM", "FLOAT"])
def test_the_same_in_other_encodings(tmp_path: Path, call: np.ndarray, subtype: str) -> None:
    whole = encoded(tmp_path / "whole.wav", call, subtype)
    expected = heard(tmp_path / "whole.wav", whole)
    samples = heard(tmp_path / "lies.wav", with_size(whole, 0))
    assert len(samples) - len(expected) in (0, 1)  # the pad byte behind a chunk of odd length
    np.testing.assert_array_equal(samples[: len(expected)], expected)


@pytest.mark.parametrize("sizes", [(0, 0), (2**64 - 1, 2**64 - 1), (2**63 - 1, 2**63 - 1)])
def test_rf64_from_a_pipe(tmp_path: Path, wav: bytes, call: np.ndarray, sizes: tuple[int, int]) -> None:
    long_sizes = b"ds64" + (28).to_bytes(4, "little") + b"".join(size.to_bytes(8, "little") for size in sizes)
    header = b"RF64\xff\xff\xff\xffWAVE" + long_sizes + bytes(12)
    content = header + with_size(wav, 0xFFFFFFFF)[12:]
    np.testing.assert_allclose(heard(tmp_path / "piped.wav", content), call, atol=1e-4)


def test_chunks_behind_the_audio_are_not_heard(tmp_path: Path, wav: bytes, call: np.ndarray) -> None:
    notes = b"LIST" + (6_000).to_bytes(4, "little") + b"INFO".ljust(6_000, b"x")
    for tail in (notes, notes + b"id3 \x04\x00\x00\x00abcd", b"LIST\xff\xff\xff\x7fINFO", b"TAG".ljust(128, b" ")):
        assert len(heard(tmp_path / "tagged.wav", wav + tail)) == len(call)


def test_an_honest_empty_wav_stays_empty(tmp_path: Path, wav: bytes) -> None:
    path = tmp_path / "empty.wav"
    path.write_bytes(with_size(wav[:44], 0) + b"LIST\x04\x00\x00\x00INFO")
    assert sum(len(block) for block in open_recording(path).blocks()) == 0


def test_a_copy_that_broke_off_says_so(tmp_path: Path, wav: bytes) -> None:
    with pytest.raises(AudioTruncated, match=r"declares 35\.\d s but ends after 10\.0 s"):
        heard(tmp_path / "cut.wav", wav[: 44 + 10 * RATE * 2])


def test_flac_of_unknown_length(tmp_path: Path, call: np.ndarray) -> None:
    content = bytearray(encoded(tmp_path / "whole.flac", call))
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's total samples, and its digest of all samples
    content[22:42] = bytes(20)
    np.testing.assert_allclose(heard(tmp_path / "piped.flac", bytes(content)), call, atol=1e-4)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus"])
def test_chains_are_heard_to_the_end(tmp_path: Path, call: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"part.{suffix}"
    parts = []
    for number in range(3):
        piece = call[number * 4 * RATE : (number + 1) * 4 * RATE]
        container = "OGG" if suffix == "opus" else suffix.upper()
        soundfile.write(path, piece, RATE, format=container, subtype="OPUS" if suffix == "opus" else None)
        parts.append(path.read_bytes())
    assert len(heard(tmp_path / f"chain.{suffix}", b"".join(parts))) / RATE == pytest.approx(12, abs=0.05)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_chain_of_two_rates_is_an_error(tmp_path: Path, call: np.ndarray, suffix: str) -> None:
    slow = encoded(tmp_path / f"slow.{suffix}", call[: 4 * RATE])
    fast = encoded(tmp_path / f"fast.{suffix}", call[: 4 * RATE], rate=16_000)
    with pytest.raises(AudioUnreadable, match="changes its sample rate"):
        heard(tmp_path / f"chain.{suffix}", slow + fast)


def test_a_chain_without_end_is_refused(tmp_path: Path, call: np.ndarray) -> None:
    page = encoded(tmp_path / "one.flac", call[:10])
    with pytest.raises(AudioUnreadable, match="1,001 streams one after the other"):
        heard(tmp_path / "bomb.flac", page * (LINKS_MAX + 1))


def mp3(path: Path, samples: np.ndarray, *, tagged: bool) -> bytes:
    """MP3 of a variable rate, with or without the tag of lengths at its begin."""
    with av.open(str(path), "w", format="mp3", options={"write_xing": str(int(tagged))}) as container:
        options = {"global_quality": "472", "flags": "+qscale"}
        stream = container.add_stream("libmp3lame", rate=16_000, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray((samples[None] * 32_767).astype("<i2"), format="s16p", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path.read_bytes()


@pytest.fixture
def bursts() -> np.ndarray:
    """Ten seconds each of silence, noise and silence at 16 kHz: no bit rate of one part holds for all."""
    noise = np.random.default_rng(0).standard_normal(160_000) * 0.1
    return np.concatenate([np.zeros(160_000), noise, np.zeros(160_000)])


@pytest.mark.parametrize("tagged", [(True,), (False,), (True, True), (True, False), (False, True), (False, False)])
def test_mp3_is_heard_to_the_end(tmp_path: Path, bursts: np.ndarray, tagged: tuple[bool, ...]) -> None:
    parts = [mp3(tmp_path / "part.mp3", bursts, tagged=each) for each in tagged]
    assert len(heard(tmp_path / "all.mp3", b"".join(parts))) / 16_000 == pytest.approx(30 * len(parts), abs=0.3)


def test_what_people_append_to_an_mp3_is_no_audio(tmp_path: Path, bursts: np.ndarray) -> None:
    part = mp3(tmp_path / "part.mp3", bursts, tagged=True)
    art = b"ID3\x04\x00\x00" + bytes([0, 1, 127, 127]) + bytes(0x7FFF)
    for content, seconds in ((art + part, 30), (part + b"TAG".ljust(128, b" "), 30), (part + art + part, 60)):
        assert len(heard(tmp_path / "all.mp3", content)) / 16_000 == pytest.approx(seconds, abs=0.3)


SOUND_OFF = """
import sys, threading
from pathlib import Path
from earwitness.audio.files import open_recording
stop = threading.Event()
def others():
    while not stop.is_set():
        print("another thread", file=sys.stderr, flush=True)
writer = threading.Thread(target=others)
writer.start()
for _ in range(20):
    try:
        sum(len(block) for block in open_recording(Path(sys.argv[1])).blocks())
    except Exception as error:
        print(error, file=sys.stderr)
stop.set()
writer.join()
"""


@pytest.mark.slow
def test_no_line_of_libmpg123_reaches_the_terminal(tmp_path: Path, bursts: np.ndarray) -> None:
    """Nor does the silence swallow what the program itself writes."""
    noise = mp3(tmp_path / "part.mp3", bursts[160_000:320_000], tagged=True)
    step = len(noise) // 20
    (tmp_path / "odd.mp3").write_bytes(b"".join(noise[at : at + step - 700] for at in range(0, len(noise), step)))
    loud = subprocess.run(
        [sys.executable, "-c", "import soundfile, sys; soundfile.read(sys.argv[1])", tmp_path / "odd.mp3"],
        capture_output=True,
        text=True,
    )
    assert "libmpg123" in loud.stderr, "this file gives it nothing to say"
    said = subprocess.run(
        [sys.executable, "-c", SOUND_OFF, tmp_path / "odd.mp3"], capture_output=True, text=True
    ).stderr.splitlines()
    assert said
    assert [line for line in said if "libmpg123" in line or "Warning" in line] == []
    assert "another thread" in said
