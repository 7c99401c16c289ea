"""Labels over HTTP and real records: who spoke, said and taken back, and a call that is drawn to be labelled."""

from collections.abc import Callable
from dataclasses import asdict, replace
from random import Random
from typing import Any

import pytest
from rest_examples import (
    DECISION,
    MINE,
    Rest,
    add_domain,
    add_pipeline,
    add_task,
    conclude,
    enrol,
    key_id,
    require_error,
    require_fits,
)

from earwitness.store.store import Unit
from earwitness.voice.decision import Decision, Outcome

STRANGER = replace(DECISION, outcome=Outcome.NO_MATCH)
LABEL = "tasks/task-1/label"
DRAW = "domains/vpd-1/labels/draw"


def add_result(unit: Unit, task_id: str, decision: Decision) -> None:
    task = add_task(unit, task_id=task_id)
    taken = unit.attempts.adopt(MINE, task_id)
    assert taken is not None
    unit.attempts.conclude_identification(MINE, task_id, attempt=taken.attempt, identification=asdict(decision))
    unit.attempts.end(MINE, task.task_id, attempt=taken.attempt)


@pytest.fixture
def called(rest: Rest) -> Rest:
    """A domain of two people, with one call that was a match."""

    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit)
        enrol(unit, profile_id="vp-2")
        add_pipeline(unit)
        conclude(unit, add_task(unit, task_id="task-1"))

    rest.store.write(work)
    return rest


def put(rest: Rest, task_id: str = "task-1", **params: str) -> Any:
    response = rest.ask("PUT", f"tasks/{task_id}/label", role="operator", params=params)
    assert response.status_code == 200, response.text
    require_fits(response.json(), "Label")
    assert rest.ask("GET", f"tasks/{task_id}/label", role="reader").json() == response.json()
    return response.json()


def trail(rest: Rest) -> list[tuple[str, str]]:
    return [(one.operation, one.resource_arn.rpartition("/")[2]) for one in rest.store.audit.list(MINE, limit=9).items]


def test_a_label_is_said_changed_and_taken_back_and_each_is_in_the_trail(called: Rest) -> None:
    assert "nobody has said" in require_error(called.ask("GET", LABEL), 404, "NotFound")
    first = put(called, spoke="profile", profileId="vp-1")
    assert (first["spoke"], first["profileId"], first["picked"]) == ("profile", "vp-1", "chosen")
    assert first["keyId"] == f"tok-operator {MINE.account_id}"
    second = put(called, spoke="nobody", picked="queue")
    assert (second["spoke"], second["profileId"], second["picked"]) == ("nobody", None, "queue")
    gone = called.ask("DELETE", LABEL)
    assert gone.json() == second
    require_error(called.ask("DELETE", LABEL), 404, "NotFound")
    assert trail(called) == [("DeleteLabel", "task-1"), ("PutLabel nobody", "task-1"), ("PutLabel profile", "task-1")]


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({"spoke": "profile"}, 400, "profileId is missing: say who it was"),
        ({"spoke": "not"}, 400, "who it was not"),
        ({"spoke": "nobody", "profileId": "vp-1"}, 400, "leave it out"),
        ({"spoke": "somebody"}, 400, "enrolled or nobody or not or profile or unsure"),
        ({}, 400, "spoke"),
        ({"spoke": "profile", "profileId": "vp-9"}, 404, "no voice profile of this id"),
        ({"spoke": "profile", "profileId": "x" * 129}, 400, "profileId"),
        ({"spoke": "profile", "profileId": "../vp-1"}, 400, "letters, digits"),
    ],
)
def test_what_makes_no_label(called: Rest, params: dict[str, str], status: int, words: str) -> None:
    kind = "BadRequest" if status == 400 else "NotFound"
    assert words in require_error(called.ask("PUT", LABEL, params=params), status, kind)
    require_error(called.ask("GET", LABEL), 404, "NotFound")
    assert trail(called) == []


def test_only_an_answer_about_one_voice_can_be_right_or_wrong(called: Rest) -> None:
    short = replace(DECISION, outcome=Outcome.NOT_ENOUGH_SPEECH, candidates=(), threshold=None)

    def work(unit: Unit) -> None:
        add_result(unit, "task-2", short)
        add_result(unit, "task-3", replace(short, outcome=Outcome.SEVERAL_VOICES, voices=(DECISION, STRANGER)))
        add_task(unit, task_id="task-4")

    called.store.write(work)
    for task_id in ("task-2", "task-3", "task-4"):
        answer = called.ask("PUT", f"tasks/{task_id}/label", params={"spoke": "nobody"})
        assert "no answer that could be right or wrong" in require_error(answer, 409, "Conflict")


