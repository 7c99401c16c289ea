"""Speaker search tasks through botocore, without a worker: what may be started, on what, and how it is told."""

from collections.abc import Callable
from typing import Any

import pytest
from api_world import MINE, VOICE_ELEMENT, World, exceptions, live_source

from earwitness.api.operations import PIPELINES
from earwitness.config.limits import Quotas

ERRORS = exceptions(PIPELINES)
NOBODY = "01234567-89ab-cdef-0123-456789abcdef"
LIVE = "KinesisVideoStreamSourceRuntimeConfiguration"


def pipeline(world: World, name: str = "caller", *, channels: int = 1, element: Any = VOICE_ELEMENT) -> dict[str, Any]:
    configuration = world.make_configuration(name, element)["MediaInsightsPipelineConfigurationArn"]
    source = live_source(world.make_stream(name), channels=channels)
    source["Streams"][0]["FragmentNumber"] = "7"
    return world.make_pipeline(configuration, **{LIVE: source})


def start(world: World, on: str, domain: str, **more: Any) -> dict[str, Any]:
    answer = world.call(PIPELINES, "StartSpeakerSearchTask", Identifier=on, VoiceProfileDomainArn=domain, **more)
    return answer["SpeakerSearchTask"]


def get(world: World, on: str, task_id: str) -> dict[str, Any]:
    answer = world.call(PIPELINES, "GetSpeakerSearchTask", Identifier=on, SpeakerSearchTaskId=task_id)
    return answer["SpeakerSearchTask"]


def stop(world: World, on: str, task_id: str) -> None:
    world.call(PIPELINES, "StopSpeakerSearchTask", Identifier=on, SpeakerSearchTaskId=task_id)


def of_channel(made: dict[str, Any], channel: int, **more: str) -> dict[str, Any]:
    arn = made[LIVE]["Streams"][0]["StreamArn"]
    return {"KinesisVideoStreamSourceTaskConfiguration": {"StreamArn": arn, "ChannelId": channel, **more}}


@pytest.fixture
def domain(world: World) -> str:
    return world.make_domain()["VoiceProfileDomainArn"]


def test_a_task_from_start_to_stop(world: World, domain: str) -> None:
    made = pipeline(world)
    arn, pipeline_id = made["MediaPipelineArn"], made["MediaPipelineId"]
    task = start(world, arn, domain)
    assert set(task) == {"SpeakerSearchTaskId", "SpeakerSearchTaskStatus", "CreatedTimestamp", "UpdatedTimestamp"}
    assert task["SpeakerSearchTaskStatus"] == "NotStarted"
    task_id = task["SpeakerSearchTaskId"]
    assert get(world, arn, task_id) == get(world, pipeline_id, task_id) == task
    state = world.call(PIPELINES, "GetMediaPipeline", MediaPipelineId=pipeline_id)["MediaPipeline"]
    assert state["MediaInsightsPipeline"]["Status"] == "Initializing"
    for _ in range(2):  # a repeated stop is no error
        stop(world, pipeline_id, task_id)
        assert get(world, arn, task_id)["SpeakerSearchTaskStatus"] == "Stopping"
    world.end_task(task_id)
    assert get(world, arn, task_id)["SpeakerSearchTaskStatus"] == "Stopped"
    with pytest.raises(ERRORS.ConflictException):
        stop(world, arn, task_id)
    operations = [(entry.operation, entry.resource_arn) for entry in world.audit()[:3]]
    assert operations[-1] == ("StartSpeakerSearchTask", f"{arn}/{task_id}")
    assert {operation for operation, _ in operations[:2]} == {"StopSpeakerSearchTask"}


def test_a_task_belongs_to_its_pipeline(world: World, domain: str) -> None:
    one, other = pipeline(world, "one")["MediaPipelineId"], pipeline(world, "other")["MediaPipelineId"]
    task_id = start(world, one, domain)["SpeakerSearchTaskId"]
    for call in (get, stop):
        for on, which in ((other, task_id), (one, NOBODY), (NOBODY, task_id)):
            with pytest.raises(ERRORS.NotFoundException):
                call(world, on, which)
    assert get(world, one, task_id)["SpeakerSearchTaskStatus"] == "NotStarted"


