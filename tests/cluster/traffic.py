"""Calls on several lines at once through whatever happens to a cluster, and a note of all that their callers saw."""

import itertools
import json
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx
import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from calls import Application, Paced
from invariants import Seen, broken
from local_cluster import Cluster, Node

import earwitness
from earwitness.errors import AnotherProducer, PutMediaFailed
from earwitness.producer.connection import Ack, AckType
from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS

CALLERS = ("kal", "sally", "marvin", "angus", "fiona", "russell")
SECOND_HOST = "127.0.0.2"
"""Where PostgreSQL is reached as well, so that one node's way to it can be cut."""

_API = "/earwitness/v1"
_AGAIN_SECONDS = 0.5
ResultT = TypeVar("ResultT")


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


class Sink:
    """A webhook that notes what it gets before it says that it has it."""

    def __init__(self, seen: Seen) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                seen.told.append((self.headers["webhook-id"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def settings(self) -> dict[str, str]:
        """What nodes have to be told to send their events here."""
        return {
            "EARWITNESS_WEBHOOK_URL": f"http://127.0.0.1:{self._server.server_port}/events",
            "EARWITNESS_WEBHOOK_SECRET": "whsec_bm90IGEgc2VjcmV0LCB0aGlzIGlzIGEgdGVzdCE=",
            "EARWITNESS_WEBHOOK_PRIVATE_ADDRESSES": "on",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answered(work: Callable[[], ResultT]) -> ResultT:
    """Ask again while the service is away, as applications do; what it refuses is raised."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except (BotoCoreError, ClientError, PutMediaFailed, httpx.HTTPError) as error:
            if not _is_away(error) or time.monotonic() > give_up:
                raise
        time.sleep(_AGAIN_SECONDS)


def _is_away(error: BaseException | None) -> bool:
    if isinstance(error, PutMediaFailed):
        return error.retryable or isinstance(error, AnotherProducer) or _is_away(error.__cause__)
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, BotoCoreError | httpx.HTTPError)


class Line:
    """A telephone line: one call after the other by one caller, searched for in a domain that only this line has.

    After each call the caller is enrolled from it, or, who is enrolled already, deleted again; and searched for.
    """

    def __init__(self, lines: "Lines", number: int) -> None:
        self.caller = CALLERS[number % len(CALLERS)]
        self._lines, self._seen, self._app = lines, lines.seen, lines.app
        self._session = boto3.Session("test", "test", region_name="us-east-1")  # not shared between threads
        self.stream = answered(lambda: self._app.stream(f"line-{number}"))
        self._domain = answered(lambda: self._app.domain(f"line-{number}"))
        self._domain_id = self._domain.rpartition("/")[2]
        self._seen.written |= {
            ("kinesis_streams", "arn", self.stream),
            ("voice_profile_domains", "arn", self._domain),
        }
        self._profile = ""
        #: When each of its fragments was told PERSISTED.
        self.persisted_at: list[float] = []
        self.speaks = False
        self.calls = 0

    def gone_on_after(self, moment: float) -> float | None:
        """Return when a fragment was told PERSISTED for the first time after a moment; None when none was."""
        place = bisect_right(self.persisted_at, moment)
        return self.persisted_at[place] if place < len(self.persisted_at) else None

    def run(self, calls_max: float) -> None:
        """Call again and again, until the end of all lines or so many calls."""
        while not self._lines.over.is_set() and self.calls < calls_max:
            task = self._call()
            if self._lines.has_voices:
                self._delete() if self._profile else self._enrol(task)
            self.calls += 1

    def _call(self) -> str:
        pipeline = answered(lambda: self._app.pipeline(self.stream))
        began, token = time.monotonic(), f"{self._app.name}-{self._domain_id}-{self.calls}"
        task = answered(lambda: self._app.start(pipeline, self._domain, ClientRequestToken=token))
        self._seen.begun[task] = began
        self._seen.written |= {("pipelines", "pipeline_id", pipeline), ("speaker_search_tasks", "task_id", task)}
        self._seen.ends[task] = "IdentificationSuccessful" if self._profile else "IdentificationNoMatchesFound"
        self.speaks = True
        try:
            answered(self._speak)
        finally:
            self.speaks = False
        self._lines.await_end(task)
        return task

    def _speak(self) -> None:
        audio = Paced(first_call(self.caller), self._lines.pace_seconds)
        earwitness.put_media(
            audio,  # pyright: ignore[reportArgumentType]
            stream_arn=self.stream,
            real_time=False,
            session=self._session,
            endpoint_url=self._app.url,
            on_ack=self._note,
        )

    def _note(self, ack: Ack) -> None:
        if ack.type is AckType.PERSISTED:
            self._seen.persisted[self.stream].append(ack.fragment_number)
            self.persisted_at.append(time.monotonic())

    def _enrol(self, task: str) -> None:
        """Make a profile; where the answer was lost, see what came of it."""
        if "VoiceprintGenerationSuccess" not in self._lines.statuses(task):
            return

        def make() -> str:
            had = self._app.voice.list_voice_profiles(VoiceProfileDomainId=self._domain_id)["VoiceProfiles"]
            if had:
                return had[0]["VoiceProfileId"]
            return self._app.voice.create_voice_profile(SpeakerSearchTaskId=task)["VoiceProfile"]["VoiceProfileId"]

        self._profile = answered(make)
        self._seen.written.add(("voice_profiles", "profile_id", self._profile))
        if self._profile not in self._search():
            self._lines.wrong.append(f"{self._profile}: was not found by a search after it was made")

    def _delete(self) -> None:
        profile = self._profile

        def delete() -> None:
            try:
                self._app.voice.delete_voice_profile(VoiceProfileId=profile)
            except self._app.voice.exceptions.NotFoundException:
                return  # an answer before was lost

        self._seen.written.discard(("voice_profiles", "profile_id", profile))
        answered(delete)
        self._seen.deleted[profile], self._profile = time.monotonic(), ""
        self._search()

    def _search(self) -> frozenset[str]:
        """Search with a recording, at the nodes in turn that live."""

        def ask() -> tuple[float, frozenset[str]]:
            began, url = time.monotonic(), self._lines.next_url()
            recording = second_call(self.caller).read_bytes()
            answer = httpx.post(
                f"{url}{_API}/domains/{self._domain_id}/search",
                content=recording,
                headers={"authorization": "Bearer test", "content-type": "audio/flac"},
                timeout=PATIENCE_SECONDS,
                trust_env=False,
            ).raise_for_status()
            return began, frozenset(one["profileId"] for one in answer.json()["candidates"])

        search = answered(ask)
        self._seen.searches.append(search)
        return search[1]


class Lines:
    """All lines of a test."""

    def __init__(self, cluster: Cluster, seen: Seen, *, count: int, pace_seconds: float, has_voices: bool) -> None:
        """`pace_seconds` are between two seconds of audio; `has_voices` is whether callers are enrolled and deleted."""
        self.seen, self.pace_seconds, self.has_voices = seen, pace_seconds, has_voices
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.app = ClusterApplication(cluster, "lines")
        self._urls = itertools.cycle([node.url for node in cluster.nodes])
        self._statuses: dict[str, set[str]] = defaultdict(set)
        self._read = 0
        self._reading = threading.Lock()
        answered(self.app.configuration)
        self.lines = [Line(self, number) for number in range(count)]

    def next_url(self) -> str:
        return next(self._urls)

    def statuses(self, task: str) -> set[str]:
        """Return what was told of a task so far."""
        with self._reading:
            told = self.seen.told
            while self._read < len(told):
                detail = json.loads(told[self._read][1])["detail"]
                self._read += 1
                if "taskId" in detail:  # events of calls and of pipelines tell of no task
                    self._statuses[detail["taskId"]].add(detail["detailStatus"])
        return self._statuses[task]

    def await_end(self, task: str) -> None:
        """Wait until both results of a task were told."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while len(self.statuses(task)) < 2:
            if time.monotonic() > give_up:
                self.wrong.append(f"task {task}: told no more than {sorted(self.statuses(task))} for minutes")
                return
            time.sleep(_AGAIN_SECONDS)

    @contextmanager
    def running(self, *, calls_max: float = float("inf")) -> Iterator[None]:
        """Have all lines call; afterwards wait for so many calls, or the end of those in progress."""
        with ThreadPoolExecutor(len(self.lines)) as threads:
            running = [threads.submit(line.run, calls_max) for line in self.lines]
            try:
                yield
            finally:
                if calls_max == float("inf"):
                    self.over.set()
            for line in running:
                line.result()
        self.app.close()

    def all_have_spoken(self) -> bool:
        """Return whether each line has been told PERSISTED."""
        return all(line.persisted_at for line in self.lines)


def settle(store_url: str) -> None:
    """Wait until no task is active and no event waits to be told; what never comes to its end is left to be named."""
    waits = (
        "SELECT (SELECT count(*) FROM speaker_search_tasks WHERE ended_at IS NULL) + "
        "(SELECT count(*) FROM outbox_deliveries WHERE state = 'pending')"
    )
    give_up = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(store_url, autocommit=True) as connection:
        while connection.execute(waits).fetchall() != [(0,)] and time.monotonic() < give_up:
            time.sleep(_AGAIN_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A cluster, and what its clients see."""

    cluster: Cluster
    seen: Seen

    def broken(self) -> list[str]:
        """Wait until nothing is under way, and return what is broken."""
        settle(self.cluster.store_url)
        alive = [node for node in self.cluster.nodes if node.process is not None and node.process.poll() is None]
        return broken(self.cluster.store_url, {node.node_id(): node.url for node in alive}, self.seen)
