"""All that a search can come to, scripted: the same states, events and members as of a call that is heard."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from telephone import Telephone

import earwitness
from earwitness.errors import ScriptInvalid
from earwitness.samples import first_call, second_call
from earwitness.testing import (
    ScriptedVerdict,
    ambiguous,
    failure,
    inconclusive,
    listening,
    match,
    no_match,
    start_service,
)
from earwitness.testing import several_voices as two_voices
from earwitness.testing.voices import Voices, start_voices
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

SUCCESS, NOBODY, NO_SEARCH = "IdentificationSuccessful", "IdentificationNoMatchesFound", "IdentificationFailure"
PRINT, NO_PRINT = "VoiceprintGenerationSuccess", "VoiceprintGenerationFailure"


def enrolled(telephone: Telephone) -> str:
    """A profile, made of a task that found nobody."""
    telephone.service.script(no_match(), stream=telephone.stream)
    task = telephone.ring()
    ended(telephone, task)
    return telephone.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]


def ended(telephone: Telephone, task: str) -> dict[str, Any]:
    return telephone.service.wait_for_task(task, seconds=PATIENCE_SECONDS)


def found(telephone: Telephone, verdict: ScriptedVerdict) -> dict[str, Any]:
    """The record of a task that finds this, once it has ended."""
    telephone.service.script(verdict)
    return ended(telephone, telephone.ring())


def named_in(telephone: Telephone, task: str) -> list[str]:
    details = telephone.service.events(task_id=task)[0]["detail"]["speakerSearchDetails"]
    return [one["voiceProfileId"] for one in details["results"]]


def reasons(telephone: Telephone, task: str) -> list[str | None]:
    return [event["detail"].get("statusMessage") for event in telephone.service.events(task_id=task)]


def test_two_profiles_that_fit_nearly_as_well(telephone: Telephone) -> None:
    one, other = enrolled(telephone), enrolled(telephone)
    task = found(telephone, ambiguous(one, other))
    answer = task["identification"]
    assert (answer["outcome"], answer["ambiguous"], answer["weak"]) == ("match", True, False)
    assert [each["profileId"] for each in answer["candidates"]] == [one, other]
    assert 0 < answer["margin"] < 0.1
    assert answer["threshold"]["gallerySize"] == 2
    assert named_in(telephone, task["taskId"]) == [one, other]


def test_candidates_that_no_event_names(telephone: Telephone) -> None:
    one, other = enrolled(telephone), enrolled(telephone)
    task = found(telephone, match(one, 0.4, below_threshold={other: 0.3}))
    answer = task["identification"]
    assert (answer["ambiguous"], answer["weak"], answer["nobodyProbability"]) == (True, True, pytest.approx(0.3))
    assert [each["score"] >= answer["threshold"]["score"] for each in answer["candidates"]] == [True, False]
    assert named_in(telephone, task["taskId"]) == [one]
    task = found(telephone, no_match(below_threshold={other: 0.2, one: 0.1}))
    answer = task["identification"]
    assert (answer["outcome"], answer["ambiguous"], answer["weak"]) == ("no match", False, False)
    assert [each["profileId"] for each in answer["candidates"]] == [other, one]
    assert telephone.statuses(task["taskId"]) == [NOBODY, PRINT]
    sure = found(telephone, match(one, 0.9, below_threshold={other: 0.04}))["identification"]
    assert not sure["ambiguous"]


def test_several_voices(telephone: Telephone) -> None:
    one, other = enrolled(telephone), enrolled(telephone)
    task = found(telephone, two_voices(match(one, 0.8, below_threshold={other: 0.1}), match(other, 0.9)))
    answer = task["identification"]
    assert (answer["outcome"], answer["candidates"], answer["threshold"]) == ("several voices", [], None)
    assert [voice["outcome"] for voice in answer["voices"]] == ["match", "match"]
    assert [voice["candidates"][0]["profileId"] for voice in answer["voices"]] == [one, other]
    assert sum(voice["netSpeechSeconds"] for voice in answer["voices"]) == answer["netSpeechSeconds"] == 10.0
    assert named_in(telephone, task["taskId"]) == [other, one]  # the surer one first, as of a call that is heard
    assert telephone.statuses(task["taskId"]) == [SUCCESS, NO_PRINT]
    assert task["statusMessage"].startswith("the speech is of more than one voice")
    strangers = found(telephone, two_voices(no_match(), no_match()))["taskId"]
    assert telephone.statuses(strangers) == [NOBODY, NO_PRINT]


def test_a_call_that_ends_between_both_results(telephone: Telephone) -> None:
    task = found(telephone, no_match(speech_seconds=13.8))
    assert (task["status"], task["identification"]["outcome"]) == ("Stopped", "no match")
    assert telephone.statuses(task["taskId"]) == [NOBODY, NO_PRINT]
    needed = "only 13.8 s of speech were heard before the audio ended and 20 s are needed"
    assert reasons(telephone, task["taskId"]) == [None, needed]


def test_a_task_that_fails_behind_its_search(telephone: Telephone) -> None:
    task = found(telephone, match(enrolled(telephone), breaks_off="the stream was deleted"))
    assert (task["status"], task["statusMessage"]) == ("Failed", "the stream was deleted")
    assert task["identification"]["outcome"] == "match"
    assert telephone.statuses(task["taskId"]) == [SUCCESS, NO_PRINT]


def test_a_recording_that_is_played_again(telephone: Telephone) -> None:
    service = telephone.service
    first = found(telephone, no_match())["taskId"]
    again = found(telephone, no_match(repeats=first))
    assert again["repeatsTaskId"] == first
    assert found(telephone, no_match())["repeatsTaskId"] is None
    with pytest.raises(ScriptInvalid, match="no speaker search task nowhere"):
        service.script(no_match(repeats="nowhere"))
    elsewhere = Telephone(service, "elsewhere")
    assert "not one of the domain" in found(elsewhere, no_match(repeats=first))["statusMessage"]
    silent = found(telephone, inconclusive())["taskId"]
    assert "whose voiceprint is not there" in found(telephone, no_match(repeats=silent))["statusMessage"]
    service.script(no_match(), no_match(repeats=first))
    task = telephone.ring()
    ended(telephone, task)
    service.script(no_match(repeats=task))
    twin = telephone.pipelines.start_speaker_search_task(
        Identifier=telephone.pipeline, VoiceProfileDomainArn=telephone.domain["VoiceProfileDomainArn"]
    )["SpeakerSearchTask"]["SpeakerSearchTaskId"]
    assert "one of the same call" in ended(telephone, twin)["statusMessage"]


def heard_by(telephone: Telephone, task: str, seconds: float) -> None:
    """Wait until at least so much speech was heard."""

    def is_so() -> bool:
        heard = telephone.service.task(task)["heard"]
        return heard is not None and seconds <= heard["netSpeechSeconds"]

    until(is_so)


def test_four_seconds_are_missing_and_the_call_goes_on(telephone: Telephone) -> None:
    service = telephone.service
    service.script(listening(speech_seconds=6))
    task = telephone.ring()
    heard_by(telephone, task, 6.0)
    now = service.task(task)
    assert (now["status"], now["identification"], now["heard"]["netSpeechSeconds"]) == ("InProgress", None, 6.0)
    assert now["heard"]["speech"] == [{"startSeconds": 0.0, "endSeconds": 6.0}]
    assert telephone.statuses(task) == []
    telephone.hang_up()
    ended(telephone, task)
    assert telephone.statuses(task) == [NO_SEARCH, NO_PRINT]
    reason = "only 6.0 s of speech were heard before the audio ended and {} s are needed"
    assert reasons(telephone, task) == [reason.format(10), reason.format(20)]
    task = telephone.ring()
    telephone.pipelines.stop_speaker_search_task(Identifier=telephone.pipeline, SpeakerSearchTaskId=task)
    assert ended(telephone, task)["status"] == "Stopped"
    assert telephone.statuses(task) == []


@pytest.fixture
def alone() -> Iterator[Telephone]:
    with start_service() as service:
        yield Telephone(service, "alone")


def test_speech_is_heard_as_the_clock_goes(alone: Telephone) -> None:
    telephone, service = alone, alone.service
    service.script(no_match(after=10_000))
    task = telephone.ring()
    heard_by(telephone, task, 0.0)
    service.clock.forward(seconds=6_000)
    heard_by(telephone, task, 6.0)
    assert service.task(task)["heard"]["netSpeechSeconds"] < 10.0
    service.clock.forward(seconds=4_000)
    service.wait_for_event(NOBODY, task_id=task, seconds=PATIENCE_SECONDS)
    service.clock.forward(seconds=5_000)
    heard_by(telephone, task, 15.0)
    telephone.hang_up()
    ended(telephone, task)
    last = reasons(telephone, task)[-1]
    assert last is not None
    assert re.fullmatch(r"only 1\d\.\d s of speech were heard before the audio ended and 20 s are needed", last)


def test_a_domain_that_is_deleted_fails_a_scripted_task_too(telephone: Telephone) -> None:
    telephone.service.script(listening())
    task = telephone.ring()
    heard_by(telephone, task, 6.0)
    telephone.voice.delete_voice_profile_domain(VoiceProfileDomainId=telephone.domain["VoiceProfileDomainId"])
    now = ended(telephone, task)
    assert (now["status"], now["statusMessage"]) == ("Failed", "the voice profile domain was deleted")
    assert telephone.statuses(task) == [NO_SEARCH, NO_PRINT]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ambiguous("vp", "vp-2", (0.95, 0.01)), "not ambiguous"),
        (lambda: match("vp", 0.4, below_threshold={"vp-2": 0.5}), "best one first"),
        (lambda: match("vp", 0.5, below_threshold={"vp": 0.5}), "once"),
        (lambda: no_match(below_threshold={f"vp-{number}": 0.01 for number in range(11)}), "10 profiles at most"),
        (lambda: no_match(speech_seconds=9), "use inconclusive"),
        (lambda: no_match(speech_seconds=21), "no more is heard"),
        (lambda: no_match(speech_seconds=15, voiceprint_refused="too quiet"), "the call ends before"),
        (lambda: no_match(breaks_off="gone", repeats="task"), "the call ends before"),
        (lambda: no_match(voiceprint_refused="too quiet", repeats="task"), "script one that is made"),
        (lambda: two_voices(match("vp"), failure("gone")), "each of several voices"),
        (lambda: listening(speech_seconds=10), "10 s are enough"),
    ],
)
def test_outcomes_that_no_task_could_have(make: Any, message: str) -> None:
    with pytest.raises(ScriptInvalid, match=message):
        make()


# Against calls that are heard.


@pytest.fixture(scope="module")
def voices(model_cache: Any) -> Iterator[Voices]:
    with start_voices(settings={"models_dir": model_cache.folder}) as started:
        yield started


def together(folder: Path, *names: str) -> Path:
    """A recording in which these people talk by turns, six seconds each."""
    calls = [soundfile.read(second_call(name), dtype="float32") for name in names]
    rate = calls[0][1]
    turns = [[call[start : start + 6 * rate] for call, _ in calls] for start in (0, 6 * rate)]
    file = folder / "together.wav"
    soundfile.write(file, np.concatenate(list(itertools.chain(*turns))), rate)
    return file


def start_of(folder: Path, name: str, seconds: float) -> Path:
    samples, rate = soundfile.read(second_call(name), dtype="float32")
    file = folder / f"start-{seconds}.wav"
    soundfile.write(file, samples[: round(seconds * rate)], rate)
    return file


def hear(voices: Voices, telephone: Telephone, recording: Path) -> dict[str, Any]:
    """The record of a task that heard a recording."""
    task = telephone.ring(domain_arn=voices.domain_arn)
    sent = earwitness.put_media(
        recording,
        stream_arn=telephone.stream,
        real_time=False,
        endpoint_url=voices.service.url,
        session=voices.service.session(),
    )
    assert sent.fragments
    until(lambda: (voices.service.task(task)["heard"] or {"netSpeechSeconds": 99})["netSpeechSeconds"] > 3)
    telephone.hang_up()
    return ended(telephone, task)


OF_THE_MOMENT = ("stopReason", "lagSeconds")
"""Who ended the call, and whether its worker has noted yet that it is done."""


def shape(value: Any) -> Any:
    """What members a document has and of what kind, without their values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items() if name not in OF_THE_MOMENT}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return "number" if isinstance(value, float) else type(value).__name__


