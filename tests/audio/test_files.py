"""Recordings on disk: every promised format, and files that are not what they say."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from earwitness.audio.files import RawFormat, open_recording
from earwitness.audio.pcm import Encoding
from earwitness.errors import AudioError, AudioTruncated, AudioUnreadable, ChannelNotChosen
from earwitness.voice.line import Codec

FORMATS = [
    ("wav", "PCM_16", 1e-4),
    ("wav", "PCM_24", 1e-4),
    ("wav", "FLOAT", 1e-6),
    ("wav", "ULAW", 0.03),
    ("wav", "ALAW", 0.03),
    ("wav", "GSM610", None),
    ("flac", "PCM_16", 1e-4),
    ("ogg", "VORBIS", None),
    ("mp3", "MPEG_LAYER_III", None),
]


def read(path: Path, **options: Any) -> np.ndarray:
    return np.concatenate(list(open_recording(path, **options).blocks()))


@pytest.mark.parametrize(("suffix", "subtype", "tolerance"), FORMATS)
def test_reads(tmp_path: Path, call: np.ndarray, suffix: str, subtype: str, tolerance: float | None) -> None:
    path = tmp_path / f"call.{suffix}"
    soundfile.write(path, call[:20_000], 8000, subtype=subtype)
    samples = read(path)
    if tolerance is None:
        lag = np.argmax(np.correlate(samples[:12_000], call[2000:10_000], "valid")) - 2000
        assert abs(lag) < 1500
        aligned = samples[2000 + lag : 10_000 + lag]
        assert np.corrcoef(aligned, call[2000:10_000])[0, 1] > 0.9
    else:
        np.testing.assert_allclose(samples, call[:20_000], atol=tolerance)


@pytest.mark.parametrize(
    ("suffix", "subtype", "codec"),
    [
        ("wav", "PCM_24", Codec.PCM),
        ("wav", "FLOAT", Codec.PCM),
        ("wav", "ULAW", Codec.MULAW),
        ("wav", "ALAW", Codec.ALAW),
        ("wav", "GSM610", Codec.GSM),
        ("wav", "IMA_ADPCM", Codec.UNKNOWN),
        ("flac", "PCM_16", Codec.PCM),
        ("ogg", "VORBIS", Codec.UNKNOWN),
        ("ogg", "OPUS", Codec.OPUS),
        ("mp3", "MPEG_LAYER_III", Codec.MP3),
    ],
)
def test_says_what_it_is_encoded_with(
    tmp_path: Path, call: np.ndarray, suffix: str, subtype: str, codec: Codec
) -> None:
    path = tmp_path / f"call.{suffix}"
    soundfile.write(path, call[:20_000], 8000, subtype=subtype)
    assert open_recording(path).codec is codec


@pytest.mark.parametrize("encoding", Encoding)
def test_reads_headerless(tmp_path: Path, encoding: Encoding) -> None:
    path = tmp_path / "call.raw"
    path.write_bytes(bytes(range(256)) * 100)
    recording = open_recording(path, channel=1, raw=RawFormat(encoding=encoding, rate=8000, channels=2))
    samples = np.concatenate(list(recording.blocks()))
    assert len(samples) == 25_600 // (2 * encoding.sample_bytes)
    assert recording.seconds == len(samples) / 8000
    assert recording.codec is {"s16le": Codec.PCM, "mulaw": Codec.MULAW, "alaw": Codec.ALAW}[encoding]


def test_takes_the_chosen_channel(tmp_path: Path, call: np.ndarray) -> None:
    path = tmp_path / "seven-one.wav"
    channels = np.stack([call[:8000] * gain for gain in np.linspace(0.1, 0.8, 8)], axis=1)
    soundfile.write(path, channels, 8000, subtype="FLOAT")
    np.testing.assert_array_equal(read(path, channel=5), channels[:, 5].astype(np.float32))
    with pytest.raises(ChannelNotChosen, match="8 channels"):
        open_recording(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"just some text, no audio", b"\x00" * 1000])
def test_what_is_no_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.wav"
    path.write_bytes(content)
    with pytest.raises(AudioUnreadable, match=r"file\.wav"):
        open_recording(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.wav", tmp_path):
        with pytest.raises(AudioUnreadable):
            open_recording(path)


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "ULAW"), ("flac", "PCM_16")])
def test_a_file_cut_short_is_said_to_be(tmp_path: Path, call: np.ndarray, suffix: str, subtype: str) -> None:
    path = tmp_path / f"call.{suffix}"
    soundfile.write(path, call, 8000, subtype=subtype)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioTruncated):
        read(path)


def test_a_wav_from_a_pipe_has_no_length_and_is_read_to_its_end(tmp_path: Path, call: np.ndarray) -> None:
    path = tmp_path / "piped.wav"
    soundfile.write(path, call, 8000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read(path)) == len(call)


def test_numbers_of_another_scale_are_refused(tmp_path: Path, call: np.ndarray) -> None:
    path = tmp_path / "scaled.wav"
    for scale in (32768.0, 1e30):
        soundfile.write(path, call[:8000] * scale, 8000, subtype="FLOAT")
        with pytest.raises(AudioUnreadable, match="far above full scale"):
            read(path)


def test_file_names_in_any_encoding_pass(tmp_path: Path, call: np.ndarray) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/call-\xff.wav"))
    soundfile.write(tmp_path / "call.wav", call[:8000], 8000)
    (tmp_path / "call.wav").rename(path)
    assert len(read(path)) == 8000


def test_truncation_at_any_byte_is_our_error_or_a_shorter_read(tmp_path: Path, call: np.ndarray) -> None:
    path = tmp_path / "call.flac"
    soundfile.write(path, call[:2000], 8000)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        try:
            read(path)
        except AudioError:
            continue
        pytest.fail(f"{length} of {len(whole)} bytes were taken for the whole")
