"""The service is killed again and again while calls run; in the end nothing is lost, doubled or different."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from calls import Application, Paced
from serving import Served, kill, start, stop

from earwitness.errors import PutMediaFailed
from earwitness.producer.connection import Ack, AckType
from earwitness.samples import first_call
from patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("model_cache")]

CRASHES = int(os.environ.get("CRASHES", "10"))
CALLERS: tuple[str, ...] = ("kal", "sally", "marvin")
PACE_SECONDS = 0.12
"""Between two seconds of audio: a call of 35 s takes 4 s, in which two crashes fit."""


class Crashing:
    """A service at one address that is killed and started again; clients keep their address."""

    def __init__(self, data: Path) -> None:
        self.served: Served = start(data)
        self.port = int(self.served.url.rsplit(":", 1)[1])

    def crash(self, *, politely: bool = False) -> None:
        (stop if politely else kill)(self.served)
        self.served = start(self.served.data, port=self.port)


def patient(work: Any) -> Any:
    """As applications do: again, when the service is away."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except (BotoCoreError, ClientError, PutMediaFailed) as error:
            if not is_away(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def is_away(error: BaseException | None) -> bool:
    """Whether the service could not be reached, or was starting. Once it sends, the producer bears that by itself."""
    if isinstance(error, PutMediaFailed):
        return is_away(error.__cause__)
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    return isinstance(error, BotoCoreError)


def prepared(app: Application) -> tuple[str, str]:
    """A domain in which kal is enrolled: its ARN and his profile."""
    domain = app.domain("callers")
    task, _ = app.call(first_call("kal"), stream=app.stream("enrolment"), domain=domain)
    return domain, app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]


def one_call(app: Application, caller: str, domain: str, *, stream: str, name: str) -> tuple[str, list[str]]:
    """A call through crashes: its task, and the fragments that were acknowledged as persisted."""
    persisted: list[str] = []

    def note(ack: Ack) -> None:
        if ack.type is AckType.PERSISTED:
            persisted.append(ack.fragment_number)

    pipeline = patient(lambda: app.pipeline(stream))
    task = patient(lambda: app.start(pipeline, domain, ClientRequestToken=name))
    patient(lambda: app.send(Paced(first_call(caller), PACE_SECONDS), stream, on_ack=note))
    # Each life is too short for an answer where the machine is busy: then it comes after the last crash.
    until(lambda: patient(lambda: app.status(pipeline, task)) == "Stopped", seconds=PATIENCE_SECONDS + 5 * CRASHES)
    until(lambda: len(app.results(task)) >= 2)  # what a killed sender had claimed goes out at the start
    patient(lambda: app.pipelines.delete_media_pipeline(MediaPipelineId=pipeline))
    return task, persisted


def kept(app: Application, stream: str) -> set[str]:
    """All fragments of a stream that can be listed."""
    endpoint = app.kinesis.get_data_endpoint(StreamARN=stream, APIName="LIST_FRAGMENTS")["DataEndpoint"]
    archive = app.session.client("kinesis-video-archived-media", endpoint_url=endpoint)
    pages = archive.get_paginator("list_fragments").paginate(
        StreamARN=stream,
        FragmentSelector={
            "FragmentSelectorType": "SERVER_TIMESTAMP",
            "TimestampRange": {"StartTimestamp": time.time() - 3_600, "EndTimestamp": time.time() + 60},
        },
    )
    found = {fragment["FragmentNumber"] for page in pages for fragment in page["Fragments"]}
    archive.close()
    return found


def identification(app: Application, task: str) -> Any:
    """What was found; twice the same where an event was delivered twice."""
    found = [event for event in app.results(task) if event["detailStatus"].startswith("Identification")]
    assert found
    assert all(one == found[0] for one in found)
    return found[0]["detailStatus"], found[0].get("speakerSearchDetails")


def test_nothing_is_lost_doubled_or_different(tmp_path: Path) -> None:
    chance = random.Random(20_260)
    service = Crashing(tmp_path)
    app = Application(service.served, "crash")
    domain, profile = prepared(app)

    def calm(caller: str) -> Any:
        task, _ = one_call(app, caller, domain, stream=app.stream(f"calm-{caller}"), name=f"calm-{caller}")
        return identification(app, task)

    with ThreadPoolExecutor(len(CALLERS)) as lines:
        undisturbed = dict(zip(CALLERS, lines.map(calm, CALLERS), strict=True))
    assert undisturbed["kal"][0] == "IdentificationSuccessful"

    streams = {caller: app.stream(caller) for caller in CALLERS}
    persisted: dict[str, set[str]] = {caller: set() for caller in CALLERS}
    tasks: list[tuple[str, str]] = []
    over = threading.Event()

    def line(caller: str) -> int:
        calls = 0
        while not over.is_set():
            task, numbers = one_call(app, caller, domain, stream=streams[caller], name=f"{caller}-{calls}")
            tasks.append((caller, task))
            persisted[caller].update(numbers)
            calls += 1
        return calls

    with ThreadPoolExecutor(len(CALLERS)) as lines:
        calls = [lines.submit(line, caller) for caller in CALLERS]
        try:
            for crash in range(CRASHES):
                time.sleep(chance.uniform(0.2, 2.2))
                service.crash(politely=crash % 3 == 2)  # SIGTERM: a restart for a new version
        finally:
            over.set()
        assert sum(call.result() for call in calls) == len(tasks)

    for caller, task in tasks:
        assert identification(app, task) == undisturbed[caller]
        assert {one["detailStatus"] for one in app.results(task)} >= {"VoiceprintGenerationSuccess"}
    for caller, stream in streams.items():
        assert persisted[caller]
        assert persisted[caller] <= kept(app, stream)
    bodies: dict[str, Any] = {}
    for event in app.events():
        assert bodies.setdefault(event["id"], event) == event
    by_kind = [(event["detail"].get("taskId"), event["detail"].get("detailStatus")) for event in bodies.values()]
    told = [one for one in by_kind if one[0]]
    assert len(told) == len(set(told))
    assert app.voice.get_voice_profile(VoiceProfileId=profile)["VoiceProfile"]["VoiceProfileId"] == profile
    assert voters(service.served, domain) == len(CALLERS)  # each voice once, in however many calls and attempts
    app.close()
    stop(service.served)


def voters(served: Served, domain: str) -> int:
    """How many voices the line of a domain is learnt from."""
    path = f"/earwitness/v1/domains/{domain.rpartition('/')[2]}/lines"
    answer = httpx.get(f"{served.url}{path}", headers={"Authorization": "Bearer test"}, timeout=PATIENCE_SECONDS)
    (line,) = answer.json()["lines"]
    return line["waitingVoices"]
