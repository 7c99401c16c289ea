"""One profile: read, deleted, deleted again; and tasks by status and by outcome."""

from dataclasses import asdict, replace

import pytest
from rest_examples import (
    DECISION,
    MINE,
    THEIRS,
    Rest,
    add_domain,
    add_pipeline,
    add_task,
    enrol,
    require_error,
    require_fits,
)

from earwitness.store.store import Unit
from earwitness.voice.decision import Outcome


def fill(rest: Rest) -> None:
    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit)
        enrol(unit, profile_id="vp-2", consent=None)

    rest.store.write(work)


def test_a_profile_is_answered_with_what_was_measured_of_its_speech(rest: Rest) -> None:
    fill(rest)
    answer = rest.ask("GET", "profiles/vp-1")
    require_fits(answer.json(), "Profile")
    (voiceprint,) = answer.json()["voiceprints"]
    assert voiceprint["consentReference"] == "form 12"
    assert set(voiceprint["quality"]) == {"snrDb", "speechLevelDbfs", "clippedPercent", "bandwidthHz"}
    newest = rest.store.audit.list(MINE, limit=1).items[0]
    assert (newest.operation, newest.outcome) == ("GetProfile", "done")


def test_a_reader_is_not_told_the_text_of_a_consent(rest: Rest) -> None:
    fill(rest)
    (voiceprint,) = rest.ask("GET", "profiles/vp-1", role="reader").json()["voiceprints"]
    assert (voiceprint["hasConsentReference"], voiceprint["consentReference"]) == (True, None)


def test_a_profile_is_deleted_once(rest: Rest) -> None:
    fill(rest)
    require_error(rest.ask("DELETE", "profiles/vp-1", role="reader"), 403, "Forbidden")
    require_error(rest.ask("DELETE", "profiles/vp-1", scope=THEIRS), 404, "NotFound")
    assert rest.ask("DELETE", "profiles/vp-1", role="operator").json()["profileId"] == "vp-1"
    require_error(rest.ask("DELETE", "profiles/vp-1"), 404, "NotFound")
    require_error(rest.ask("GET", "profiles/vp-1"), 404, "NotFound")
    assert [one["profileId"] for one in rest.ask("GET", "domains/vpd-1/profiles").json()["profiles"]] == ["vp-2"]


def tasks_of(rest: Rest, **params: object) -> tuple[list[str], str | None]:
    answer = rest.ask("GET", "tasks", params=params)
    require_fits(answer.json(), "Tasks")
    return [task["taskId"] for task in answer.json()["tasks"]], answer.json()["nextToken"]


def add_tasks(rest: Rest, count: int) -> None:
    """Every third one is a match, every third one a stranger, the others go on."""

    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        for number in range(count):
            task = add_task(unit, task_id=f"task-{number:03}")
            taken = unit.attempts.adopt(MINE, task.task_id)
            assert taken is not None
            if number % 3 < 2:
                outcome = Outcome.NO_MATCH if number % 3 else Outcome.MATCH
                decision = asdict(replace(DECISION, outcome=outcome))
                unit.attempts.conclude_identification(MINE, task.task_id, attempt=1, identification=decision)
                unit.attempts.end(MINE, task.task_id, attempt=1)

    rest.store.write(work)


def test_tasks_are_listed_by_status(rest: Rest) -> None:
    add_tasks(rest, 6)
    assert tasks_of(rest, status="Stopped")[0] == ["task-004", "task-003", "task-001", "task-000"]
    assert tasks_of(rest, status="Initializing")[0] == ["task-005", "task-002"]
    assert tasks_of(rest, status="Failed") == ([], None)
    require_error(rest.ask("GET", "tasks", params={"status": "Elsewhere"}), 400, "BadRequest")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_tasks_of_an_outcome_are_all_found_whatever_the_page(rest: Rest, limit: int) -> None:
    add_tasks(rest, 40)
    found: list[str] = []
    token: str | None = ""
    while token is not None:
        params = {"outcome": "match", "limit": limit} | ({"nextToken": token} if token else {})
        some, token = tasks_of(rest, **params)
        assert len(some) <= limit
        found += some
    assert found == [f"task-{number:03}" for number in range(39, -1, -3)]


def test_a_token_is_of_one_filter(rest: Rest) -> None:
    add_tasks(rest, 9)
    _, token = tasks_of(rest, outcome="match", limit=1)
    answer = rest.ask("GET", "tasks", params={"outcome": "no match", "nextToken": token})
    require_error(answer, 400, "BadRequest")
