"""Streams of Amazon Connect and of AWS's C producer, saved by GetMedia: each gives what INDEX.md has for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from earwitness.audio.files import open_recording
from earwitness.cli.main import app
from earwitness.engine.engine import Engine
from earwitness.engine.enrol import voiceprints_of
from earwitness.errors import NotEnoughSpeech
from earwitness.voice.embedding import ENROL_SECONDS_MIN, Samples

pytestmark = pytest.mark.slow


def identified(file: Path, known: Path, *options: str) -> Any:
    result = CliRunner().invoke(app, ["identify", str(file), "--gallery", str(known), "--json", *options])
    decision = json.loads(result.stdout)["decision"]
    return decision["outcome"], decision["candidates"][0]["profileId"]


def samples(file: Path, *, channel: int | None = None) -> Samples:
    return np.concatenate(list(open_recording(file, channel=channel).blocks()))


@pytest.mark.parametrize(
    ("name", "options", "voice"),
    [
        ("A1_connect_A_AAC_customer_only.mkv", (), "ls1688"),
        ("A2_to_customer_only.mkv", (), "ls533"),
        ("A2_to_customer_only.mkv", ("--channel", "1"), "ls533"),
    ],
)
def test_a_voice_of_amazon_connect_is_matched(
    field_dir: Path, known: Path, name: str, options: tuple[str, ...], voice: str
) -> None:
    assert identified(field_dir / name, known, *options) == ("match", voice)


@pytest.mark.parametrize(("channel", "voice"), [(0, "ls1688"), (1, "ls533")])
def test_both_voices_behind_the_name_of_aac(
    field_dir: Path, known: Path, engine: Engine, channel: int, voice: str
) -> None:
    file = field_dir / "A1_connect_A_AAC_but_L16.mkv"
    assert len(samples(file, channel=channel)) == 5 * 8_000
    decision = identified(file, known, "--channel", str(channel))
    assert decision[1] == voice


def test_the_customer_comes_after_a_prompt(field_dir: Path) -> None:
    heard = samples(field_dir / "A4_to_track_first_then_both.mkv", channel=0)
    assert len(heard) == 6 * 8_000
    assert not heard[: 2 * 8_000].any()
    assert heard[2 * 8_000 : 3 * 8_000].any()


def test_the_customers_track_is_absent_for_a_second(field_dir: Path) -> None:
    seconds = samples(field_dir / "A5_customer_track_absent_for_one_fragment.mkv", channel=0).reshape(-1, 8_000)
    assert [bool(second.any()) for second in seconds] == [True, True, True, False, True, True]


def test_a_consumer_that_connected_again_saved_fragments_twice(field_dir: Path, engine: Engine) -> None:
    file = field_dir / "A6_every_fragment_twice_7s.mkv"
    assert open_recording(file).seconds == 7.0
    assert engine.listen(file).seconds == pytest.approx(5.3, abs=0.2)
    assert ENROL_SECONDS_MIN > 7
    with pytest.raises(NotEnoughSpeech):
        voiceprints_of(engine, "someone", [file])


def test_a_law_of_the_c_producer(field_dir: Path) -> None:
    file = field_dir / "c_producer_alaw.mkv"
    assert open_recording(file).seconds == pytest.approx(52.0, abs=0.05)
    assert len(samples(file)) == pytest.approx(52.0 * 8_000, abs=400)
