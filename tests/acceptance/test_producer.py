"""`earwitness.put_media` and `earwitness stream` against a served process: what is sent is what GetMedia gives."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import soundfile
from cutting_proxy import CuttingProxy
from media_client import RATE, Producer, client, fragments, new_stream, tone
from serving import Served

import earwitness
from earwitness.audio.matroska.events import FragmentReceived
from earwitness.audio.matroska.put_media import PutMediaReader
from earwitness.errors import AnotherProducer, AudioError, AudioUnreadable, PutMediaFailed
from earwitness.producer.connection import Ack, AckType
from patience import PATIENCE_SECONDS


@pytest.fixture
def url(served: Served) -> str:
    return served.url


@pytest.fixture
def session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")  # noqa: S106


def kept(url: str, stream: str, *, count: int) -> np.ndarray:
    """Samples of the first fragments of a stream, shape (n, channels)."""
    found = fragments(url, stream, at_most=count)
    (track,) = found[0].header.tracks
    pcm = b"".join(frame for fragment in found for frame in frames_of(fragment.header.raw + fragment.cluster))
    return np.frombuffer(pcm, "<i2").reshape(-1, track.channels or 1)


def frames_of(media: bytes) -> list[bytes]:
    import av

    with av.open(io.BytesIO(media), "r", format="matroska") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def recording(folder: Path, seconds: float, *, channels: int = 1, seed: int = 0, rate: int = RATE) -> Path:
    samples = np.frombuffer(tone(seconds, seed=seed, channels=channels), "<i2").reshape(-1, channels)
    path = folder / f"recording{seed}.wav"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording(url: str, session: boto3.Session, tmp_path: Path, channels: int) -> None:
    stream, file = new_stream(url), recording(tmp_path, 3.4, channels=channels)
    acks: list[Ack] = []
    sent = earwitness.put_media(
        file, stream_name=stream, real_time=False, endpoint_url=url, session=session, on_ack=acks.append
    )
    assert (sent.fragments, sent.seconds, sent.reconnects) == (4, pytest.approx(3.4), 0)
    expected, _ = soundfile.read(file, dtype="int16", always_2d=True)
    assert np.array_equal(kept(url, stream, count=4), expected)
    numbers = [ack.fragment_number for ack in acks if ack.type is AckType.PERSISTED]
    assert (sent.first_fragment_number, sent.last_fragment_number) == (numbers[0], numbers[-1])


def test_two_recordings_are_two_channels_and_the_shorter_is_silent_at_last(
    url: str, session: boto3.Session, tmp_path: Path
) -> None:
    stream = new_stream(url)
    files = [recording(tmp_path, 2.1, seed=1), recording(tmp_path, 1.3, seed=2)]
    sent = earwitness.put_media(files, stream_name=stream, real_time=False, endpoint_url=url, session=session)
    found = kept(url, stream, count=sent.fragments)
    left, right = (soundfile.read(file, dtype="int16")[0] for file in files)
    assert np.array_equal(found[:, 0], left)
    assert np.array_equal(found[:, 1], np.pad(right, (0, len(left) - len(right))))


def test_raw_samples_by_arn(url: str, session: boto3.Session) -> None:
    stream, pcm = new_stream(url), tone(2.25, channels=2)
    arn = client(url).describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
    sent = earwitness.put_media(
        io.BytesIO(pcm), stream_arn=arn, channels=2, real_time=False, endpoint_url=url, session=session
    )
    assert kept(url, stream, count=sent.fragments).tobytes() == pcm


def test_a_stream_without_retention(url: str, session: boto3.Session) -> None:
    sent = earwitness.put_media(
        io.BytesIO(tone(2.0)),
        stream_name=new_stream(url, hours=0),
        real_time=False,
        endpoint_url=url,
        session=session,
    )
    assert sent.fragments == 2


@pytest.mark.slow
def test_a_connection_that_breaks_costs_no_fragment(url: str, session: boto3.Session) -> None:
    """It is cut in the middle of the fourth fragment, when the three before it were acknowledged."""
    stream, pcm = new_stream(url), tone(8.5)
    with CuttingProxy(url, up_bytes=3 * 16_400 + 8_000, down_mark=b"PERSISTED", down_marks=3) as proxy:
        sent = earwitness.put_media(
            io.BytesIO(pcm), stream_name=stream, real_time=False, endpoint_url=proxy.url, session=session
        )
    assert (sent.fragments, sent.reconnects) == (9, 1)
    assert kept(url, stream, count=9).tobytes() == pcm
    assert len(fragments(url, stream, at_most=9)) == 9
    last = fragments(url, stream, at_most=1, StartSelectorType="NOW")
    assert last[0].number == sent.last_fragment_number


@pytest.mark.slow
def test_a_fragment_whose_acknowledgement_was_lost_is_sent_again(url: str, session: boto3.Session) -> None:
    """As at AWS, it may be kept twice then; it has one timecode, and none is missing."""
    stream, pcm = new_stream(url), tone(5.0)
    with CuttingProxy(url, up_bytes=3 * 16_400 + 8_000, down_mark=b"RECEIVED", down_marks=1) as proxy:
        sent = earwitness.put_media(
            io.BytesIO(pcm), stream_name=stream, real_time=False, endpoint_url=proxy.url, session=session
        )
    assert (sent.fragments, sent.reconnects) == (5, 1)
    once = {
        fragment.timecode_ms: frames_of(fragment.header.raw + fragment.cluster)
        for fragment in fragments(url, stream, at_most=5) + fragments(url, stream, at_most=1, StartSelectorType="NOW")
    }
    listed = (
        client(url, "kinesis-video-archived-media")
        .get_paginator("list_fragments")
        .paginate(
            StreamName=stream,
            FragmentSelector={
                "FragmentSelectorType": "SERVER_TIMESTAMP",
                "TimestampRange": {"StartTimestamp": 0, "EndTimestamp": 4_000_000_000},
            },
        )
    )
    count = sum(len(page["Fragments"]) for page in listed)
    assert 5 <= count <= 9
    once |= {
        fragment.timecode_ms: frames_of(fragment.header.raw + fragment.cluster)
        for fragment in fragments(url, stream, at_most=count)
    }
    assert b"".join(frame for timecode in sorted(once) for frame in once[timecode]) == pcm


@pytest.mark.slow
def test_a_connection_that_falls_silent(url: str, session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.producer.put_media._SILENCE_SECONDS_MAX", 0.2)
    stream, pcm = new_stream(url), tone(5.0)
    with CuttingProxy(url, up_bytes=3 * 16_400 + 8_000, down_mark=b"PERSISTED", down_marks=3, hangs_up=False) as proxy:
        sent = earwitness.put_media(
            io.BytesIO(pcm), stream_name=stream, real_time=False, endpoint_url=proxy.url, session=session
        )
    assert sent.fragments == 5
    assert sent.reconnects in (1, 2)  # the service may not have noticed yet that the first connection is gone
    assert kept(url, stream, count=5).tobytes() == pcm


@pytest.mark.slow
def test_refusals_say_why(url: str, session: boto3.Session, tmp_path: Path) -> None:
    def put(audio: Any = b"", **named: Any) -> None:
        source = audio if isinstance(audio, Path) else io.BytesIO(tone(0.2))
        given: dict[str, Any] = {"session": session, **named}
        earwitness.put_media(source, real_time=False, endpoint_url=url, **given)

    with pytest.raises(PutMediaFailed, match="ResourceNotFound"):
        put(stream_name="nowhere")
    stranger = boto3.Session(aws_access_key_id="no", aws_secret_access_key="no", region_name="us-east-1")  # noqa: S106
    with pytest.raises(PutMediaFailed, match="NotAuthorized"):
        put(stream_name="nowhere", session=stranger)
    with pytest.raises(ValueError, match="either"):
        put()
    stream = new_stream(url)
    with pytest.raises(AudioError):
        put(tmp_path / "missing.wav", stream_name=stream)
    with Producer(url, stream) as other:
        other.opened()
        with pytest.raises(AnotherProducer, match="another producer"):
            put(stream_name=stream)
    different = [recording(tmp_path, 0.2, seed=1), recording(tmp_path, 0.2, seed=2, rate=16_000)]
    with pytest.raises(AudioUnreadable, match="different sample rates"):
        earwitness.put_media(different, stream_name=stream, endpoint_url=url, session=session)


@pytest.mark.slow
def test_real_time(url: str, session: boto3.Session) -> None:
    import time

    began = time.monotonic()
    earwitness.put_media(io.BytesIO(tone(0.3)), stream_name=new_stream(url), endpoint_url=url, session=session)
    assert time.monotonic() - began >= 0.3


def stream_command(served: Served, *arguments: str | Path, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "earwitness", "stream", *map(str, arguments)],
        env=served.environment | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.slow
def test_the_command(served: Served, tmp_path: Path) -> None:
    file = recording(tmp_path, 2.5)
    code, out, err = stream_command(served, file, "--stream", "made-by-command", "--create", "--fast")
    assert (code, out) == (0, "")
    assert "sent 2.5 s in 3 fragments" in err
    code, out, err = stream_command(
        served, "-", "--stream", "made-by-command", "--create", "--fast", "--json", stdin=tone(1.5)
    )
    assert code == 0, err
    assert "there already" in err
    told = json.loads(out)
    assert told["fragments"] == 2
    assert told["seconds"] == 1.5
    assert told["reconnects"] == 0
    assert kept(served.url, "made-by-command", count=5).shape == (4 * RATE, 1)


@pytest.mark.slow
def test_what_the_command_says_when_it_cannot(served: Served, tmp_path: Path) -> None:
    file = recording(tmp_path, 0.2)
    code, _, err = stream_command(served, file, "--stream", "not-made", "--fast")
    assert code not in (0, 70)
    assert "not-made" in err or "ResourceNotFound" in err
    assert "--create" in err
    code, out, _ = stream_command(served, file, "--stream", "not-made", "--fast", "--json")
    assert code not in (0, 70)
    assert "--create" in json.loads(out)["error"]["message"]
    code, _, err = stream_command(served, file)
    assert (code, "--stream" in err) == (2, True)
    code, _, err = stream_command(served, "-", file, "--stream", "x")
    assert (code, "standard input" in err) == (2, True)
    code, _, err = stream_command(served, tmp_path / "gone.wav", "--stream", "not-made", "--fast")
    assert (code, "gone.wav" in err) == (4, True)


def test_reader_and_producer_agree_on_what_a_fragment_is() -> None:
    """The fragments that put_media makes are what the service's reader takes, byte for byte."""
    from earwitness.audio.matroska.writer import pcm_track, write_header
    from earwitness.producer.fragments import fragments as cut
    from earwitness.producer.fragments import raw

    made = list(cut(raw(io.BytesIO(tone(2.2)), rate=RATE, channels=1), start_ms=0))
    reader = PutMediaReader()
    events = reader.feed(write_header([pcm_track(rate=RATE)]) + b"".join(one.media for one in made)) + reader.close()
    received = [event for event in events if isinstance(event, FragmentReceived)]
    assert [event.cluster for event in received] == [one.media for one in made]
    assert [event.duration_ms for event in received] == [1_000, 1_000, 200]
