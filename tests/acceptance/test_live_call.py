"""Who is calling: from the first fragment of a call to its name, through a real service and AWS's own client."""

import re
from collections.abc import Iterator
from datetime import datetime

import pytest
from calls import ENDED, Application, pcm, silence
from serving import Served

from earwitness.samples import first_call, second_call
from patience import until

pytestmark = pytest.mark.slow

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def app(served: Served, request: pytest.FixtureRequest) -> Iterator[Application]:
    application = Application(served, re.sub(r"\W", "-", request.node.name)[:60])
    yield application
    application.close()


def test_a_stranger_is_enrolled_and_named_and_another_is_refused(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")

    task, (unknown, printed) = app.call(first_call("sally"), stream=stream, domain=domain)
    assert unknown["detailStatus"] == "IdentificationNoMatchesFound"
    assert unknown["speakerSearchDetails"]["results"] == []
    assert printed["detailStatus"] == "VoiceprintGenerationSuccess"
    assert (printed["streamArn"], printed["channelId"]) == (stream, 0)
    profile = app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]
    assert profile["VoiceProfileDomainId"] in domain

    _, (named, _) = app.call(second_call("sally"), stream=stream, domain=domain)
    assert named["detailStatus"] == "IdentificationSuccessful"
    (result,) = named["speakerSearchDetails"]["results"]
    assert result["voiceProfileId"] == profile["VoiceProfileId"]
    assert re.fullmatch(r"[01]\.\d{8}", result["confidenceScore"])
    assert float(result["confidenceScore"]) > 0.9

    _, (refused, _) = app.call(second_call("russell"), stream=stream, domain=domain)
    assert refused["detailStatus"] == "IdentificationNoMatchesFound"


