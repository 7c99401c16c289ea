"""Scripted verdicts: what is scripted is found, and everything around it is the service's own."""

import pytest
from botocore.exceptions import ClientError
from telephone import Telephone

import earwitness
from earwitness import samples
from earwitness.errors import ScriptInvalid
from earwitness.testing import EarwitnessService, failure, inconclusive, match, no_match, start_service

pytestmark = pytest.mark.slow


def enrolled(telephone: Telephone) -> str:
    """A profile, made of a task that found nobody."""
    telephone.service.script(no_match(), stream=telephone.stream)
    task = telephone.ring()
    telephone.service.wait_for_task(task)
    return telephone.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]


def test_nobody_is_found_then_enrolled_then_found(telephone: Telephone) -> None:
    service = telephone.service
    profile = enrolled(telephone)
    service.script(match(profile, 0.97), stream=telephone.stream)
    task = telephone.ring()
    found = service.wait_for_task(task)["identification"]
    assert found["outcome"] == "match"
    assert [(one["profileId"], one["probability"]) for one in found["candidates"]] == [(profile, 0.97)]
    assert found["calibration"] == "scripted"
    assert telephone.statuses(task) == ["IdentificationSuccessful", "VoiceprintGenerationSuccess"]
    (result,) = service.events(task_id=task)[0]["detail"]["speakerSearchDetails"]["results"]
    assert result == {"voiceProfileId": profile, "confidenceScore": "0.97000000"}


def test_a_scripted_voiceprint_says_so(telephone: Telephone) -> None:
    enrolled(telephone)
    (profile,) = telephone.service.get(f"/domains/{telephone.domain['VoiceProfileDomainId']}/profiles")["profiles"]
    assert [one["encoderId"] for one in profile["voiceprints"]] == ["scripted/telephone"]


def test_several_profiles_are_found_best_first(telephone: Telephone) -> None:
    one, other = enrolled(telephone), enrolled(telephone)
    telephone.service.script(match(one, 0.6, others={other: 0.3}))
    task = telephone.ring()
    telephone.service.wait_for_task(task)
    results = telephone.service.events(task_id=task)[0]["detail"]["speakerSearchDetails"]["results"]
    assert [result["voiceProfileId"] for result in results] == [one, other]


def test_too_little_speech(telephone: Telephone) -> None:
    telephone.service.script(inconclusive(speech_seconds=3.2))
    task = telephone.ring()
    assert telephone.service.wait_for_task(task)["status"] == "Stopped"
    assert telephone.statuses(task) == ["IdentificationFailure", "VoiceprintGenerationFailure"]
    reasons = [event["detail"]["statusMessage"] for event in telephone.service.events(task_id=task)]
    assert reasons[0] == "only 3.2 s of speech were heard before the audio ended and 10 s are needed"
    with pytest.raises(ClientError, match="NotFoundException"):
        telephone.voice.create_voice_profile(SpeakerSearchTaskId=task)


def test_a_task_that_fails(telephone: Telephone) -> None:
    telephone.service.script(failure("the stream broke off"))
    task = telephone.ring()
    ended = telephone.service.wait_for_task(task)
    assert (ended["status"], ended["statusMessage"]) == ("Failed", "the stream broke off")
    assert telephone.statuses(task) == ["IdentificationFailure", "VoiceprintGenerationFailure"]


def test_speech_too_poor_to_enrol(telephone: Telephone) -> None:
    telephone.service.script(no_match(voiceprint_refused="the speech is too quiet to enrol"))
    task = telephone.ring()
    assert telephone.service.wait_for_task(task)["statusMessage"] == "the speech is too quiet to enrol"
    assert telephone.statuses(task) == ["IdentificationNoMatchesFound", "VoiceprintGenerationFailure"]


def test_by_caller_in_turn_and_the_latest_script_counts(telephone: Telephone) -> None:
    service = telephone.service
    profile = enrolled(telephone)
    service.script(no_match())
    service.script(failure("busy"), match(profile), caller="+49111")

    def outcome(caller: str) -> str:
        ended = service.wait_for_task(telephone.ring(caller))
        return ended["identification"]["outcome"] if ended["identification"] else ended["status"]

    assert [outcome("+49111") for _ in range(3)] == ["Failed", "match", "match"]
    assert outcome("+49222") == "no match"
    service.script(inconclusive())
    assert outcome("+49111") == "Stopped"


def test_nothing_scripted_is_told_and_not_waited_for(telephone: Telephone) -> None:
    other = Telephone(telephone.service, "another-line")
    telephone.service.script(no_match(), stream=other.stream)
    task = telephone.ring()
    ended = telephone.service.wait_for_task(task)
    assert ended["status"] == "Failed"
    assert "nothing is scripted for the stream" in ended["statusMessage"]
    with pytest.raises(TimeoutError, match=r"IdentificationFailure \(nothing is scripted for the stream"):
        telephone.service.wait_for_event("IdentificationSuccessful", task_id=task, seconds=0)
    assert "models=True" in ended["statusMessage"]


