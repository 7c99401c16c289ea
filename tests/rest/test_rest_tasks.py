"""Tasks and the voices of domains: everything that is known of them, page by page, and who is told what."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from rest_examples import (
    MINE,
    THEIRS,
    V1,
    Rest,
    add_domain,
    add_pipeline,
    add_task,
    conclude,
    enrol,
    require_error,
    require_fits,
    token,
)

from earwitness.metrics.reported import StoreMetrics
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.voice.task_status import StopReason


@pytest.fixture
def filled(rest: Rest) -> Rest:
    """Two pipelines: one with a task that is over and one that nobody picked up, one with another task."""

    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        add_pipeline(unit, pipeline_id="pipeline-2")
        conclude(unit, add_task(unit, task_id="done"))
        add_task(unit, task_id="waiting")
        add_task(unit, task_id="elsewhere", pipeline_id="pipeline-2")

    rest.store.write(work)
    return rest


def test_a_result_in_full(filled: Rest) -> None:
    task = filled.ask("GET", "tasks/done", role="reader").json()
    require_fits(task, "Task")
    assert (task["status"], task["attempt"]) == ("Stopped", 1)
    assert task["stream"]["channelId"] == 0
    assert task["domain"]["id"] == "vpd-1"
    found = task["identification"]
    assert found["outcome"] == "match"
    assert found["candidates"][0] == {
        "profileId": "vp-1",
        "voiceprintId": "p1",
        "score": 0.81,
        "probability": 0.98,
        "falseMatchRate": 1e-6,
    }
    assert (found["nobodyProbability"], found["margin"], found["ambiguous"]) == (0.019, 0.5, False)
    assert found["threshold"] == {
        "score": 0.52,
        "gallerySize": 2,
        "strangersNamedPercent": 1.0,
        "pairFalseMatchRate": 0.005,
        "extrapolated": False,
        "persons": 70,
        "personPairs": 2415,
        "personsNeeded": None,
        "lineMargin": 0.0,
    }
    assert found["netSpeechSeconds"] == 10.0
    assert task["createdAt"] == "2026-01-01T00:00:00.000000Z"
    assert task["voiceprint"] == {
        "status": "VoiceprintGenerationSuccess",
        "canBeEnrolledUntil": "2026-01-02T00:00:00.000000Z",
    }


def test_a_list_reads_as_often_for_many_tasks_as_for_one(filled: Rest) -> None:
    metrics = filled.store.meter.metrics = StoreMetrics()

    def reads_of_a_list(*, tasks: int) -> float:
        before = _reads(metrics)
        assert len(filled.ask("GET", "tasks").json()["tasks"]) == tasks
        return _reads(metrics) - before

    once = reads_of_a_list(tasks=3)
    more = [f"more-{number}" for number in range(5)]
    filled.store.write(lambda unit: [conclude(unit, add_task(unit, task_id=one)) for one in more])
    assert reads_of_a_list(tasks=8) == once > 0


def _reads(metrics: StoreMetrics) -> float:
    """How often the records were read, point reads left out."""
    samples = [sample for metric in metrics.collect() for sample in metric.samples]
    return sum(one.value for one in samples if one.name.endswith("_count") and one.labels == {"kind": "read"})


def test_a_voiceprint_that_is_past_its_time_cannot_be_enrolled(filled: Rest) -> None:
    filled.clock.now += timedelta(hours=25)
    voiceprint = filled.ask("GET", "tasks/done").json()["voiceprint"]
    assert voiceprint == {"status": "VoiceprintGenerationSuccess", "canBeEnrolledUntil": None}


def test_a_task_without_results(filled: Rest) -> None:
    filled.store.write(lambda unit: unit.tasks.request_stop(MINE, "waiting", reason=StopReason.CALLER))
    task = filled.ask("GET", "tasks/waiting").json()
    require_fits(task, "Task")
    assert (task["status"], task["stopReason"]) == ("Stopping", "Caller")
    assert (task["identification"], task["voiceprint"], task["profileId"]) == (None, None, None)


def test_what_was_found_goes_with_the_domain(filled: Rest) -> None:
    filled.store.write(lambda unit: unit.domains.delete(MINE, "vpd-1"))
    task = filled.ask("GET", "tasks/done").json()
    require_fits(task, "Task")
    assert task["identification"] is None
    assert task["voiceprint"]["canBeEnrolledUntil"] is None


def test_tasks_of_one_pipeline_or_of_all(filled: Rest) -> None:
    def listed(**params: str) -> set[str]:
        answer = filled.ask("GET", "tasks", params=params).json()
        require_fits(answer, "Tasks")
        return {task["taskId"] for task in answer["tasks"]}

    arn = f"arn:aws:chime:eu-central-1:{MINE.account_id}:media-pipeline/pipeline-1"
    assert listed(pipelineId="pipeline-1") == listed(pipelineId=arn) == {"done", "waiting"}
    assert listed() == {"done", "waiting", "elsewhere"}
    require_error(filled.ask("GET", "tasks", params={"pipelineId": "nothing"}), 404, "NotFound")


def test_pages_of_tasks(filled: Rest) -> None:
    seen: list[str] = []
    params = {"limit": "1"}
    while True:
        page = filled.ask("GET", "tasks", params=params).json()
        seen += [task["taskId"] for task in page["tasks"]]
        if page["nextToken"] is None:
            break
        assert not {"+", "/", "&"} & set(page["nextToken"])  # it stands in queries as it is
        params["nextToken"] = page["nextToken"]
    assert sorted(seen) == ["done", "elsewhere", "waiting"]
    first = filled.ask("GET", "tasks", params={"limit": "1"}).json()["nextToken"]
    of_another_list = {"pipelineId": "pipeline-1", "nextToken": first}
    require_error(filled.ask("GET", "tasks", params=of_another_list), 400, "BadRequest")


def test_the_voices_of_a_domain(rest: Rest) -> None:
    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit, profile_id="vp-1")
        enrol(unit, profile_id="vp-2", consent=None)

    rest.store.write(work)
    answer = rest.ask("GET", "domains/vpd-1/profiles", role="operator")
    require_fits(answer.json(), "Profiles")
    prints = {one["profileId"]: one["voiceprints"][0] for one in answer.json()["profiles"]}
    assert prints["vp-1"]["encoderId"] == "two-d-1"
    assert prints["vp-1"]["netSpeechSeconds"] == 20.25
    assert prints["vp-1"]["consentReference"] == "form 12"
    assert prints["vp-2"]["hasConsentReference"] is False
    entry = rest.store.audit.list(MINE, limit=1).items[0]
    assert (entry.operation, entry.outcome) == ("ListDomainProfiles", "done")
    assert entry.resource_arn.endswith("voice-profile-domain/vpd-1")
    assert entry.key_id == f"tok-operator {MINE.account_id}"
    assert entry.request_id == answer.headers["x-request-id"]


def test_readers_learn_that_there_is_a_consent_and_not_whose(rest: Rest) -> None:
    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit, consent="signed by Sally Smith")

    rest.store.write(work)
    answer = rest.ask("GET", "domains/vpd-1/profiles", role="reader")
    assert "Sally" not in answer.text
    assert answer.json()["profiles"][0]["voiceprints"][0]["hasConsentReference"] is True


def test_how_far_tasks_are_behind(filled: Rest) -> None:
    require_fits(filled.ask("GET", "status").json(), "Status")
    assert state(filled) == {"runningTasks": 0, "lagSecondsMax": None}
    filled.lags.begin("waiting")
    filled.lags.hears("waiting", behind_seconds=3.5)
    filled.lags.begin("elsewhere")
    assert filled.ask("GET", "tasks/waiting").json()["lagSeconds"] == 3.5
    assert filled.ask("GET", "tasks/elsewhere").json()["lagSeconds"] == 0.0
    assert filled.ask("GET", "tasks/done").json()["lagSeconds"] is None
    assert state(filled) == {"runningTasks": 2, "lagSecondsMax": 3.5}


def bearer(scope: Scope) -> dict[str, str]:
    return {"authorization": f"Bearer {token('admin', scope)}"}


def state(rest: Rest, role: str = "admin", scope: Scope = MINE) -> dict[str, object]:
    """What the status says of the process."""
    told = rest.ask("GET", "status", role=role, scope=scope).json()
    return {name: told[name] for name in ("runningTasks", "lagSecondsMax")}


def test_an_account_sees_what_it_uses_of_its_limits(filled: Rest) -> None:
    """While one of its recordings is on its way."""

    async def ask_meanwhile() -> dict[Scope, dict[str, Any]]:
        began, end = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            began.set()
            await end.wait()
            yield b"no audio"

        async with filled.client() as client:
            path = f"{V1}/domains/vpd-1/search?region={MINE.region}"
            sending = asyncio.create_task(client.post(path, headers=bearer(MINE), content=slowly()))
            await began.wait()
            told = {scope: (await client.get(f"{V1}/status", headers=bearer(scope))).json() for scope in (MINE, THEIRS)}
            end.set()
            await sending
        return told

    told = asyncio.run(ask_meanwhile())
    assert {scope: one["accountId"] for scope, one in told.items()} == {
        scope: scope.account_id for scope in (MINE, THEIRS)
    }
    assert [one for one in told[MINE]["use"] if one["name"] != "waitingRequests"] == [
        {"name": "streams", "used": 3, "most": 10},
        {"name": "recordings", "used": 1, "most": 4},
    ]
    assert {"name": "recordings", "used": 0, "most": 4} in told[THEIRS]["use"]


def test_the_state_of_the_process_is_for_those_who_run_it(filled: Rest) -> None:
    """It counts the tasks of all accounts and names none, so every account's operators see the same numbers."""
    filled.lags.begin("waiting")
    asked = [(role, scope) for role in ("admin", "operator") for scope in (MINE, THEIRS)]
    told = [state(filled, role, scope) for role, scope in asked]
    assert told == [{"runningTasks": 1, "lagSecondsMax": 0.0}] * 4
    assert filled.ask("GET", "tasks/waiting", scope=THEIRS).status_code == 404
    for role in ("reader", "producer"):
        assert filled.ask("GET", "status", role=role).status_code == 403
    assert filled.send("GET", "status").status_code == 401
