"""What FFmpeg's libraries decode, with the extra and without it."""

import builtins
import importlib.util
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from earwitness.audio.files import open_recording
from earwitness.errors import AudioError, AudioTruncated, AudioUnreadable, ChannelNotChosen

SECONDS = 5
FORMATS = [
    ("m4a", "ipod", "aac", 16_000, "MPEG-4 with AAC"),
    ("alac.m4a", "ipod", "alac", 16_000, "MPEG-4 with ALAC"),
    ("3gp", "3gp", "libopencore_amrnb", 8_000, "MPEG-4 with AMR-NB"),
    ("aac", "adts", "aac", 16_000, "AAC (ADTS)"),
    ("amr", "amr", "libopencore_amrnb", 8_000, "AMR"),
    ("wma", "asf", "wmav2", 16_000, "Windows Media Audio"),
    ("alac.caf", "caf", "alac", 16_000, "CAF with ALAC"),
    ("g722.wav", "wav", "g722", 16_000, "WAV with G.722"),
    ("g726.wav", "wav", "g726", 8_000, "WAV with G.726"),
    ("ac3", "ac3", "ac3", 48_000, "AC-3"),
    ("wv", "wv", "wavpack", 16_000, "WavPack"),
    ("webm", "webm", "libopus", 48_000, "WebM with A_OPUS"),
    ("24.mka", "matroska", "pcm_s24le", 16_000, "Matroska with A_PCM/INT/LIT"),
    ("float.mka", "matroska", "pcm_f32le", 16_000, "Matroska with A_PCM/FLOAT/IEEE"),
    ("aac.mka", "matroska", "aac", 16_000, "Matroska with A_AAC"),
]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write SECONDS of two tones, 300 Hz on the left and 700 Hz on the right, or 300 Hz alone."""

    def write(name: str, container: str, codec: str, rate: int, layout: str = "mono") -> Path:
        path = tmp_path / f"call.{name}"
        time = np.arange(rate * SECONDS) / rate
        tones = [0.2 * np.sin(2 * np.pi * pitch * time) for pitch in (300, 700)][: 2 if layout == "stereo" else 1]
        whole = av.AudioFrame.from_ndarray(np.array(tones, "f4"), format="fltp", layout=layout)
        whole.sample_rate = rate
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=rate, layout=layout)
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = 12_200 if "amr" in codec else 64_000
            stream.codec_context.open()
            resampler = av.AudioResampler(
                format=stream.codec_context.format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size
            )
            for frame in [*resampler.resample(whole), *resampler.resample(None)]:
                for packet in stream.encode(frame):
                    file.mux(packet)
            for packet in stream.encode(None):
                file.mux(packet)
        return path

    return write


@pytest.mark.parametrize(("name", "container", "codec", "rate", "words"), FORMATS)
def test_reads(write: Callable[..., Path], name: str, container: str, codec: str, rate: int, words: str) -> None:
    recording = open_recording(write(name, container, codec, rate))
    samples = np.concatenate(list(recording.blocks()))
    assert recording.rate == rate
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.2)
    spectrum = np.abs(np.fft.rfft(samples[rate : 3 * rate]))
    assert np.argmax(spectrum) / 2 == pytest.approx(300, abs=2)
    assert np.abs(samples[rate:-rate]).max() == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(("name", "container", "codec", "rate", "words"), FORMATS)
def test_without_the_extra_the_error_says_what_it_is_and_what_to_do(
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    container: str,
    codec: str,
    rate: int,
    words: str,
) -> None:
    path = write(name, container, codec, rate)
    found = importlib.util.find_spec
    monkeypatch.setattr("earwitness.audio.libav_file.find_spec", lambda name: None if name == "av" else found(name))
    with pytest.raises(AudioUnreadable) as caught:
        open_recording(path)
    said = str(caught.value)
    assert f"call.{name} is {words}," in said
    assert f"`ffmpeg -i call.{name} -ar 16000 {path.stem}.converted.wav`" in said
    assert "`pip install 'earwitness[formats]'`" in said


def test_a_channel_must_be_chosen(write: Callable[..., Path]) -> None:
    path = write("stereo.m4a", "ipod", "aac", 16_000, "stereo")
    with pytest.raises(ChannelNotChosen):
        open_recording(path)
    for channel, pitch in ((0, 300), (1, 700)):
        samples = np.concatenate(list(open_recording(path, channel=channel).blocks()))
        assert np.argmax(np.abs(np.fft.rfft(samples[16_000:48_000]))) / 2 == pytest.approx(pitch, abs=2)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "alac"), ("matroska", "pcm_s24le")])
def test_a_picture_that_goes_on_behind_the_audio_is_no_missing_audio(
    tmp_path: Path, container: str, codec: str
) -> None:
    path = tmp_path / "call.video"
    picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), "u1"), format="rgb24")
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 8_000), "f4"), format="fltp", layout="mono")
    sound.sample_rate = 8_000
    with av.open(str(path), "w", format=container) as file:
        video, audio = file.add_stream("mpeg4", rate=1), file.add_stream(codec, rate=8_000, layout="mono")
        assert isinstance(audio, av.AudioStream)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        for at in range(10):
            picture.pts = at
            file.mux(video.encode(picture))
        as_int = av.AudioResampler(
            format=audio.codec_context.format, frame_size=audio.codec_context.frame_size or 1_000
        )
        for frame in [*as_int.resample(sound), *as_int.resample(None)]:
            file.mux(audio.encode(frame))
        for stream in (video, audio):
            file.mux(stream.encode(None))
    assert sum(len(block) for block in open_recording(path).blocks()) == 8_000


@pytest.mark.parametrize(("mark", "codec"), [(b"Speex   1.2.1", "Speex"), (b"\x7fFLAC\x01\x00", "FLAC")])
def test_ogg_that_libsndfile_does_not_decode_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes, codec: str
) -> None:
    monkeypatch.setattr("earwitness.audio.libav_file.find_spec", lambda _: None)
    path = tmp_path / "call.ogg"
    path.write_bytes(b"OggS\0\x02" + bytes(20) + b"\x01\x50" + mark.ljust(80, b"\0"))
    with pytest.raises(AudioUnreadable, match=f"call.ogg is Ogg with {codec}, which is not read here: convert"):
        open_recording(path)


def test_the_line_that_converts_can_be_copied_for_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.audio.libav_file.find_spec", lambda _: None)
    path = tmp_path / "a call; echo.amr"
    path.write_bytes(b"#!AMR\n")
    with pytest.raises(
        AudioUnreadable, match=r"`ffmpeg -i 'a call; echo\.amr' -ar 16000 'a call; echo\.converted\.wav'`"
    ):
        open_recording(path)


def test_an_mp4_cut_short_says_so(write: Callable[..., Path]) -> None:
    """One whose index comes first, as phones and `-movflags faststart` write it."""
    path = write("alac.m4a", "ipod", "alac", 16_000)
    whole = path.read_bytes()
    index = whole.index(b"moov") - 4
    (path.parent / "no index.m4a").write_bytes(whole[:index])
    with pytest.raises(AudioUnreadable):
        open_recording(path.parent / "no index.m4a")
    path = write("cut.mka", "matroska", "pcm_s24le", 16_000)
    path.write_bytes(path.read_bytes()[:120_000])
    with pytest.raises((AudioTruncated, AudioUnreadable)):
        list(open_recording(path).blocks())


@pytest.mark.parametrize(("name", "container", "codec", "rate"), [each[:4] for each in FORMATS if each[0] != "24.mka"])
def test_damage_is_our_error_or_some_audio(
    write: Callable[..., Path], name: str, container: str, codec: str, rate: int
) -> None:
    path = write(name, container, codec, rate)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(25):
        damaged = bytearray(whole[: int(random.integers(1, len(whole)))])
        for at in random.integers(0, len(damaged), 5):
            damaged[at] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert sum(len(block) for block in open_recording(path).blocks()) <= 100 * rate
        except AudioError as error:
            assert path.name in str(error)


def test_a_file_cannot_make_it_open_another(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Playlists, concatenations and references of FFmpeg name other files; none of them is followed."""
    secret = write("secret.m4a", "ipod", "aac", 16_000)
    opened: list[object] = []
    real = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *args, **more: (opened.append(args[0]), real(*args, **more))[1])
    for name, content in (
        ("list.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n"),
        ("list.m4a", f"ffconcat version 1.0\nfile '{secret}'\n"),
        ("list.mka", f"#EXTM3U\n{secret}\n"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(AudioUnreadable, match="is not audio that can be read here"):
            open_recording(tmp_path / name)
