"""Consents over AWS's API, through botocore: by metadata of pipelines and tags, as ForbiddenException where missing."""

from typing import Any

import pytest
from api_world import MINE, World, exceptions

from earwitness.api.operations import PIPELINES, VOICE

LIVE = "KinesisVideoStreamSourceRuntimeConfiguration"
REQUIRED = [{"Key": "earwitness:consent:required", "Value": "search"}]
WHOLE = {
    "earwitness:consent:subject": "customer 4711",
    "earwitness:consent:text-version": "2026-01",
    "earwitness:consent:given-at": "2025-12-31T08:00:00Z",
    "earwitness:consent:medium": "phone",
    "earwitness:consent:evidence": "call 17",
    "earwitness:consent:purpose": "to know callers",
}


def _pipeline(world: World, metadata: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    configuration = world.make_configuration(f"c{len(world.changed)}-{id(metadata)}")
    stream = world.make_stream(f"s-{id(metadata)}")
    given = {} if metadata is None else {"MediaInsightsRuntimeMetadata": metadata}
    return world.make_pipeline(configuration["MediaInsightsPipelineConfigurationArn"], stream, **given, **more)


def test_a_domain_that_requires_consents_refuses_calls_of_nobody_and_of_strangers(world: World) -> None:
    domain = world.make_domain(Tags=REQUIRED)["VoiceProfileDomainArn"]
    errors = exceptions(PIPELINES)
    for metadata, why in ((None, "names no subject"), ({"earwitness:consent:subject": "customer 1"}, "none of this")):
        made = _pipeline(world, metadata)
        with pytest.raises(errors.ForbiddenException, match=why):
            world.start_task(made["MediaPipelineId"], domain)
    newest = world.audit()[0]
    assert (newest.operation, newest.outcome) == ("StartSpeakerSearchTask", "ForbiddenException")


def test_a_consent_in_metadata_is_recorded_and_reaches_the_profile(world: World) -> None:
    domain = world.make_domain(Tags=REQUIRED)
    made = _pipeline(world, WHOLE)
    task_id = world.start_task(made["MediaPipelineId"], domain["VoiceProfileDomainArn"])
    world.end_task(task_id, with_voiceprint=True)
    profile = world.call(VOICE, "CreateVoiceProfile", SpeakerSearchTaskId=task_id)["VoiceProfile"]
    (consent,) = world.store.consents.of_profile(MINE, profile["VoiceProfileId"])
    assert (consent.terms.subject, consent.terms.evidence) == ("customer 4711", "call 17")
    again = world.start_task(made["MediaPipelineId"], domain["VoiceProfileDomainArn"])
    world.end_task(again, with_voiceprint=True)
    ids = {"VoiceProfileId": profile["VoiceProfileId"], "SpeakerSearchTaskId": again}
    world.call(VOICE, "UpdateVoiceProfile", **ids)
    (same,) = world.store.consents.of_profile(MINE, profile["VoiceProfileId"])
    assert same == consent


def test_a_profile_of_a_task_without_a_subject_is_refused(world: World) -> None:
    domain = world.make_domain(Tags=[{**REQUIRED[0], "Value": "enrolment"}])
    task_id = world.start_task(_pipeline(world)["MediaPipelineId"], domain["VoiceProfileDomainArn"])
    world.end_task(task_id, with_voiceprint=True)
    errors = exceptions(VOICE)
    with pytest.raises(errors.ForbiddenException, match="names a subject"):
        world.call(VOICE, "CreateVoiceProfile", SpeakerSearchTaskId=task_id)
    profile = world.make_profile(domain["VoiceProfileDomainId"])
    with pytest.raises(errors.ForbiddenException, match="names a subject"):
        world.call(VOICE, "UpdateVoiceProfile", VoiceProfileId=profile.profile_id, SpeakerSearchTaskId=task_id)


def test_a_tag_of_the_pipeline_names_a_recorded_consent(world: World) -> None:
    domain = world.make_domain(Tags=REQUIRED)
    first = _pipeline(world, WHOLE)
    world.end_task(world.start_task(first["MediaPipelineId"], domain["VoiceProfileDomainArn"]))
    (consent,) = world.store.consents.of_subject(MINE, world.store.subject_digest(MINE, "customer 4711"))
    made = _pipeline(world, {}, Tags=[{"Key": "earwitness:consent:id", "Value": consent.consent_id}])
    world.start_task(made["MediaPipelineId"], domain["VoiceProfileDomainArn"])


def test_what_a_pipeline_or_tags_say_wrongly_is_refused_at_once(world: World) -> None:
    errors = exceptions(PIPELINES)
    with pytest.raises(errors.BadRequestException, match="not known"):
        _pipeline(world, {"earwitness:consent:subjekt": "customer 1"})
    with pytest.raises(errors.BadRequestException, match="tags lie in clear"):
        _pipeline(world, {}, Tags=[{"Key": "earwitness:consent:subject", "Value": "customer 1"}])
    with pytest.raises(exceptions(VOICE).BadRequestException, match="must be none, enrolment, search"):
        world.make_domain(Tags=[{**REQUIRED[0], "Value": "yes"}])


def test_operators_cannot_loosen_a_domain_by_its_tags(world: World) -> None:
    domain = world.make_domain(Tags=REQUIRED)["VoiceProfileDomainArn"]
    errors = exceptions(VOICE)
    with pytest.raises(errors.BadRequestException, match="earwitness consent require"):
        world.call(VOICE, "TagResource", ResourceARN=domain, Tags=[{**REQUIRED[0], "Value": "none"}])
    with pytest.raises(errors.BadRequestException, match="earwitness consent require"):
        world.call(VOICE, "UntagResource", ResourceARN=domain, TagKeys=[REQUIRED[0]["Key"]])