def test_a_task_is_described_in_the_shape_of_aws_to_the_letter(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    answer = app.pipelines.start_speaker_search_task(Identifier=pipeline, VoiceProfileDomainArn=domain)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    started = answer["SpeakerSearchTask"]
    seen = [started["SpeakerSearchTaskStatus"]]
    task = started["SpeakerSearchTaskId"]

    def described() -> str:
        now = app.task(pipeline, task)
        assert set(now) == {
            "SpeakerSearchTaskId",
            "SpeakerSearchTaskStatus",
            "CreatedTimestamp",
            "UpdatedTimestamp",
        }
        assert isinstance(now["CreatedTimestamp"], datetime)
        assert isinstance(now["UpdatedTimestamp"], datetime)
        assert now["CreatedTimestamp"] == started["CreatedTimestamp"] <= now["UpdatedTimestamp"]
        if now["SpeakerSearchTaskStatus"] != seen[-1]:
            seen.append(now["SpeakerSearchTaskStatus"])
        return seen[-1]

    until(lambda: described() == "Initializing")
    app.send(silence(2.0), stream)
    until(lambda: described() == "InProgress")
    app.send(first_call("kal"), stream)
    until(lambda: described() in ENDED)
    assert seen == ["NotStarted", "Initializing", "InProgress", "Stopped"]
    assert app.pipeline_status(pipeline) == "InProgress"  # a pipeline outlives its tasks


def test_a_stop_is_honoured_and_nothing_is_told(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    app.send(pcm(first_call("kal"), seconds=6.0), stream)
    until(lambda: app.status(pipeline, task) == "InProgress")
    answer = app.pipelines.stop_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    until(lambda: app.status(pipeline, task) == "Stopped")
    with pytest.raises(app.pipelines.exceptions.ConflictException):
        app.pipelines.stop_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
    with pytest.raises(app.voice.exceptions.NotFoundException):  # stopped before its voiceprint
        app.voice.create_voice_profile(SpeakerSearchTaskId=task)
    assert app.results(task) == []


def test_a_pause_stops_tasks_and_a_resume_does_not_bring_them_back(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    app.send(pcm(first_call("kal"), seconds=5.0), stream)
    until(lambda: app.status(pipeline, task) == "InProgress")
    app.pipelines.update_media_insights_pipeline_status(Identifier=pipeline, UpdateStatus="Pause")
    until(lambda: app.status(pipeline, task) == "Stopped")
    assert app.pipeline_status(pipeline) == "Paused"
    with pytest.raises(app.pipelines.exceptions.ConflictException):
        app.start(pipeline, domain)
    app.pipelines.update_media_insights_pipeline_status(Identifier=pipeline, UpdateStatus="Resume")
    app.send(first_call("kal"), stream)
    assert app.status(pipeline, task) == "Stopped"
    assert app.results(task) == []
    again = app.start(pipeline, domain)
    app.send(first_call("kal"), stream)
    until(lambda: len(app.results(again)) == 2)


def test_a_deleted_pipeline_tells_what_is_missing(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    app.send(pcm(first_call("kal"), seconds=6.0), stream)
    until(lambda: app.status(pipeline, task) == "InProgress")
    app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    until(lambda: app.pipeline_status(pipeline) == "Stopped")
    until(lambda: len(app.results(task)) == 2)
    assert app.status(pipeline, task) == "Stopped"
    identification, voiceprint = app.results(task)
    assert identification["detailStatus"] == "IdentificationFailure"
    assert voiceprint["detailStatus"] == "VoiceprintGenerationFailure"
    said = re.fullmatch(r"only (\d\.\d) s of speech were heard .* and 10 s are needed", identification["statusMessage"])
    assert said
    assert 1.0 < float(said[1]) < 6.0
    assert "20 s are needed" in voiceprint["statusMessage"]
    app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)  # again is fine
    with pytest.raises(app.pipelines.exceptions.ConflictException):
        app.start(pipeline, domain)


def test_what_came_before_a_deletion_is_still_heard(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    app.send(pcm(second_call("kal"), seconds=14.0), stream)
    app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    until(lambda: len(app.results(task)) == 2)
    identification, voiceprint = app.results(task)
    assert identification["detailStatus"] == "IdentificationNoMatchesFound"
    assert voiceprint["detailStatus"] == "VoiceprintGenerationFailure"


def test_one_channel_is_searched_once_in_each_domain(app: Application) -> None:
    stream, one, other = app.stream("line"), app.domain("one"), app.domain("other")
    pipeline = app.pipeline(stream)
    tasks = [app.start(pipeline, one), app.start(pipeline, other)]
    with pytest.raises(app.pipelines.exceptions.ConflictException):
        app.start(pipeline, one)
    app.send(first_call("fiona"), stream)
    for task in tasks:
        until(lambda task=task: len(app.results(task)) == 2)
        assert [one["detailStatus"] for one in app.results(task)] == [
            "IdentificationNoMatchesFound",
            "VoiceprintGenerationSuccess",
        ]
    profile = app.voice.create_voice_profile(SpeakerSearchTaskId=tasks[0])["VoiceProfile"]["VoiceProfileId"]
    with pytest.raises(app.voice.exceptions.ConflictException):
        app.voice.create_voice_profile(SpeakerSearchTaskId=tasks[0])
    app.voice.update_voice_profile(VoiceProfileId=profile, SpeakerSearchTaskId=tasks[0])
    with pytest.raises(app.voice.exceptions.BadRequestException):
        app.voice.update_voice_profile(VoiceProfileId=profile, SpeakerSearchTaskId=tasks[1])
    third = app.start(pipeline, one)  # the first has ended
    assert third not in tasks


def test_a_profile_before_its_voiceprint_is_a_conflict(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    task = app.start(app.pipeline(stream), domain)
    with pytest.raises(app.voice.exceptions.ConflictException):
        app.voice.create_voice_profile(SpeakerSearchTaskId=task)
    with pytest.raises(app.voice.exceptions.NotFoundException):
        app.voice.create_voice_profile(SpeakerSearchTaskId=NOBODY)


def test_a_domain_deleted_under_a_task_fails_it(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    app.send(pcm(first_call("kal"), seconds=5.0), stream)
    until(lambda: app.status(pipeline, task) == "InProgress")
    app.voice.delete_voice_profile_domain(VoiceProfileDomainId=domain.rsplit("/", 1)[1])
    until(lambda: app.status(pipeline, task) == "Failed")
    until(lambda: len(app.results(task)) == 2)
    assert [one["statusMessage"] for one in app.results(task)] == ["the voice profile domain was deleted"] * 2
    with pytest.raises(app.voice.exceptions.NotFoundException):
        app.voice.create_voice_profile(SpeakerSearchTaskId=task)
    with pytest.raises(app.pipelines.exceptions.NotFoundException):
        app.start(pipeline, domain)


def test_a_stream_deleted_under_a_task_fails_it(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    task = app.start(pipeline, domain)
    app.send(pcm(first_call("kal"), seconds=5.0), stream)
    until(lambda: app.status(pipeline, task) == "InProgress")
    app.kinesis.delete_stream(StreamARN=stream)
    until(lambda: app.status(pipeline, task) == "Failed")
    until(lambda: len(app.results(task)) == 2)
    assert {one["detailStatus"] for one in app.results(task)} == {
        "IdentificationFailure",
        "VoiceprintGenerationFailure",
    }
    assert all("stream was deleted" in one["statusMessage"] for one in app.results(task))


def test_unknown_ids_are_not_found(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline, other = app.pipeline(stream), app.pipeline(app.stream("other"))
    task = app.start(pipeline, domain)
    not_found = app.pipelines.exceptions.NotFoundException
    for ids in ((pipeline, NOBODY), (NOBODY, task), (other, task)):
        names = dict(zip(("Identifier", "SpeakerSearchTaskId"), ids, strict=True))
        with pytest.raises(not_found):
            app.pipelines.get_speaker_search_task(**names)
        with pytest.raises(not_found):
            app.pipelines.stop_speaker_search_task(**names)
    with pytest.raises(not_found):
        app.start(NOBODY, domain)
    with pytest.raises(not_found):
        app.start(pipeline, domain[:-4] + "none")
    with pytest.raises(app.pipelines.exceptions.BadRequestException):
        app.start(other, domain, KinesisVideoStreamSourceTaskConfiguration={"StreamArn": stream, "ChannelId": 0})


def test_a_start_that_is_repeated_starts_once(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    pipeline = app.pipeline(stream)
    first = app.start(pipeline, domain, ClientRequestToken="one-request")
    assert app.start(pipeline, domain, ClientRequestToken="one-request") == first
    with pytest.raises(app.pipelines.exceptions.ConflictException):
        app.start(pipeline, domain, ClientRequestToken="another-request")
    with pytest.raises(app.pipelines.exceptions.ConflictException):  # the same token for something else
        app.start(pipeline, app.domain("other"), ClientRequestToken="one-request")


def test_the_other_channel_of_a_stereo_stream(app: Application) -> None:
    stream, domain = app.stream("line"), app.domain("callers")
    channel = {"StreamArn": stream, "ChannelId": 1}
    for callers in (("marvin", "sally"), ("sally", "marvin")):
        pipeline = app.pipeline(stream, channels=2)
        with pytest.raises(app.pipelines.exceptions.BadRequestException):
            app.start(pipeline, domain)  # which of the two?
        task = app.start(pipeline, domain, KinesisVideoStreamSourceTaskConfiguration=channel)
        app.send([first_call(caller) for caller in callers], stream)
        until(lambda task=task: len(app.results(task)) == 2)
        assert {one["channelId"] for one in app.results(task)} == {1}
        assert app.results(task)[0]["detailStatus"] == "IdentificationNoMatchesFound"  # sally is enrolled, marvin not
        if callers[1] == "sally":
            app.voice.create_voice_profile(SpeakerSearchTaskId=task)
        app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline)
    pipeline = app.pipeline(stream, channels=2)
    task = app.start(pipeline, domain, KinesisVideoStreamSourceTaskConfiguration=channel)
    app.send([second_call("marvin"), second_call("sally")], stream)
    until(lambda: app.results(task))
    assert app.results(task)[0]["detailStatus"] == "IdentificationSuccessful"
