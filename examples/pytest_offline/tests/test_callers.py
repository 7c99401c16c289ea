"""A day at the telephone, in seconds and without a voice."""

import pytest
from botocore.exceptions import ClientError

from earwitness.testing import ambiguous, events, failure, inconclusive, listening, match, no_match, several_voices

ANNA = "+493012345"


def test_a_caller_is_enrolled_and_known_the_next_time(earwitness_aws, callers, stream):
    earwitness_aws.script(no_match(), stream=stream)
    first = callers.answer(stream, ANNA)
    callers.handle(earwitness_aws.wait_for_event("IdentificationNoMatchesFound", task_id=first))
    assert callers.on_the_line[first] == "nobody we know"

    earwitness_aws.wait_for_task(first)  # its voiceprint is made by then
    profile = callers.enrol(first, "Anna")

    earwitness_aws.script(match(profile, 0.97), caller=ANNA)
    second = callers.answer(stream, ANNA)
    callers.handle(earwitness_aws.wait_for_event("IdentificationSuccessful", task_id=second))
    assert callers.on_the_line[second] == "Anna"


def test_the_answer_comes_after_ten_seconds_of_speech(earwitness_aws, callers, stream):
    earwitness_aws.script(no_match(after=10))
    task = callers.answer(stream, ANNA)
    assert not earwitness_aws.events(task_id=task)
    earwitness_aws.clock.forward(seconds=10)
    assert earwitness_aws.wait_for_event("IdentificationNoMatchesFound", task_id=task)


def enrolled(earwitness_aws, callers, stream, name):
    """A voice profile, made of a call of somebody unknown."""
    earwitness_aws.script(no_match(), stream=stream)
    task = callers.answer(stream, name)
    earwitness_aws.wait_for_task(task)
    return callers.enrol(task, name)


def test_two_voices_that_are_alike_are_asked(earwitness_aws, callers, stream):
    anna, hannah = (enrolled(earwitness_aws, callers, stream, name) for name in ("Anna", "Hannah"))
    earwitness_aws.script(ambiguous(anna, hannah), caller=ANNA)
    task = callers.answer(stream, ANNA)
    callers.handle(earwitness_aws.wait_for_event("IdentificationSuccessful", task_id=task))
    assert callers.on_the_line[task] == "perhaps Anna or Hannah: ask"


def test_a_caller_who_is_prompted_by_somebody(earwitness_aws, callers, stream):
    anna = enrolled(earwitness_aws, callers, stream, "Anna")
    earwitness_aws.script(several_voices(match(anna), no_match()), caller=ANNA)
    task = callers.answer(stream, ANNA)
    assert earwitness_aws.wait_for_task(task)["identification"]["outcome"] == "several voices"


def test_nothing_is_shown_while_speech_is_missing(earwitness_aws, callers, stream):
    earwitness_aws.script(listening(speech_seconds=6))
    task = callers.answer(stream, ANNA)
    for event in earwitness_aws.events(task_id=task):
        callers.handle(event)
    assert task not in callers.on_the_line
    callers.pipelines.delete_media_pipeline(MediaPipelineId=earwitness_aws.task(task)["pipelineId"])  # the caller left
    callers.handle(earwitness_aws.wait_for_event("IdentificationFailure", task_id=task))
    assert callers.on_the_line[task].startswith("no answer: only 6.0 s of speech")


def test_too_little_speech_is_no_answer(earwitness_aws, callers, stream):
    earwitness_aws.script(inconclusive(speech_seconds=3))
    task = callers.answer(stream, ANNA)
    callers.handle(earwitness_aws.wait_for_event("IdentificationFailure", task_id=task))
    assert callers.on_the_line[task].startswith("no answer: only 3.0 s of speech")


def test_a_task_that_fails_says_why(earwitness_aws, callers, stream):
    earwitness_aws.script(failure("the stream broke off"))
    task = callers.answer(stream, ANNA)
    assert earwitness_aws.wait_for_task(task)["statusMessage"] == "the stream broke off"


def test_who_agrees_a_day_too_late_must_call_again(earwitness_aws, callers, stream):
    earwitness_aws.script(no_match())
    task = callers.answer(stream, ANNA)
    earwitness_aws.wait_for_task(task)
    earwitness_aws.clock.forward(hours=24)
    with pytest.raises(ClientError) as refused:
        callers.enrol(task, "Anna")
    assert refused.value.response["Error"]["Code"] == "GoneException"


def test_boto3_tries_again_where_the_service_is_away_for_a_moment(earwitness_aws, callers, stream):
    earwitness_aws.script(no_match())
    earwitness_aws.fail("StartSpeakerSearchTask", "ServiceUnavailableException", times=1)
    assert callers.answer(stream, ANNA)


def test_a_throttled_call_is_not_tried_again(earwitness_aws, callers, stream):
    earwitness_aws.fail("StartSpeakerSearchTask", "ThrottledClientException")
    with pytest.raises(ClientError, match="ThrottledClientException"):
        callers.answer(stream, ANNA)


@pytest.mark.parametrize("wrapped", [lambda event: event, events.in_sqs])
def test_the_function_by_itself(callers, wrapped):
    """No task at all: only the body that Lambda would hand over."""
    callers.names["vp-1"] = "Anna"
    event = events.speaker_search_status("IdentificationSuccessful", profiles={"vp-1": 0.7})
    callers.handle(wrapped(event))
    assert callers.on_the_line[event["detail"]["taskId"]] == "perhaps Anna: ask"
