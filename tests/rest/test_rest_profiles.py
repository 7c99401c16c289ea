"""One profile: read, deleted, deleted again; and tasks by status and by outcome."""

from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from rest_examples import (
    DECISION,
    MINE,
    START,
    THEIRS,
    VOICEPRINT,
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


def add_voiceprints(rest: Rest, count: int) -> None:
    for number in range(count):
        rest.clock.now += timedelta(minutes=1)
        rest.store.write(
            lambda unit, number=number: unit.profiles.add_voiceprint(
                MINE,
                "vp-1",
                voiceprint_id=f"print-{number}",
                voiceprint=VOICEPRINT,
                expires_at=START + timedelta(days=1_000),
                consent_reference=None,
            )
        )


def voiceprints_of(rest: Rest) -> list[str]:
    return [one["voiceprintId"] for one in rest.ask("GET", "profiles/vp-1").json()["voiceprints"]]


def test_a_profile_goes_back_to_before_a_voiceprint(rest: Rest) -> None:
    fill(rest)
    add_voiceprints(rest, 3)
    before = rest.ask("GET", "profiles/vp-1").json()
    back = {"voiceprintId": "print-1"}
    require_error(rest.ask("POST", "profiles/vp-1/roll-back", params=back, role="reader"), 403, "Forbidden")
    require_error(rest.ask("POST", "profiles/vp-1/roll-back", params=back, scope=THEIRS), 404, "NotFound")
    require_error(rest.ask("POST", "profiles/vp-1/roll-back"), 400, "BadRequest")
    answer = rest.ask("POST", "profiles/vp-1/roll-back", params=back, role="operator")
    require_fits(answer.json(), "Profile")
    assert [one["voiceprintId"] for one in answer.json()["voiceprints"]] == voiceprints_of(rest)
    assert voiceprints_of(rest) == ["print-of-vp-1", "print-0"]
    assert answer.json()["expiresAt"] == before["expiresAt"]
    require_error(rest.ask("POST", "profiles/vp-1/roll-back", params=back), 404, "NotFound")
    operations = [one.operation for one in rest.store.audit.list(MINE, limit=20).items if one.outcome == "done"]
    assert operations.count("RollBackProfile") == 1


def test_one_voiceprint_is_removed_and_the_last_one_stays(rest: Rest) -> None:
    fill(rest)
    add_voiceprints(rest, 2)
    assert rest.ask("DELETE", "profiles/vp-1/voiceprints/print-0").status_code == 200
    assert voiceprints_of(rest) == ["print-of-vp-1", "print-1"]
    require_error(rest.ask("DELETE", "profiles/vp-1/voiceprints/print-0"), 404, "NotFound")
    require_error(rest.ask("DELETE", "profiles/vp-2/voiceprints/print-1"), 404, "NotFound")
    require_error(rest.ask("DELETE", "profiles/vp-9/voiceprints/print-1"), 404, "NotFound")
    assert rest.ask("DELETE", "profiles/vp-1/voiceprints/print-of-vp-1").status_code == 200
    told = require_error(rest.ask("DELETE", "profiles/vp-1/voiceprints/print-1"), 409, "Conflict")
    assert "delete the profile" in told
    back = {"voiceprintId": "print-1"}
    require_error(rest.ask("POST", "profiles/vp-1/roll-back", params=back), 409, "Conflict")
    assert voiceprints_of(rest) == ["print-1"]


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