def test_which_channel_a_task_hears(world: World, domain: str) -> None:
    made = pipeline(world, channels=2)
    on = made["MediaPipelineId"]
    with pytest.raises(ERRORS.BadRequestException, match="several channels"):
        start(world, on, domain)
    foreign = of_channel(pipeline(world, "another"), 0)
    with pytest.raises(ERRORS.BadRequestException, match="not of this pipeline"):
        start(world, on, domain, **foreign)
    first = start(world, on, domain, **of_channel(made, 0))
    second = start(world, on, domain, **of_channel(made, 1, FragmentNumber="9"))
    kept = [world.store.tasks.get(MINE, task["SpeakerSearchTaskId"]) for task in (first, second)]
    assert [(task.channel_id, task.start_fragment_number) for task in kept if task] == [(0, "7"), (1, "9")]
    with pytest.raises(ERRORS.ConflictException, match="stop it first"):
        start(world, on, domain, **of_channel(made, 0))
    stop(world, on, first["SpeakerSearchTaskId"])
    world.end_task(first["SpeakerSearchTaskId"])
    start(world, on, domain, **of_channel(made, 0))


def test_a_channel_of_a_mono_stream_is_a_label(world: World, domain: str) -> None:
    made = pipeline(world)
    with pytest.raises(ERRORS.BadRequestException, match="not of this pipeline"):
        start(world, made["MediaPipelineId"], domain, **of_channel(made, 1))


DISABLED = {
    "Type": "VoiceAnalyticsProcessor",
    "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Disabled"},
}


@pytest.mark.parametrize(
    "element", [DISABLED, {"Type": "VoiceAnalyticsProcessor"}, {"Type": "AmazonTranscribeProcessor"}]
)
def test_pipelines_that_search_for_nobody(world: World, domain: str, element: dict[str, Any]) -> None:
    made = pipeline(world, element=element)
    with pytest.raises(ERRORS.BadRequestException, match="SpeakerSearchStatus Enabled"):
        start(world, made["MediaPipelineId"], domain)


def test_what_a_task_is_started_on_must_exist(world: World, domain: str) -> None:
    made = pipeline(world)
    with pytest.raises(ERRORS.NotFoundException, match="pipeline"):
        start(world, NOBODY, domain)
    with pytest.raises(ERRORS.NotFoundException, match="domain"):
        start(world, made["MediaPipelineId"], domain + "x")


def test_pipelines_that_take_no_tasks(world: World, domain: str) -> None:
    on = pipeline(world)["MediaPipelineId"]
    world.call(PIPELINES, "UpdateMediaInsightsPipelineStatus", Identifier=on, UpdateStatus="Pause")
    with pytest.raises(ERRORS.ConflictException, match="the pipeline is Paused and takes no tasks"):
        start(world, on, domain)
    world.call(PIPELINES, "UpdateMediaInsightsPipelineStatus", Identifier=on, UpdateStatus="Resume")
    task_id = start(world, on, domain)["SpeakerSearchTaskId"]
    world.call(PIPELINES, "DeleteMediaPipeline", MediaPipelineId=on)
    assert get(world, on, task_id)["SpeakerSearchTaskStatus"] == "Stopping"
    with pytest.raises(ERRORS.ConflictException, match="the pipeline is Stopping and takes no tasks"):
        start(world, on, domain)


def test_a_pause_stops_the_tasks(world: World, domain: str) -> None:
    on = pipeline(world)["MediaPipelineId"]
    task_id = start(world, on, domain)["SpeakerSearchTaskId"]
    world.call(PIPELINES, "UpdateMediaInsightsPipelineStatus", Identifier=on, UpdateStatus="Pause")
    world.call(PIPELINES, "UpdateMediaInsightsPipelineStatus", Identifier=on, UpdateStatus="Resume")
    assert get(world, on, task_id)["SpeakerSearchTaskStatus"] == "Stopping"
    assert world.changed == [on, on]


def test_a_token_starts_one_task_on_each_pipeline(world: World, domain: str) -> None:
    one, other = pipeline(world, "one"), pipeline(world, "other")
    token = {"ClientRequestToken": "call-1"}
    task = start(world, one["MediaPipelineId"], domain, **token)
    assert start(world, one["MediaPipelineId"], domain, **token) == task
    assert start(world, other["MediaPipelineId"], domain, **token) != task
    with pytest.raises(ERRORS.ConflictException, match="ClientRequestToken"):
        start(world, one["MediaPipelineId"], domain, **token, **of_channel(one, 0))


def test_only_active_tasks_count(make_world: Callable[..., World]) -> None:
    world = make_world(quotas=Quotas(active_tasks=1))
    made, domain = pipeline(world, channels=2), world.make_domain()["VoiceProfileDomainArn"]
    on = made["MediaPipelineId"]
    task_id = start(world, on, domain, **of_channel(made, 0))["SpeakerSearchTaskId"]
    with pytest.raises(ERRORS.ResourceLimitExceededException):
        start(world, on, domain, **of_channel(made, 1))
    world.end_task(task_id)
    start(world, on, domain, **of_channel(made, 1))