def written(task: dict[str, Any], events: list[dict[str, Any]], answer: dict[str, Any] | None) -> ScriptedVerdict:
    """The script of what a task that heard a call has found."""
    reasons = [event["detail"].get("statusMessage") or "" for event in events]
    heard = re.match(r"only ([0-9.]+) s", reasons[-1])
    end: dict[str, Any] = {"speech_seconds": float(heard.group(1))} if heard else {}
    if answer is None:
        return inconclusive(**end)
    if answer["voices"]:
        first, second = (written(task, events[:1], voice) for voice in answer["voices"])
        return two_voices(first, second)
    if task["repeatsTaskId"]:
        end["repeats"] = task["repeatsTaskId"]
    listed = {one["profileId"]: one["probability"] for one in answer["candidates"]}
    if answer["outcome"] == "no match":
        return no_match(below_threshold=listed, **end)
    best = next(iter(listed))
    return match(best, listed.pop(best), below_threshold=listed, **end)


def told(telephone: Telephone, task: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a task but for what is another's in each call."""
    events = telephone.service.events(task_id=task["taskId"])
    own = ("id", "time", "taskId", "mediaInsightsPipelineId", "sourceArn")
    return [
        {name: value for name, value in {**event, **event["detail"], "detail": None}.items() if name not in own}
        for event in events
    ]


def test_they_are_told_as_of_calls_that_are_heard(voices: Voices, tmp_path: Path) -> None:
    telephone = Telephone(voices.service, "heard")
    calls = {
        "match": first_call("sally"),
        "again": first_call("sally"),
        "stranger": first_call("marvin"),
        "together": together(tmp_path, "sally", "kal"),
        "short": start_of(tmp_path, "fiona", 6.0),
        "between": start_of(tmp_path, "kal", 16.0),
    }
    heard = {name: hear(voices, telephone, recording) for name, recording in calls.items()}
    assert heard["again"]["repeatsTaskId"] == heard["match"]["taskId"]
    expected = {
        "match": ("match", [SUCCESS, PRINT]),
        "again": ("match", [SUCCESS, PRINT]),
        "stranger": ("no match", [NOBODY, PRINT]),
        "together": ("several voices", [SUCCESS, NO_PRINT]),
        "short": (None, [NO_SEARCH, NO_PRINT]),
        "between": ("match", [SUCCESS, NO_PRINT]),
    }
    for name, task in heard.items():
        outcome, statuses = expected[name]
        assert (task["identification"] or {}).get("outcome") == outcome
        assert telephone.statuses(task["taskId"]) == statuses
        events = telephone.service.events(task_id=task["taskId"])
        telephone.service.script(written(task, events, task["identification"]))
        scripted = ended(telephone, telephone.ring(domain_arn=voices.domain_arn))
        assert told(telephone, scripted) == told(telephone, task), name
        assert shape(scripted) == shape(task), name
        assert (scripted["status"], scripted["statusMessage"]) == (task["status"], task["statusMessage"])
