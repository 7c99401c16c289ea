"""Several nodes: any of them answers, one dies or is paused, the database is away; nothing is lost or doubled."""

import json
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from calls import Application, Paced
from local_cluster import Cluster, Node, Postgres

from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader
from earwitness.errors import PutMediaFailed
from earwitness.producer.connection import Ack, AckType
from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

PACE_SECONDS = 0.3
"""Between two seconds of audio: a call of 35 s takes 10 s, which is longer than a lease."""


@dataclass
class ServedAt:
    url: str
    data: Path


class ClusterApplication(Application):
    """A program that uses a node, or all by the balancer; it sees the events that any of them tells."""

    def __init__(self, cluster: Cluster, name: str, *, node: Node | None = None) -> None:
        super().__init__(ServedAt(cluster.url if node is None else node.url, cluster.nodes[0].folder), name)  # pyright: ignore[reportArgumentType]
        self._files = [one.folder / "data" / "events.jsonl" for one in cluster.nodes]

    def events(self) -> list[dict[str, Any]]:
        lines = [
            line for file in self._files if file.exists() for line in file.read_text("utf-8").splitlines(keepends=True)
        ]
        return [json.loads(line) for line in lines if line.endswith("\n")]


def at_nodes(cluster: Cluster) -> list[ClusterApplication]:
    """A program at each node."""
    return [ClusterApplication(cluster, f"node-{place}", node=node) for place, node in enumerate(cluster.nodes)]


