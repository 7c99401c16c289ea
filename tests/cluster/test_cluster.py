"""Several nodes: any of them answers for all, and none moves anything while the database is away."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest
from calls import Application, Paced
from local_cluster import Postgres
from traffic import ClusterApplication, Watched, answered

from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader
from earwitness.producer.connection import Ack, AckType
from earwitness.samples import first_call, second_call
from patience import until

pytestmark = pytest.mark.slow

PACE_SECONDS = 0.3
"""Between two seconds of audio: a call of 35 s takes 10 s, which is longer than a lease."""


def begin(app: Application, stream: str, domain: str) -> tuple[str, str]:
    """A pipeline with a task that waits for the call."""
    pipeline = app.pipeline(stream)
    return pipeline, app.start(pipeline, domain)


def speak(app: Application, recording: Path, stream: str, persisted: list[str]) -> None:
    """Send a call at its pace; `persisted` gets what was acknowledged."""

    def note(ack: Ack) -> None:
        if ack.type is AckType.PERSISTED:
            persisted.append(ack.fragment_number)

    answered(lambda: app.send(Paced(recording, PACE_SECONDS), stream, on_ack=note))


def outcomes(app: Application, task: str) -> list[str]:
    """What was told of a task."""
    return sorted({event["detailStatus"] for event in app.results(task)})


def listed(app: Application, stream: str) -> set[str]:
    """All fragments of a stream that can be listed."""
    archive = app.session.client("kinesis-video-archived-media", endpoint_url=app.url)
    pages = archive.get_paginator("list_fragments").paginate(
        StreamARN=stream,
        FragmentSelector={
            "FragmentSelectorType": "SERVER_TIMESTAMP",
            "TimestampRange": {"StartTimestamp": time.time() - 3_600, "EndTimestamp": time.time() + 3_600},
        },
    )
    found = {fragment["FragmentNumber"] for page in pages for fragment in page["Fragments"]}
    archive.close()
    return found


def read_back(app: Application, stream: str, numbers: list[str]) -> int:
    """How many bytes GetMediaForFragmentList has of these fragments."""
    archive = app.session.client("kinesis-video-archived-media", endpoint_url=app.url)
    payload = archive.get_media_for_fragment_list(StreamARN=stream, Fragments=numbers)["Payload"]
    size = len(payload.read())
    archive.close()
    return size


def at_both(watched: Watched, name: str) -> tuple[ClusterApplication, ClusterApplication]:
    """A program at each of two nodes."""
    a, b = (
        ClusterApplication(watched.cluster, f"{name}-{place}", node=node)
        for place, node in enumerate(watched.cluster.nodes)
    )
    return a, b


def test_any_node_answers_for_all(calm: Watched) -> None:
    a, b = at_both(calm, "any")
    stream, domain = a.stream("line"), a.domain("callers")
    persisted = calm.seen.persisted[stream]
    pipeline, task = begin(a, stream, domain)
    speak(b, first_call("kal"), stream, persisted)
    until(lambda: len(a.results(task)) == 2)
    assert outcomes(a, task) == ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]
    until(lambda: a.status(pipeline, task) == "Stopped" and b.status(pipeline, task) == "Stopped")
    assert set(persisted) <= listed(a, stream) == listed(b, stream)
    assert read_back(a, stream, persisted[:3]) == read_back(b, stream, persisted[:3]) > 3_000
    profile = a.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]
    found, _ = b.call(second_call("kal"), stream=b.stream("second"), domain=domain)
    assert "IdentificationSuccessful" in outcomes(b, found)
    a.voice.delete_voice_profile(VoiceProfileId=profile)
    lost, _ = b.call(second_call("kal"), stream=b.stream("third"), domain=domain)
    assert "IdentificationNoMatchesFound" in outcomes(b, lost)
    assert calm.broken() == []


def test_a_stop_reaches_the_node_that_listens(calm: Watched) -> None:
    a, b = at_both(calm, "stop")
    stream, domain, persisted = a.stream("line"), a.domain("callers"), list[str]()
    pipeline, task = begin(a, stream, domain)
    with ThreadPoolExecutor() as lines:
        call = lines.submit(speak, b, first_call("kal"), stream, persisted)
        until(lambda: a.status(pipeline, task) == "InProgress")
        a.pipelines.stop_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
        until(lambda: b.status(pipeline, task) == "Stopped", seconds=20)
        call.result()


def test_a_live_tail_is_read_through_another_node(calm: Watched) -> None:
    a, b = at_both(calm, "tail")
    stream = a.stream("line")
    persisted = calm.seen.persisted[stream]
    media = a.session.client("kinesis-video-media", endpoint_url=a.url)
    with ThreadPoolExecutor() as lines:
        call = lines.submit(speak, b, first_call("kal"), stream, persisted)
        until(lambda: len(persisted) > 2)
        payload = media.get_media(StreamARN=stream, StartSelector={"StartSelectorType": "EARLIEST"})["Payload"]
        reader, seen = GetMediaReader(), list[str]()
        while data := payload._raw_stream.read1(65_536):  # what has come, and not a full buffer
            seen += [one.number for one in reader.feed(data) if isinstance(one, ConsumedFragment)]
        call.result()
    assert seen == persisted
    media.close()


def test_no_home_moves_while_the_database_is_away(start_cluster: Callable[..., Watched], database: Postgres) -> None:
    watched = start_cluster(2)
    cluster = watched.cluster
    a = ClusterApplication(cluster, "away", node=cluster.nodes[0])
    stream, domain, acks = a.stream("line"), a.domain("callers"), list[AckType]()
    persisted = watched.seen.persisted[stream]
    pipeline, task = begin(a, stream, domain)

    def note(ack: Ack) -> None:
        acks.append(ack.type)
        if ack.type is AckType.PERSISTED:
            persisted.append(ack.fragment_number)

    with ThreadPoolExecutor() as lines:
        call = lines.submit(
            lambda: answered(lambda: a.send(Paced(first_call("kal"), PACE_SECONDS), stream, on_ack=note))
        )
        until(lambda: len(persisted) > 2)
        database.end(signal.SIGQUIT)
        away = threading.Event()
        away.wait(8.0)  # longer than a lease lasts
        during = acks.count(AckType.RECEIVED) - acks.count(AckType.PERSISTED)
        database.start()
        sent = call.result()
    assert during > 2
    assert sent.reconnects == 0
    until(lambda: len(a.results(task)) >= 2)
    until(lambda: answered(lambda: a.status(pipeline, task)) == "Stopped")
    assert set(persisted) <= listed(a, stream)
    assert not any("taken for dead" in node.log() for node in cluster.nodes)
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT home_epoch FROM kinesis_streams").fetchall() == [(1,)]
    assert watched.broken() == []


def test_a_drained_node_says_so_to_the_balancer(calm: Watched) -> None:
    drained, other = calm.cluster.nodes
    ready = calm.cluster.balancer.ready
    with psycopg.connect(calm.cluster.store_url, autocommit=True) as connection:
        drain = "UPDATE nodes SET is_draining = %s WHERE node_id = %s"
        connection.execute(drain, [1, drained.node_id()])
        until(lambda: ready == {drained.port: False, other.port: True})
        assert "drained" in httpx.get(f"{drained.url}/ready", trust_env=False).text
        connection.execute(drain, [0, drained.node_id()])
    until(lambda: ready == {drained.port: True, other.port: True})


def test_the_internal_address_lets_only_nodes_in(calm: Watched) -> None:
    with psycopg.connect(calm.cluster.store_url) as connection:
        (address,) = connection.execute("SELECT internal_url FROM nodes").fetchall()[0]
    asked = {"account": "000000000000", "region": "us-east-1", "arn": "arn:aws:kinesisvideo:::stream/a/1", "epoch": 9}
    answer = httpx.post(f"{address}/internal/streams/release", json=asked, trust_env=False)
    assert answer.status_code == 401