def test_what_is_sent_to_the_stream_is_kept_and_changes_no_verdict(telephone: Telephone) -> None:
    telephone.service.script(no_match(after=10))
    task = telephone.ring()
    sent = earwitness.put_media(
        samples.second_call("kal"),
        stream_arn=telephone.stream,
        real_time=False,
        endpoint_url=telephone.service.url,
        session=telephone.service.session(),
    )
    assert sent.fragments > 1
    assert telephone.statuses(task) == []
    telephone.hang_up()
    telephone.service.wait_for_task(task)


def test_a_stop_is_told_as_of_a_call_that_is_heard(telephone: Telephone) -> None:
    service = telephone.service
    service.script(no_match(after=1_000))
    task = telephone.ring()
    telephone.pipelines.stop_speaker_search_task(Identifier=telephone.pipeline, SpeakerSearchTaskId=task)
    assert service.wait_for_task(task)["status"] == "Stopped"
    assert telephone.statuses(task) == []  # the caller asked for it, and is told nothing
    task = telephone.ring()
    telephone.hang_up()
    service.wait_for_task(task)
    assert telephone.statuses(task) == ["IdentificationFailure", "VoiceprintGenerationFailure"]
    reason = service.events(task_id=task)[0]["detail"]["statusMessage"]
    assert reason.endswith("s of speech were heard before the audio ended and 10 s are needed")


def test_scripts_that_make_no_sense_are_refused(telephone: Telephone) -> None:
    service = telephone.service
    with pytest.raises(ScriptInvalid, match="no stream nowhere"):
        service.script(no_match(), stream="nowhere")
    with pytest.raises(ScriptInvalid, match="no stream arn:aws:kinesisvideo"):
        service.script(no_match(), stream="arn:aws:kinesisvideo:us-east-1:000000000000:stream/x/1")
    with pytest.raises(ScriptInvalid, match="no voice profile vp-nobody"):
        service.script(match("vp-nobody"))
    with pytest.raises(ScriptInvalid, match="at least one verdict"):
        service.script()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: match("vp", 1.5), "confidence"),
        (lambda: match("vp", 0.0), "confidence"),
        (lambda: match("vp", float("nan")), "confidence"),
        (lambda: match("vp", 0.5, others={"vp-2": 0.6}), "best one first"),
        (lambda: match("vp", 0.6, others={"vp-2": 0.5}), "add up to 1"),
        (lambda: match("vp", 0.3, others={"vp": 0.2}), "once"),
        (lambda: no_match(after=-1), "after -1"),
        (lambda: no_match(after=float("inf")), "after inf"),
        (lambda: inconclusive(speech_seconds=12), "10 s are enough"),
        (lambda: failure(""), "a reason"),
    ],
)
def test_verdicts_that_no_task_could_have(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ScriptInvalid, match=message):
        make()


def test_a_profile_that_is_gone_when_it_is_to_be_found(telephone: Telephone) -> None:
    service = telephone.service
    profile = enrolled(telephone)
    service.script(match(profile))
    telephone.voice.delete_voice_profile(VoiceProfileId=profile)
    ended = service.wait_for_task(telephone.ring())
    assert ended["status"] == "Failed"
    assert f"{profile}, which was deleted" in ended["statusMessage"]


def test_a_profile_of_another_domain_is_not_found(telephone: Telephone) -> None:
    elsewhere = Telephone(telephone.service, "elsewhere")
    profile = enrolled(elsewhere)
    telephone.service.script(match(profile))
    ended = telephone.service.wait_for_task(telephone.ring())
    assert f"{profile}, which is in another domain" in ended["statusMessage"]


def test_failures_are_counted(telephone: Telephone) -> None:
    service = telephone.service
    service.fail("ListVoiceProfileDomains", "ForbiddenException", times=2)
    for _ in range(2):
        with pytest.raises(ClientError, match="ForbiddenException"):
            telephone.voice.list_voice_profile_domains()
    assert telephone.voice.list_voice_profile_domains()["VoiceProfileDomains"]
    service.fail("ListVoiceProfileDomains", "NotFound")
    service.reset()
    assert telephone.voice.list_voice_profile_domains()["VoiceProfileDomains"]


@pytest.mark.parametrize(
    ("operation", "error", "times", "message"),
    [
        ("ListCats", "NotFound", None, "no operation 'ListCats'"),
        ("GetVoiceProfile", "TeapotException", None, "'TeapotException' is no error"),
        ("GetVoiceProfile", "NotFound", 0, "0 times"),
    ],
)
def test_failures_that_there_are_not(
    shared: EarwitnessService, operation: str, error: str, times: int | None, message: str
) -> None:
    with pytest.raises(earwitness.errors.ConfigurationError, match=message):
        shared.fail(operation, error, times=times)


def test_a_service_that_is_closed_says_so() -> None:
    service = start_service()
    service.close()
    service.close()
    with pytest.raises(earwitness.errors.ServiceNotStarted, match="is gone"):
        service.script(no_match())
    with pytest.raises(earwitness.errors.ServiceNotStarted, match="was it closed"):
        service.events()