def patient(work: Callable[[], Any]) -> Any:
    """As applications do: again, when the service is away."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except (BotoCoreError, ClientError, PutMediaFailed):
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def begin(app: Application, stream: str, domain: str) -> tuple[str, str]:
    """A pipeline with a task that waits for the call."""
    pipeline = app.pipeline(stream)
    return pipeline, app.start(pipeline, domain)


def speak(app: Application, recording: Path, stream: str, persisted: list[str]) -> None:
    """Send a call at its pace; `persisted` gets what was acknowledged."""

    def note(ack: Ack) -> None:
        if ack.type is AckType.PERSISTED:
            persisted.append(ack.fragment_number)

    patient(lambda: app.send(Paced(recording, PACE_SECONDS), stream, on_ack=note))


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


def require_sound(database: Postgres, app: ClusterApplication) -> None:
    """What must be true of records whatever happened."""
    with psycopg.connect(database.url) as connection:

        def rows(query: str) -> list[Any]:
            return connection.execute(query.encode()).fetchall()

        homes = "SELECT s.arn FROM kinesis_streams s LEFT JOIN stream_extents e ON e.stream_arn = s.arn AND "
        assert (
            rows(homes + "e.epoch = s.home_epoch WHERE s.home_epoch > 0 AND e.node_id IS DISTINCT FROM s.home_node")
            == []
        )
        order = (
            "SELECT a.stream_arn FROM stream_extents a JOIN stream_extents b USING (account_id, region, stream_arn) "
        )
        assert rows(order + "WHERE a.epoch < b.epoch AND a.first_sequence >= b.first_sequence") == []
        lost = "SELECT task_id FROM speaker_search_tasks t JOIN nodes n USING (node_id) "
        assert rows(lost + "WHERE t.ended_at IS NULL AND n.dead_at IS NOT NULL") == []
        assert rows("SELECT task_id FROM speaker_search_tasks WHERE ended_at IS NULL") == []
        twice = "SELECT source_task_id FROM profile_voiceprints WHERE source_task_id IS NOT NULL "
        assert rows(twice + "GROUP BY source_task_id, voiceprint_id HAVING count(*) > 1") == []
    bodies: dict[str, Any] = {}
    for event in app.events():
        assert bodies.setdefault(event["id"], event) == event
    told = [(event["detail"].get("taskId"), event["detail"].get("detailStatus")) for event in bodies.values()]
    named = [one for one in told if one[0]]
    assert len(named) == len(set(named))


def test_any_node_answers_for_all(start_cluster: Callable[..., Cluster], database: Postgres) -> None:
    cluster = start_cluster(2)
    a, b = (
        ClusterApplication(cluster, f"at-{name}", node=node) for name, node in zip("ab", cluster.nodes, strict=True)
    )
    stream, domain, persisted = a.stream("line"), a.domain("callers"), list[str]()
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
    require_sound(database, a)


def test_a_stop_reaches_the_node_that_listens(start_cluster: Callable[..., Cluster]) -> None:
    cluster = start_cluster(2)
    a, b = (
        ClusterApplication(cluster, f"at-{name}", node=node) for name, node in zip("ab", cluster.nodes, strict=True)
    )
    stream, domain, persisted = a.stream("line"), a.domain("callers"), list[str]()
    pipeline, task = begin(a, stream, domain)
    with ThreadPoolExecutor() as lines:
        call = lines.submit(speak, b, first_call("kal"), stream, persisted)
        until(lambda: a.status(pipeline, task) == "InProgress")
        a.pipelines.stop_speaker_search_task(Identifier=pipeline, SpeakerSearchTaskId=task)
        until(lambda: b.status(pipeline, task) == "Stopped", seconds=20)
        call.result()


def test_a_live_tail_is_read_through_another_node(start_cluster: Callable[..., Cluster]) -> None:
    cluster = start_cluster(2)
    a, b = (
        ClusterApplication(cluster, f"at-{name}", node=node) for name, node in zip("ab", cluster.nodes, strict=True)
    )
    stream, persisted = a.stream("line"), list[str]()
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


def test_calls_go_on_when_a_node_is_killed(start_cluster: Callable[..., Cluster], database: Postgres) -> None:
    cluster = start_cluster(3)
    app = ClusterApplication(cluster, "calls")
    domain = patient(lambda: app.domain("callers"))
    callers = ("kal", "sally", "marvin", "angus", "fiona", "russell")
    streams = {caller: app.stream(caller) for caller in callers}
    begun = {caller: begin(app, streams[caller], domain) for caller in callers}
    persisted: dict[str, list[str]] = {caller: [] for caller in callers}
    with ThreadPoolExecutor(len(callers)) as lines:
        calls = [lines.submit(speak, app, first_call(one), streams[one], persisted[one]) for one in callers]
        until(lambda: all(len(numbers) > 3 for numbers in persisted.values()))
        doomed = cluster.nodes[0]
        doomed.kill()
        for call in calls:
            call.result()
    for _, task in begun.values():
        until(lambda task=task: len(app.results(task)) >= 2)
    for pipeline, task in begun.values():
        until(lambda pipeline=pipeline, task=task: patient(lambda: app.status(pipeline, task)) == "Stopped")
        assert outcomes(app, task) == ["IdentificationNoMatchesFound", "VoiceprintGenerationSuccess"]
    doomed.start()  # with its disk, and what it had acknowledged
    for caller, stream in streams.items():
        assert set(persisted[caller]) <= patient(lambda stream=stream: listed(app, stream))
    require_sound(database, app)


def test_a_node_that_was_paused_for_too_long_is_refused(
    start_cluster: Callable[..., Cluster], database: Postgres
) -> None:
    cluster = start_cluster(2)
    paused, other = cluster.nodes
    app, at_other = ClusterApplication(cluster, "paused"), ClusterApplication(cluster, "other", node=other)
    a = ClusterApplication(cluster, "at-a", node=paused)
    stream, domain, persisted = at_other.stream("line"), at_other.domain("callers"), list[str]()
    pipeline, task = begin(a, stream, domain)
    with ThreadPoolExecutor() as lines:
        call = lines.submit(speak, app, first_call("kal"), stream, persisted)
        until(lambda: len(persisted) > 2)
        paused.signal(signal.SIGSTOP)
        until(lambda: "taken for dead" in other.log())
        paused.signal(signal.SIGCONT)
        assert paused.process is not None
        assert paused.process.wait(PATIENCE_SECONDS) != 0
        call.result()
    assert "this process serves no longer" in paused.log()
    until(lambda: len(app.results(task)) >= 2)
    until(lambda: at_other.status(pipeline, task) == "Stopped")
    paused.start()
    assert set(persisted) <= patient(lambda: listed(at_other, stream))
    require_sound(database, app)


def test_no_home_moves_while_the_database_is_away(start_cluster: Callable[..., Cluster], database: Postgres) -> None:
    cluster = start_cluster(2)
    a = ClusterApplication(cluster, "away", node=cluster.nodes[0])
    stream, domain, acks, persisted = a.stream("line"), a.domain("callers"), list[AckType](), list[str]()
    pipeline, task = begin(a, stream, domain)

    def note(ack: Ack) -> None:
        acks.append(ack.type)
        if ack.type is AckType.PERSISTED:
            persisted.append(ack.fragment_number)

    with ThreadPoolExecutor() as lines:
        call = lines.submit(
            lambda: patient(lambda: a.send(Paced(first_call("kal"), PACE_SECONDS), stream, on_ack=note))
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
    until(lambda: patient(lambda: a.status(pipeline, task)) == "Stopped")
    assert set(persisted) <= listed(a, stream)
    assert not any("taken for dead" in node.log() for node in cluster.nodes)
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT home_epoch FROM kinesis_streams").fetchall() == [(1,)]
    require_sound(database, a)


def test_a_drained_node_says_so_to_the_balancer(start_cluster: Callable[..., Cluster], database: Postgres) -> None:
    cluster = start_cluster(2)
    drained = cluster.nodes[0]
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE nodes SET is_draining = 1 WHERE node_id = %s", [drained.node_id()])
    until(lambda: cluster.balancer.ready == {drained.port: False, cluster.nodes[1].port: True})
    assert "drained" in httpx.get(f"{drained.url}/ready", trust_env=False).text


def test_the_internal_address_lets_only_nodes_in(start_cluster: Callable[..., Cluster], database: Postgres) -> None:
    start_cluster(1)
    with psycopg.connect(database.url) as connection:
        (address,) = connection.execute("SELECT internal_url FROM nodes").fetchall()[0]
    asked = {"account": "000000000000", "region": "us-east-1", "arn": "arn:aws:kinesisvideo:::stream/a/1", "epoch": 9}
    answer = httpx.post(f"{address}/internal/streams/release", json=asked, trust_env=False)
    assert answer.status_code == 401
