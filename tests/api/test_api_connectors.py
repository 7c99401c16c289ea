"""Voice Connectors, their streaming configuration, and speaker search tasks on their calls, as boto3 sees them."""

from typing import Any

import pytest
from api_calls import make_call, make_resources
from api_world import MINE, OTHER_ACCOUNT, PIPELINES, REGION, VOICE, World, exceptions, key_of

from earwitness.access.roles import Role
from earwitness.config.limits import Quotas
from earwitness.store.store import Unit
from earwitness.voice.connector import CallLeg, CallStatus
from earwitness.voice.task_status import TaskStatus

ERRORS = exceptions(VOICE)
UNKNOWN = "a" * 22


def _streaming(arn: str | None = None, **more: Any) -> dict[str, Any]:
    insights = {} if arn is None else {"MediaInsightsConfiguration": {"Disabled": False, "ConfigurationArn": arn}}
    targets = [{"NotificationTarget": "EventBridge"}, {"NotificationTarget": "SQS"}]
    return {"DataRetentionInHours": 1, "Disabled": False, "StreamingNotificationTargets": targets, **insights, **more}


def _put(world: World, connector_id: str, configuration: dict[str, Any]) -> Any:
    return world.call(
        VOICE,
        "PutVoiceConnectorStreamingConfiguration",
        VoiceConnectorId=connector_id,
        StreamingConfiguration=configuration,
    )["StreamingConfiguration"]


def _start(world: World, connector_id: str, transaction_id: str, domain_id: str, **more: Any) -> dict[str, Any]:
    params = {"VoiceConnectorId": connector_id, "TransactionId": transaction_id, "VoiceProfileDomainId": domain_id}
    return world.call(VOICE, "StartSpeakerSearchTask", **params, **more)["SpeakerSearchTask"]


def _get(world: World, connector_id: str, task_id: str) -> dict[str, Any]:
    params = {"VoiceConnectorId": connector_id, "SpeakerSearchTaskId": task_id}
    return world.call(VOICE, "GetSpeakerSearchTask", **params)["SpeakerSearchTask"]


def _stop(world: World, connector_id: str, task_id: str) -> None:
    world.call(VOICE, "StopSpeakerSearchTask", VoiceConnectorId=connector_id, SpeakerSearchTaskId=task_id)


def test_a_connectors_life(world: World) -> None:
    made = world.make_connector("trunk", AwsRegion="us-west-2", Tags=[{"Key": "team", "Value": "fraud"}])
    connector_id, arn = made["VoiceConnectorId"], made["VoiceConnectorArn"]
    assert arn == f"arn:aws:chime:{REGION}:{MINE.account_id}:vc/{connector_id}"
    assert len(connector_id) == 22
    assert (made["Name"], made["AwsRegion"], made["RequireEncryption"]) == ("trunk", "us-west-2", False)
    assert world.call(VOICE, "ListTagsForResource", ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "fraud"}]
    changed = world.call(
        VOICE, "UpdateVoiceConnector", VoiceConnectorId=connector_id, Name="other", RequireEncryption=True
    )["VoiceConnector"]
    found = world.call(VOICE, "GetVoiceConnector", VoiceConnectorId=connector_id)["VoiceConnector"]
    assert found == changed
    assert (found["Name"], found["AwsRegion"], found["RequireEncryption"]) == ("other", "us-west-2", True)
    assert world.call(VOICE, "ListVoiceConnectors")["VoiceConnectors"] == [found]
    world.call(VOICE, "DeleteVoiceConnector", VoiceConnectorId=connector_id)
    for operation in ("GetVoiceConnector", "DeleteVoiceConnector", "GetVoiceConnectorStreamingConfiguration"):
        with pytest.raises(ERRORS.NotFoundException):
            world.call(VOICE, operation, VoiceConnectorId=connector_id)
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "ListTagsForResource", ResourceARN=arn)


def test_connectors_have_a_quota(make_world: Any) -> None:
    world = make_world(quotas=Quotas(voice_connectors=1))
    world.make_connector("one")
    with pytest.raises(ERRORS.ResourceLimitExceededException):
        world.make_connector("two")


