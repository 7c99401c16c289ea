"""Calls of more than one party: leakage of the other channel, and two voices on one."""

import itertools
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from following import RATE, Line, Office, cut_off, fragment, fragments_of, run
from store_examples import MINE, START, add_domain, add_profile, guid

from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.engine.decide import several_voices
from earwitness.engine.engine import Engine
from earwitness.engine.enrol import voiceprints_of
from earwitness.media.source import StreamFragment
from earwitness.samples import first_call, second_call
from earwitness.store.records import NewVoiceprint
from earwitness.tasks.events import named
from earwitness.tasks.replay import LOST
from earwitness.voice.decision import Candidate, Decision, Outcome, Threshold
from earwitness.voice.embedding import Samples

CONNECT = write_header(
    [
        pcm_track(number=number, rate=RATE, name=name)
        for number, name in enumerate(("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER"), start=1)
    ]
)
STEREO = write_header([pcm_track(rate=RATE, channels=2)])


def call_of(name: str) -> Samples:
    return np.asarray(soundfile.read(second_call(name), dtype="float32")[0], np.float32)


def pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes()


def fragments_of_two(pair: Samples, cuts: list[int], *, header: bytes) -> list[StreamFragment]:
    """Two channels, shape (n, 2), as fragments: two tracks, or one that interleaves them."""
    made = []
    for number, (first, last) in enumerate(itertools.pairwise([0, *cuts, len(pair)]), start=1):
        blocks = []
        for start in range(first, last, 800):
            piece, at_ms = pair[start : min(start + 800, last)], (start - first) // 8
            if header == STEREO:
                blocks.append(write_block(1, at_ms, pcm(piece)))
            else:
                blocks += [write_block(track, at_ms, pcm(piece[:, track - 1])) for track in (1, 2)]
        made.append(fragment(number, cluster=write_cluster(first // 8, blocks), header=header))
    return made


@dataclass(frozen=True)
class Enrolled:
    domain_id: str
    profiles: dict[str, str]


def enrol(office: Office, engine: Engine, *names: str) -> Enrolled:
    vectors = {name: voiceprints_of(engine, name, [first_call(name)]).voiceprints[0].embedding for name in names}

    def work(unit: Any) -> Enrolled:
        domain_id = add_domain(unit).domain_id
        profiles = {name: add_profile(unit, domain_id).profile_id for name in names}
        for name, profile_id in profiles.items():
            unit.profiles.add_voiceprint(
                MINE,
                profile_id,
                voiceprint_id=guid(),
                voiceprint=NewVoiceprint(
                    encoder_id=vectors[name].encoder_id,
                    vector=vectors[name].vector.astype("<f4").tobytes(),
                    net_speech_seconds=20.0,
                    quality={},
                ),
                expires_at=START + timedelta(days=1_000),
            )
        return Enrolled(domain_id, profiles)

    return office.store.write(work)


@pytest.fixture(scope="module")
def leaking() -> Samples:
    """The agent talks for 16 s, heard 30 dB down and 150 ms later on the customer's channel; then the customer does."""
    agent = call_of("marvin")[: 16 * RATE]
    customer = np.concatenate([call_of("sally"), soundfile.read(first_call("sally"), dtype="float32")[0]])
    noise = np.random.default_rng(4).standard_normal((16 * RATE + len(customer), 2)).astype(np.float32) * 1e-4
    noise[1_200 : 16 * RATE + 1_200, 0] += agent * np.float32(10 ** (-30 / 20))
    noise[: 16 * RATE, 1] += agent
    noise[16 * RATE :, 0] += customer
    return noise


async def concluded(office: Office, task: Any) -> tuple[Any, bytes]:
    found = office.store.task_voiceprints.get(MINE, task.task_id)
    assert found is not None
    return office.now(task).identification, found.voiceprint.vector


@pytest.mark.slow
@pytest.mark.parametrize("header", [CONNECT, STEREO], ids=["Amazon Connect's tracks", "interleaved"])
def test_leakage_that_fills_the_first_seconds_of_a_live_channel_is_not_named(
    tmp_path: Path, engine: Engine, leaking: Samples, header: bytes
) -> None:
    async def play(office: Office) -> None:
        enrolled = enrol(office, engine, "sally", "marvin")
        office.line = Line(fragments_of_two(leaking, list(range(RATE, len(leaking), RATE)), header=header))
        task = office.new_task(enrolled.domain_id)
        await office.follow(task)
        first = office.details(task)[0]
        assert first["detailStatus"] == "IdentificationSuccessful"
        assert [one["voiceProfileId"] for one in first["speakerSearchDetails"]["results"]] == [
            enrolled.profiles["sally"]
        ]

    run(tmp_path, engine, play)


def test_a_task_says_that_its_stream_has_other_channels_than_its_pipeline_says(
    tmp_path: Path, engine: Engine, leaking: Samples
) -> None:
    """The agent may be taken for the caller; so it stands in the record, beside what came of the search."""

    async def play(office: Office) -> None:
        fragments = fragments_of_two(leaking[: 3 * RATE], [RATE, 2 * RATE], header=STEREO)
        task, right = office.new_task(channels=1), office.new_task(channels=2)
        await cut_off(office, task, fragments)
        await cut_off(office, right, fragments)
        said = office.now(task).status_message
        assert said is not None
        assert said.startswith("the stream's channels are 2 and not 1, as its pipeline says, so channel 0")
        assert office.now(right).status_message is None

    run(tmp_path, engine, play)


def test_after_an_interruption_a_task_says_what_was_lost_beside_whose_channel_it_may_be(
    tmp_path: Path, engine: Engine, leaking: Samples
) -> None:
    """However often it is interrupted."""

    async def play(office: Office) -> None:
        fragments = fragments_of_two(leaking[: 9 * RATE], [second * RATE for second in range(1, 9)], header=STEREO)
        task = office.new_task(channels=1)
        await cut_off(office, task, fragments[:6])
        of_channels = office.now(task).status_message
        assert of_channels is not None
        for rest in (fragments[7:8], fragments[7:9]):
            await cut_off(office, task, rest)
            assert office.now(task).status_message == f"{of_channels}; {LOST}"

    run(tmp_path, engine, play)


@pytest.mark.slow
def test_without_the_other_channel_the_same_leakage_is_named(tmp_path: Path, engine: Engine, leaking: Samples) -> None:
    """What the reference is for: by the level of one channel nobody can know yet that somebody louder will come."""

    async def play(office: Office) -> None:
        enrolled = enrol(office, engine, "sally", "marvin")
        office.line = Line(fragments_of(leaking[:, 0], list(range(RATE, len(leaking), RATE))))
        task = office.new_task(enrolled.domain_id)
        await office.follow(task)
        results = office.details(task)[0]["speakerSearchDetails"]["results"]
        assert [one["voiceProfileId"] for one in results] == [enrolled.profiles["marvin"]]

    run(tmp_path, engine, play)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2 * RATE, 13_007])
def test_killed_at_every_fragment_two_channels_give_the_same(
    tmp_path: Path, engine: Engine, leaking: Samples, step: int
) -> None:
    fragments = fragments_of_two(leaking, list(range(step, len(leaking), step)), header=CONNECT)

    async def killed(office: Office) -> tuple[Any, bytes]:
        task = office.new_task()
        for count in range(1, len(fragments) + 1):
            await cut_off(office, task, fragments[:count])
            if office.now(task).ended_at is not None:
                break
        assert office.now(task).attempt > 10
        return await concluded(office, task)

    async def uninterrupted(office: Office) -> tuple[Any, bytes]:
        office.line = Line(fragments_of_two(leaking, list(range(RATE, len(leaking), RATE)), header=STEREO))
        task = office.new_task()
        await office.follow(task)
        return await concluded(office, task)

    for name in ("plain", "killed"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "killed", engine, killed) == run(tmp_path / "plain", engine, uninterrupted)


@pytest.mark.slow
def test_two_voices_on_one_channel_are_both_told_and_no_voiceprint_is_made(tmp_path: Path, engine: Engine) -> None:
    """In AWS's shapes: one event lists whom the search names, the most likely first; the other says why not."""
    sally, russell = call_of("sally"), call_of("russell")
    turns = [voice[at * 4 * RATE : (at + 1) * 4 * RATE] for at in range(5) for voice in (sally, russell)]
    call = np.concatenate(turns)

    async def play(office: Office) -> None:
        enrolled = enrol(office, engine, "sally", "russell", "marvin")
        office.line = Line(fragments_of(call, list(range(RATE, len(call), RATE))))
        task = office.new_task(enrolled.domain_id)
        await office.follow(task)
        search, voiceprint = office.details(task)
        assert search["detailStatus"] == "IdentificationSuccessful"
        results = search["speakerSearchDetails"]["results"]
        assert {one["voiceProfileId"] for one in results} == {enrolled.profiles[one] for one in ("sally", "russell")}
        scores = [one["confidenceScore"] for one in results]
        assert scores == sorted(scores, reverse=True)
        assert all(set(one) == {"voiceProfileId", "confidenceScore"} for one in results)
        assert voiceprint["detailStatus"] == "VoiceprintGenerationFailure"
        assert "more than one voice" in voiceprint["statusMessage"]
        kept = office.now(task).identification
        assert kept is not None
        assert kept["outcome"] == Outcome.SEVERAL_VOICES
        voices = kept["voices"]
        assert isinstance(voices, list)
        assert len(voices) == 2

    run(tmp_path, engine, play)


def decision(*candidates: tuple[str, float, float], outcome: Outcome = Outcome.MATCH) -> Decision:
    threshold = Threshold(
        score=0.6,
        strangers_named_percent=1.0,
        gallery_size=3,
        pair_false_match_rate=0.01,
        extrapolated=False,
        persons=70,
        person_pairs=2415,
        persons_needed=None,
    )
    return Decision(
        outcome=outcome,
        candidates=tuple(
            Candidate(profile_id=name, voiceprint_id=name, score=score, confidence=confidence, false_match_rate=0.1)
            for name, score, confidence in candidates
        ),
        threshold=threshold,
        nobody_confidence=0.1,
        margin=None,
        ambiguous=False,
        net_speech_seconds=10.0,
    )


def test_of_several_voices_each_profile_is_named_once_with_its_best_probability() -> None:
    both = several_voices(
        [
            decision(("ada", 0.7, 0.6), ("bob", 0.65, 0.2), ("eve", 0.5, 0.1)),
            decision(("bob", 0.9, 0.95), ("ada", 0.61, 0.01)),
            decision(("eve", 0.5, 0.3), outcome=Outcome.NO_MATCH),
        ]
    )
    assert [(one.voice_profile_id, one.confidence) for one in named(both)] == [("bob", 0.95), ("ada", 0.6)]


def test_several_voices_of_whom_none_is_enrolled_name_nobody() -> None:
    stranger = decision(("eve", 0.5, 0.3), outcome=Outcome.NO_MATCH)
    assert named(several_voices([stranger, stranger])) == ()