def test_the_labelled_calls_of_a_domain_come_with_what_the_searches_said(called: Rest) -> None:
    called.store.write(lambda unit: add_result(unit, "task-2", STRANGER))
    put(called, spoke="not", profileId="vp-1")
    put(called, "task-2", spoke="profile", profileId="vp-2")
    first = called.ask("GET", "domains/vpd-1/labels", role="reader", params={"limit": "1"}).json()
    require_fits(first, "LabelledCalls")
    second = called.ask("GET", "domains/vpd-1/labels", params={"limit": "1", "nextToken": first["nextToken"]}).json()
    assert second["nextToken"] is None
    (one,), (other,) = first["calls"], second["calls"]
    assert (one["taskId"], one["outcome"], one["named"], one["isRight"]) == ("task-1", "match", "vp-1", False)
    assert (other["taskId"], other["outcome"], other["named"], other["isRight"]) == ("task-2", "no match", None, False)
    assert one["candidates"][0] == {"profileId": "vp-1", "score": 0.81}
    assert (one["threshold"], one["gallerySize"], one["stream"]["channelId"]) == (0.52, 2, 0)
    assert one["label"]["spoke"] == "not"
    assert trail(called)[0] == ("ListLabels", "vpd-1")


def drawn(rest: Rest) -> Any:
    response = rest.ask("GET", DRAW, role="reader")
    require_fits(response.json(), "Unlabelled")
    return response.json()


def test_calls_without_a_match_are_offered_as_often_as_matches(build: Callable[..., Rest]) -> None:
    rest = build(random=Random(1))

    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit)
        add_pipeline(unit)
        for number in range(40):
            add_result(unit, f"{number:02d}-task", DECISION if number % 10 == 0 else STRANGER)

    rest.store.write(work)
    offered = [drawn(rest)["call"] for _ in range(60)]
    matches = [one for one in offered if one["outcome"] == "match"]
    assert 20 <= len(matches) <= 40  # one in ten calls is a match, one in two that are offered
    assert len({one["taskId"] for one in offered if one["outcome"] == "no match"}) >= 15
    counted = drawn(rest)
    assert (counted["calls"], counted["lookedAt"], counted["matches"], counted["noMatches"]) == (40, 40, 4, 36)
    assert (counted["labelledMatches"], counted["labelledNoMatches"], counted["advice"]) == (0, 0, None)


def test_a_labelled_call_is_not_offered_and_matches_alone_say_too_little(called: Rest) -> None:
    called.store.write(lambda unit: add_result(unit, "task-2", STRANGER))
    put(called, spoke="profile", profileId="vp-1")
    counted = drawn(called)
    assert counted["call"]["taskId"] == "task-2"
    assert (counted["labelledMatches"], counted["labelledNoMatches"]) == (1, 0)
    assert "only calls that named somebody are labelled" in counted["advice"]
    put(called, "task-2", spoke="unsure")  # it counts for nothing, and is not asked again
    counted = drawn(called)
    assert (counted["call"], counted["labelledNoMatches"]) == (None, 0)
    put(called, "task-2", spoke="nobody")
    assert drawn(called)["advice"] is None


def test_a_domain_without_calls_has_nothing_to_label(called: Rest) -> None:
    called.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    counted = called.ask("GET", "domains/vpd-2/labels/draw").json()
    assert (counted["calls"], counted["call"]) == (0, None)


def test_a_label_of_a_deleted_profile_is_gone(called: Rest) -> None:
    put(called, spoke="not", profileId="vp-1")
    assert called.ask("DELETE", "profiles/vp-1").status_code == 200
    require_error(called.ask("GET", LABEL), 404, "NotFound")
    answer = called.ask("PUT", LABEL, params={"spoke": "not", "profileId": "vp-1"})
    assert "`nobody`" in require_error(answer, 404, "NotFound")
    assert key_id("operator") not in answer.text


def test_the_report_says_how_often_searches_were_right_and_what_it_cannot_say(called: Rest) -> None:
    def report() -> Any:
        response = called.ask("GET", "domains/vpd-1/labels/report", role="reader")
        require_fits(response.json(), "LabelReport")
        return response.json()

    assert "no call is labelled" in report()["cautions"][0]
    called.store.write(lambda unit: add_result(unit, "task-2", STRANGER))
    put(called, spoke="profile", profileId="vp-1", picked="queue")
    only = report()
    assert (only["matches"], only["noMatches"], only["namesRight"]["count"], only["found"]) == (1, 1, 1, None)
    assert "only calls that named somebody are labelled" in only["cautions"][0]
    put(called, "task-2", spoke="enrolled", picked="queue")
    both = report()
    assert (both["missed"]["count"], both["missed"]["of"], both["found"]["percent"]) == (1, 1, 50.0)
    assert both["cautions"] == []
    assert trail(called)[0] == ("GetLabelReport", "vpd-1")