def test_a_streaming_configuration_is_kept_as_it_was_sent(world: World) -> None:
    connector_id = world.make_connector()["VoiceConnectorId"]
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "GetVoiceConnectorStreamingConfiguration", VoiceConnectorId=connector_id)
    sent = _streaming(world.make_configuration()["MediaInsightsPipelineConfigurationArn"])
    assert _put(world, connector_id, sent) == sent
    get = {"VoiceConnectorId": connector_id}
    assert world.call(VOICE, "GetVoiceConnectorStreamingConfiguration", **get)["StreamingConfiguration"] == sent
    world.call(VOICE, "DeleteVoiceConnectorStreamingConfiguration", **get)
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "GetVoiceConnectorStreamingConfiguration", **get)


def test_a_streaming_configuration_that_could_not_work(world: World) -> None:
    connector_id = world.make_connector()["VoiceConnectorId"]
    silent = world.make_configuration("silent", {"Type": "VoiceAnalyticsProcessor"})
    arn = silent["MediaInsightsPipelineConfigurationArn"]
    twice = [{"NotificationTarget": "SNS"}] * 2
    for bad in (
        _streaming(DataRetentionInHours=87_601),
        _streaming(StreamingNotificationTargets=twice),
        _streaming(StreamingNotificationTargets=[{}]),
        _streaming(MediaInsightsConfiguration={"Disabled": False}),
        _streaming(arn),
    ):
        with pytest.raises(ERRORS.BadRequestException):
            _put(world, connector_id, bad)
    with pytest.raises(ERRORS.NotFoundException):
        _put(world, connector_id, _streaming(arn + "x"))
    with pytest.raises(ERRORS.NotFoundException):
        _put(world, UNKNOWN, _streaming())


def test_a_task_on_a_call_has_two_faces(world: World) -> None:
    made = make_resources(world)
    call = make_call(world, made.connector_id, made.configuration, "two faces")
    started = _start(world, made.connector_id, call.transaction_id, made.domain_id, CallLeg="Callee")
    assert started["SpeakerSearchTaskStatus"] == "IN_QUEUE"
    assert started["CallDetails"] == {
        "VoiceConnectorId": made.connector_id,
        "TransactionId": call.transaction_id,
        "IsCaller": False,
    }
    assert "SpeakerSearchDetails" not in started
    task_id = started["SpeakerSearchTaskId"]
    other_face = world.call(PIPELINES, "GetSpeakerSearchTask", Identifier=call.pipeline_id, SpeakerSearchTaskId=task_id)
    assert other_face["SpeakerSearchTask"]["SpeakerSearchTaskStatus"] == "NotStarted"
    result = {
        "outcome": "match",
        "threshold": {"score": 0.5},
        "candidates": [_candidate("vp-1"), _candidate("vp-2", 0.4)],
    }

    def hear(unit: Unit) -> None:
        unit.attempts.adopt(MINE, task_id)
        unit.attempts.conclude_identification(MINE, task_id, attempt=1, identification=result)

    world.store.write(hear)
    found = _get(world, made.connector_id, task_id)
    assert found["SpeakerSearchTaskStatus"] == "PARTIAL_SUCCESS"
    assert found["SpeakerSearchDetails"] == {"Results": [{"VoiceProfileId": "vp-1", "ConfidenceScore": 0.9}]}
    for leg in CallLeg:
        with pytest.raises(ERRORS.ResourceLimitExceededException):
            _start(world, made.connector_id, call.transaction_id, made.domain_id, CallLeg=leg.value)
    world.end_task(task_id, with_voiceprint=True)
    found = _get(world, made.connector_id, task_id)
    assert found["SpeakerSearchTaskStatus"] == "SUCCEEDED"
    assert found["SpeakerSearchDetails"]["VoiceprintGenerationStatus"] == "VoiceprintGenerationSuccess"
    with pytest.raises(ERRORS.UnprocessableEntityException):
        _stop(world, made.connector_id, task_id)
    again = _start(world, made.connector_id, call.transaction_id, made.domain_id)
    assert again["CallDetails"]["IsCaller"] is True
    _stop(world, made.connector_id, again["SpeakerSearchTaskId"])
    world.end_task(again["SpeakerSearchTaskId"])
    assert _get(world, made.connector_id, again["SpeakerSearchTaskId"])["SpeakerSearchTaskStatus"] == "STOPPED"


