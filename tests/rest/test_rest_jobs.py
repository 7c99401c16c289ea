"""Jobs: recordings are sent one by one, worked on by whoever claims them, and have one result each."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rest_examples import MINE, Rest, add_domain, add_job, enrol, require_error, require_fits, run

from earwitness.errors import AudioUnreadable, ModelMissing, StoreUnavailable
from earwitness.metrics.reported import JobMetrics
from earwitness.rest.context import RestLimits
from earwitness.samples import first_call, second_call
from earwitness.store.jobs import JobWriter
from earwitness.store.store import Store
from earwitness.tasks import jobs as worker_room
from earwitness.tasks.expire import expire
from earwitness.tasks.jobs import JobWorker
from earwitness.tasks.recordings import RecordingLimits, RecordingWork
from earwitness.voice.job import JobKind
from patience import until

CONSENT = {"consent": "form 12, page 3"}
_ids = itertools.count(1)


@pytest.fixture
def domain(rest: Rest) -> Rest:
    rest.store.write(add_domain)
    return rest


def begin(rest: Rest, *, kind: str = "search", items: int = 1, **asked: Any) -> dict[str, Any]:
    response = rest.ask("POST", "domains/vpd-1/jobs", params={"kind": kind, "items": items, **asked})
    assert response.status_code == 200, response.text
    require_fits(response.json(), "Job")
    return response.json()


def put(rest: Rest, job: dict[str, Any], number: int, recording: bytes | Path, **asked: Any) -> dict[str, Any]:
    content = recording if isinstance(recording, bytes) else recording.read_bytes()
    path, params = f"jobs/{job['jobId']}/items/{number}", {"name": f"recording {number}", **asked}
    response = rest.ask("PUT", path, params=params, content=content)
    assert response.status_code == 200, response.text
    require_fits(response.json(), "JobItem")
    return response.json()


def get(rest: Rest, job: dict[str, Any]) -> dict[str, Any]:
    return rest.ask("GET", f"jobs/{job['jobId']}").json()


def items(rest: Rest, job: dict[str, Any]) -> list[dict[str, Any]]:
    answer = rest.ask("GET", f"jobs/{job['jobId']}/items").json()
    require_fits(answer, "JobItems")
    return answer["items"]


def worker(
    store: Store,
    recordings: RecordingWork,
    *,
    at_once: int = 2,
    is_alone: bool = True,
    metrics: JobMetrics | None = None,
) -> JobWorker:
    return JobWorker(
        store,
        recordings,
        None,  # pyright: ignore[reportArgumentType]  # no stream is read here
        at_once=at_once,
        run_in_thread=run,
        new_id=lambda: f"holder-{next(_ids)}",
        is_alone=is_alone,
        metrics=metrics,
    )


def work(*workers: JobWorker, over: Callable[[], bool]) -> None:
    """Let workers work until it is over."""

    async def all_of_them() -> None:
        running = [asyncio.create_task(one.run()) for one in workers]
        try:
            await asyncio.to_thread(until, over)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(all_of_them())


def work_through(rest: Rest, job: dict[str, Any], *, metrics: JobMetrics | None = None) -> None:
    work(worker(rest.store, rest.recordings, metrics=metrics), over=lambda: get(rest, job)["state"] != "open")


def counted(metrics: JobMetrics) -> dict[tuple[str, ...], float]:
    """The items that were counted, by kind and outcome, without those of which there are none."""
    samples = [sample for metric in metrics.collect() for sample in metric.samples]
    return {tuple(one.labels.values()): one.value for one in samples if one.value}


@pytest.mark.slow
def test_enrol_and_search_as_one_by_one(domain: Rest) -> None:
    enrolment = begin(domain, kind="enrol", items=4)
    assert enrolment["missing"] == [{"first": 1, "last": 4}]
    given = (
        (first_call("sally"), {"speaker": "sally"}),
        (first_call("kal"), {}),
        (b"this is no audio", {}),
        (second_call("sally"), {"speaker": "sally"}),
    )
    for number, (recording, asked) in enumerate(given, start=1):
        put(domain, enrolment, number, recording, **CONSENT, **asked)
    assert len(domain.jobs_changed) == 5
    metrics = JobMetrics()
    work_through(domain, enrolment, metrics=metrics)
    assert counted(metrics) == {("enrol", "done"): 3, ("enrol", "failed"): 1}
    ended = get(domain, enrolment)
    assert (ended["state"], ended["done"], ended["failed"], ended["missing"]) == ("done", 3, 1, [])
    found = items(domain, enrolment)
    assert [one["state"] for one in found] == ["done", "done", "failed", "done"]
    assert "not audio" in found[2]["reason"]
    sally, kal = found[0]["enrolled"]["profileId"], found[1]["enrolled"]["profileId"]
    assert found[3]["enrolled"]["profileId"] == sally
    profiles = {one["profileId"]: one for one in domain.ask("GET", "domains/vpd-1/profiles").json()["profiles"]}
    assert {one: len(profiles[one]["voiceprints"]) for one in profiles} == {sally: 2, kal: 1}
    assert profiles[kal]["voiceprints"][0]["consentReference"] == CONSENT["consent"]

    search = begin(domain, items=2)
    put(domain, search, 1, second_call("kal"))
    put(domain, search, 2, second_call("marvin"))
    work_through(domain, search)
    known, stranger = (one["decision"] for one in items(domain, search))
    direct = domain.ask("POST", "domains/vpd-1/search", content=second_call("kal").read_bytes()).json()
    assert known["candidates"] == direct["candidates"]
    assert (known["outcome"], known["candidates"][0]["profileId"], stranger["outcome"]) == ("match", kal, "no match")
    audit = [(one.operation, one.request_id) for one in domain.store.audit.list(MINE, limit=50).items]
    assert audit.count(("EnrolRecording", enrolment["jobId"])) == 3
    assert audit.count(("SearchRecording", search["jobId"])) == 2


def test_the_same_job_again_goes_on(domain: Rest) -> None:
    job = begin(domain, items=3, jobId="of-monday")
    put(domain, job, 2, b"first")
    again = begin(domain, items=3, jobId="of-monday")
    assert again["missing"] == [{"first": 1, "last": 1}, {"first": 3, "last": 3}]
    before = items(domain, job)
    assert put(domain, job, 2, b"second", name="another")["name"] == "recording 2"
    assert items(domain, job) == before
    asked = {"kind": "search", "items": 4, "jobId": "of-monday"}
    require_error(domain.ask("POST", "domains/vpd-1/jobs", params=asked), 409, "Conflict")
    require_error(domain.ask("POST", "domains/vpd-1/jobs", params=asked | {"kind": "enrol"}), 409, "Conflict")
    created = [one.operation for one in domain.store.audit.list(MINE, limit=9).items]
    assert created.count("CreateJob") == 1
    assert created.count("PutJobItem") == 1


def test_what_cannot_be_is_refused(domain: Rest) -> None:
    path = "domains/vpd-1/jobs"

    def refused(status: int, error: str, method: str, path: str, **params: Any) -> str:
        return require_error(domain.ask(method, path, params=params, content=b"x"), status, error)

    refused(400, "BadRequest", "POST", path, kind="search")
    refused(400, "BadRequest", "POST", path, kind="delete", items=1)
    refused(400, "BadRequest", "POST", path, kind="search", items=100_001)
    refused(400, "BadRequest", "POST", path, kind="search", items=1, jobId="a/b")
    refused(404, "NotFound", "POST", path, kind="search", stream="none", startAt="2026-01-01T00:00:00Z")
    assert "time with its zone" in refused(400, "BadRequest", "POST", path, kind="search", startAt="yesterday")
    job = begin(domain, kind="enrol", items=2)
    item = f"jobs/{job['jobId']}/items"
    refused(400, "BadRequest", "PUT", f"{item}/3", name="n", **CONSENT)
    refused(400, "BadRequest", "PUT", f"{item}/0", name="n", **CONSENT)
    refused(400, "BadRequest", "PUT", f"{item}/one", name="n", **CONSENT)
    assert "consent" in refused(400, "BadRequest", "PUT", f"{item}/1", name="n")
    refused(400, "BadRequest", "PUT", f"{item}/1", name="n" * 1_025, **CONSENT)
    refused(404, "NotFound", "PUT", "jobs/none/items/1", name="n", **CONSENT)
    assert items(domain, job) == []


def test_recordings_that_wait_are_bounded(build: Callable[..., Rest]) -> None:
    rest = build(limits=RestLimits(job_bytes_max=1_000, open_jobs_max=1))
    rest.store.write(add_domain)
    job = begin(rest, items=3)
    put(rest, job, 1, bytes(5_000))  # one may always wait
    path = f"jobs/{job['jobId']}/items/2"
    response = rest.ask("PUT", path, params={"name": "n"}, content=b"x")
    require_error(response, 429, "Throttled")
    assert response.headers["retry-after"] == "5"
    asked = {"kind": "search", "items": 1}
    require_error(rest.ask("POST", "domains/vpd-1/jobs", params=asked), 409, "LimitExceeded")
    rest.ask("POST", f"jobs/{job['jobId']}/cancel")
    put(rest, begin(rest, items=1), 1, b"x")


def test_a_cancelled_job_takes_nothing_more(domain: Rest) -> None:
    job = begin(domain, items=2)
    put(domain, job, 1, b"x")
    for _ in range(2):
        answer = domain.ask("POST", f"jobs/{job['jobId']}/cancel", role="operator").json()
        require_fits(answer, "Job")
        assert (answer["state"], answer["missing"]) == ("cancelled", [])
    message = domain.ask("PUT", f"jobs/{job['jobId']}/items/2", params={"name": "n"}, content=b"x")
    assert "another one" in require_error(message, 409, "Conflict")
    operations = [one.operation for one in domain.store.audit.list(MINE, limit=9).items]
    assert operations.count("CancelJob") == 1


@pytest.mark.slow
def test_a_job_that_is_cancelled_in_the_middle_writes_nothing(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(domain, kind="enrol", items=1)
    put(domain, job, 1, first_call("sally"), **CONSENT)
    heard = RecordingWork.hear

    def then_cancelled(recordings: RecordingWork, *given: Any, **named: Any) -> Any:
        found = heard(recordings, *given, **named)
        domain.ask("POST", f"jobs/{job['jobId']}/cancel")
        return found

    monkeypatch.setattr(RecordingWork, "hear", then_cancelled)
    work(worker(domain.store, domain.recordings), over=lambda: get(domain, job)["state"] == "cancelled")
    assert domain.ask("GET", "domains/vpd-1/profiles").json()["profiles"] == []
    assert items(domain, job) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "enrol"])
def test_a_domain_that_is_deleted_in_the_middle(domain: Rest, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(domain, kind=kind, items=2)
    for number in (1, 2):
        put(domain, job, number, first_call("sally"), **CONSENT)
    attempted: list[bool] = []
    attempt = JobWorker._attempt

    def noting(own: JobWorker, claimed: Any, unwanted: threading.Event) -> bool:
        domain.ask("DELETE", "domains/vpd-1")
        attempted.append(attempt(own, claimed, unwanted))
        return attempted[-1]

    monkeypatch.setattr(JobWorker, "_attempt", noting)
    work(worker(domain.store, domain.recordings), over=lambda: bool(attempted))
    ended = get(domain, job)
    assert (ended["state"], ended["done"], ended["failed"], attempted[0]) == ("domain_deleted", 0, 0, True)
    assert items(domain, job) == []


@pytest.mark.slow
def test_two_workers_enrol_each_recording_once(build: Callable[..., Rest]) -> None:
    """Over one database, with stores of their own."""
    first, second = build(), build()
    first.store.write(add_domain)
    job = begin(first, kind="enrol", items=6)
    for number, name in enumerate(("sally", "kal", "marvin") * 2, start=1):
        recording = first_call(name) if number <= 3 else second_call(name)
        put(first, job, number, recording, **CONSENT, speaker=name)
    workers = [worker(rest.store, rest.recordings, is_alone=False) for rest in (first, second)]
    work(*workers, over=lambda: get(first, job)["state"] != "open")
    assert get(first, job)["done"] == 6
    profiles = first.ask("GET", "domains/vpd-1/profiles").json()["profiles"]
    assert sorted(len(one["voiceprints"]) for one in profiles) == [2, 2, 2]
    audit = [one.operation for one in first.store.audit.list(MINE, limit=99).items]
    assert audit.count("EnrolRecording") == 6


def test_a_recording_that_the_service_fails_at_is_given_up(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(domain, items=2)
    for number in (1, 2):
        put(domain, job, number, b"x")
    seen: list[int] = []

    def failing(*given: Any, **named: Any) -> None:
        seen.append(1)
        raise RuntimeError("J. Doe is in this message")

    monkeypatch.setattr(worker_room, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(RecordingWork, "search", failing)
    metrics = JobMetrics()
    work_through(domain, job, metrics=metrics)
    assert counted(metrics) == {("search", "failed"): 2}  # each once, however often it was tried
    assert len(seen) == 2 * worker_room.ATTEMPTS_MAX
    assert {one["reason"] for one in items(domain, job)} == {worker_room._GIVEN_UP}


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ModelMissing("not pulled")])
def test_what_the_service_lacks_is_not_the_recordings_fault(
    domain: Rest, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begin(domain)
    put(domain, job, 1, b"x")
    seen: list[int] = []

    def lacking(*given: Any, **named: Any) -> None:
        seen.append(1)
        raise error if len(seen) <= 5 else AudioUnreadable("it is no audio")

    monkeypatch.setattr(worker_room, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(RecordingWork, "search", lacking)
    work_through(domain, job)
    assert len(seen) == 6
    (item,) = items(domain, job)
    assert (item["reason"], item["attempt"]) == ("it is no audio", 1)


def test_a_recording_waits_for_a_thread_and_no_attempt_counts(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(domain)
    put(domain, job, 1, b"x")
    start, refused = threading.Thread.start, list[str]()

    def start_unless_scarce(thread: threading.Thread) -> None:
        if thread.name.startswith("earwitness job") and len(refused) <= worker_room.ATTEMPTS_MAX:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    def unreadable(*given: Any, **named: Any) -> None:
        raise AudioUnreadable("it is no audio")

    monkeypatch.setattr(worker_room, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(RecordingWork, "search", unreadable)
    monkeypatch.setattr(threading.Thread, "start", start_unless_scarce)
    work_through(domain, job)
    assert len(refused) == worker_room.ATTEMPTS_MAX + 1
    (item,) = items(domain, job)
    assert (item["reason"], item["attempt"]) == ("it is no audio", 1)


def test_a_worker_that_stops_gives_its_recording_back(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(domain)
    put(domain, job, 1, b"x")
    begun = threading.Event()

    def listening(_recordings: RecordingWork, *_: Any, wanted: Callable[[], None], **named: Any) -> None:
        begun.set()
        while True:
            wanted()

    monkeypatch.setattr(RecordingWork, "search", listening)
    work(worker(domain.store, domain.recordings), over=begun.is_set)
    claimed = domain.store.write(lambda unit: unit.jobs.claim(holder="next", after=None))
    assert claimed is not None
    assert claimed.attempt == 1


def test_a_worker_that_lost_its_recording_stops_listening(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(domain)
    put(domain, job, 1, b"x")
    begun, dropped = threading.Event(), threading.Event()

    def losing(_unit: JobWriter, _claimed: Any) -> bool:
        return not begun.is_set()

    def listening(_recordings: RecordingWork, *_: Any, wanted: Callable[[], None], **named: Any) -> None:
        begun.set()
        try:
            while True:
                wanted()
        finally:
            dropped.set()

    monkeypatch.setattr(worker_room, "RENEW_SECONDS", 0.0)
    monkeypatch.setattr(JobWriter, "renew", losing)
    monkeypatch.setattr(RecordingWork, "search", listening)
    work(worker(domain.store, domain.recordings, at_once=1), over=dropped.is_set)
    assert get(domain, job)["failed"] == 0


def test_a_full_domain_fails_its_recordings(build: Callable[..., Rest], monkeypatch: pytest.MonkeyPatch) -> None:
    rest = build(recording_limits=RecordingLimits(profiles_per_domain_max=0))
    rest.store.write(add_domain)
    job = begin(rest, kind="enrol")
    put(rest, job, 1, first_call("sally"), **CONSENT)
    work_through(rest, job)
    (item,) = items(rest, job)
    assert item["state"] == "failed"
    assert "may be 0" in item["reason"]


def test_a_profile_of_another_domain_is_not_enrolled_in(domain: Rest) -> None:
    domain.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    domain.store.write(enrol)
    asked = {"kind": "enrol", "items": 1}
    job = domain.ask("POST", "domains/vpd-2/jobs", params=asked).json()
    put(domain, job, 1, first_call("sally"), **CONSENT, profileId="vp-1")
    work_through(domain, job)
    (item,) = items(domain, job)
    assert "no voice profile of this id" in item["reason"]


def test_old_jobs_are_deleted(domain: Rest) -> None:
    job = domain.store.write(lambda unit: add_job(unit, kind=JobKind.SEARCH))
    domain.store.write(lambda unit: unit.jobs.cancel(MINE, job.job_id))
    assert expire(domain.store, now=domain.clock.now)["jobs"] == 0
    assert expire(domain.store, now=domain.clock.now + timedelta(days=7))["jobs"] == 1
    require_error(domain.ask("GET", f"jobs/{job.job_id}"), 404, "NotFound")