def _candidate(profile_id: str, score: float = 0.8) -> dict[str, Any]:
    return {"profile_id": profile_id, "score": score, "confidence": 0.9}


def test_a_pause_does_not_stop_a_task_of_a_call(world: World) -> None:
    made = make_resources(world)
    call = make_call(world, made.connector_id, made.configuration, "paused")
    task_id = _start(world, made.connector_id, call.transaction_id, made.domain_id)["SpeakerSearchTaskId"]
    world.call(PIPELINES, "UpdateMediaInsightsPipelineStatus", Identifier=call.pipeline_id, UpdateStatus="Pause")
    task = world.store.tasks.get(MINE, task_id)
    assert task is not None
    assert task.status is TaskStatus.NOT_STARTED
    _stop(world, made.connector_id, task_id)
    world.end_task(task_id)
    with pytest.raises(ERRORS.ConflictException):
        _start(world, made.connector_id, call.transaction_id, made.domain_id)


def test_what_cannot_be_heard(world: World) -> None:
    made = make_resources(world)
    call = make_call(world, made.connector_id, made.configuration, "one leg", legs=(CallLeg.CALLEE,))
    start = (made.connector_id, call.transaction_id)
    with pytest.raises(ERRORS.UnprocessableEntityException, match="no audio of its caller"):
        _start(world, *start, made.domain_id)
    with pytest.raises(ERRORS.NotFoundException):
        _start(world, *start, "vpd-nobody", CallLeg="Callee")
    with pytest.raises(ERRORS.NotFoundException):
        _start(world, made.connector_id, "nobody", made.domain_id)
    with pytest.raises(ERRORS.NotFoundException):
        _start(world, UNKNOWN, call.transaction_id, made.domain_id)
    with pytest.raises(ERRORS.NotFoundException):
        _start(world, made.idle_connector_id, call.transaction_id, made.domain_id)
    for connector_id, task_id in ((made.connector_id, made.task_id), (made.idle_connector_id, made.call_task_id)):
        with pytest.raises(ERRORS.NotFoundException):
            _get(world, connector_id, task_id)
        with pytest.raises(ERRORS.NotFoundException):
            _stop(world, connector_id, task_id)
    bare = make_call(world, made.connector_id, None, "bare")
    with pytest.raises(ERRORS.UnprocessableEntityException, match="no voice analytics"):
        _start(world, made.connector_id, bare.transaction_id, made.domain_id)

    def end(unit: Unit) -> None:
        locked = unit.connector_calls.lock_active(MINE, call.transaction_id)
        assert locked is not None
        unit.connector_calls.end(locked, status=CallStatus.ENDED, reason="hung up")

    world.store.write(end)
    with pytest.raises(ERRORS.GoneException):
        _start(world, *start, made.domain_id, CallLeg="Callee")


def test_another_account_sees_none_of_it(world: World) -> None:
    made = make_resources(world)
    theirs = key_of(Role.ADMIN, OTHER_ACCOUNT)
    assert world.call(VOICE, "ListVoiceConnectors", key_id=theirs)["VoiceConnectors"] == []
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "GetVoiceConnector", key_id=theirs, VoiceConnectorId=made.connector_id)
    with pytest.raises(ERRORS.NotFoundException):
        world.call(
            VOICE,
            "GetSpeakerSearchTask",
            key_id=theirs,
            VoiceConnectorId=made.connector_id,
            SpeakerSearchTaskId=made.call_task_id,
        )


def test_a_connector_with_a_call_in_progress_is_not_deleted(world: World) -> None:
    made = make_resources(world)
    with pytest.raises(ERRORS.ConflictException):
        world.call(VOICE, "DeleteVoiceConnector", VoiceConnectorId=made.connector_id)
