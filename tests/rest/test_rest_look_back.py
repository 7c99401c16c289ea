"""Where else a voice was heard, over HTTP and real records: ranked, with false alarms, audited, gone with deletions."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from calibration_examples import document, moved
from rest_examples import (
    MINE,
    Rest,
    add_domain,
    add_pipeline,
    add_task,
    enrol,
    require_error,
    require_fits,
)

from earwitness.engine.calibration import shipped_calibration
from earwitness.models.catalogue import ENCODER_MODEL, entry
from earwitness.store.records import NewVoiceprint
from earwitness.store.store import Unit
from earwitness.voice.band import Band

ENCODER = entry(ENCODER_MODEL)
RANDOM = np.random.default_rng(7)
VOICE, STRANGER = (RANDOM.standard_normal(ENCODER.dimension) for _ in range(2))


def heard(voice: np.ndarray, *, noise: float = 0.0, encoder_id: str = "", seconds: float = 20.0) -> NewVoiceprint:
    vector = voice + noise * RANDOM.standard_normal(len(voice))
    return NewVoiceprint(
        encoder_id=encoder_id or ENCODER.encoder_id(Band.TELEPHONE),
        vector=(vector / np.linalg.norm(vector)).astype("<f4").tobytes(),
        net_speech_seconds=seconds,
        quality={},
    )


def add_call(unit: Unit, task_id: str, voiceprint: NewVoiceprint | None) -> None:
    add_task(unit, task_id=task_id)
    taken = unit.attempts.adopt(MINE, task_id)
    assert taken is not None
    unit.attempts.conclude_voiceprint(MINE, task_id, attempt=taken.attempt, voiceprint=voiceprint)
    unit.attempts.end(MINE, task_id, attempt=taken.attempt)


@pytest.fixture
def called(rest: Rest) -> Rest:
    """Six calls: three of one voice, two of strangers, one of another encoder."""

    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        add_call(unit, "first", heard(VOICE))
        add_call(unit, "again", heard(VOICE, noise=0.4))
        add_call(unit, "closest", heard(VOICE, noise=0.2))
        add_call(unit, "stranger", heard(STRANGER))
        add_call(unit, "other", heard(RANDOM.standard_normal(ENCODER.dimension)))
        add_call(unit, "former", heard(VOICE, encoder_id="another/telephone"))

    rest.store.write(work)
    return rest


def look_back(rest: Rest, path: str = "tasks/first/look-back", **more: Any) -> Any:
    response = rest.ask("POST", path, role="operator", **more)
    assert response.status_code == 200, response.text
    require_fits(response.json(), "LookBack")
    return response.json()


def test_other_calls_of_a_voice_are_ranked_with_what_strangers_would_do(called: Rest) -> None:
    found = look_back(called)
    calls = found["calls"]
    assert [one["taskId"] for one in calls if one["isMatch"]] == ["closest", "again"]
    assert {one["taskId"] for one in calls} == {"closest", "again", "stranger", "other"}  # never itself
    assert [one["score"] for one in calls] == sorted((one["score"] for one in calls), reverse=True)
    assert (found["lookedAt"], found["ofOtherEncoder"], found["kept"]) == (4, 1, 6)
    for one in calls:
        assert one["strangersExpected"] == pytest.approx(4 * one["falseMatchRate"])
        assert (one["score"] >= found["threshold"]["score"]) is one["isMatch"]
    assert found["threshold"]["gallerySize"] == 4
    assert found["threshold"]["pairFalseMatchRate"] == pytest.approx(0.01 / 4)
    assert found["threshold"]["lineMargin"] > 0  # the line of these calls is not known
    assert calls[0]["likelihoodRatio"] > 1 > calls[-1]["likelihoodRatio"]
    entry_of_trail = called.store.audit.list(MINE, limit=1).items[0]
    assert (entry_of_trail.operation, entry_of_trail.outcome) == ("LookBack", "done")


def test_a_call_with_less_speech_is_judged_by_it(called: Rest) -> None:
    calibration = shipped_calibration("campplus", "telephone")
    called.store.write(lambda unit: add_call(unit, "short", heard(VOICE, noise=0.2, seconds=3.0)))
    calls = {one["taskId"]: one for one in look_back(called)["calls"]}
    for task_id, seconds in (("short", 3.0), ("closest", 20.0)):
        rate = calibration.false_match_rate(calls[task_id]["score"], net_seconds=seconds)
        assert calls[task_id]["falseMatchRate"] == pytest.approx(rate)


def test_the_voice_of_a_profile_is_looked_for(called: Rest) -> None:
    called.store.write(lambda unit: enrol(unit, voiceprint=heard(VOICE)))
    found = look_back(called, "profiles/vp-1/look-back")
    assert [one["taskId"] for one in found["calls"] if one["isMatch"]] == ["first", "closest", "again"]
    assert called.store.audit.list(MINE, limit=1).items[0].operation == "LookBackForProfile"
    called.store.write(
        lambda unit: unit.profile_voiceprints.expire(expired_before=unit.now + timedelta(9_999), limit=9)
    )
    require_error(called.ask("POST", "profiles/vp-1/look-back"), 410, "Gone")
    require_error(called.ask("POST", "profiles/vp-9/look-back"), 404, "NotFound")


def test_a_voice_of_another_encoder_is_compared_with_nothing(called: Rest) -> None:
    found = look_back(called, "tasks/former/look-back")
    assert (found["calls"], found["lookedAt"], found["ofOtherEncoder"]) == ([], 0, 5)


def test_what_is_not_kept_any_more_is_neither_searched_nor_found(called: Rest) -> None:
    def purge(unit: Unit) -> None:
        unit.task_voiceprints.keep(MINE, "closest", until=unit.now)

    called.store.write(purge)
    assert "closest" not in {one["taskId"] for one in look_back(called)["calls"]}
    called.clock.now += timedelta(hours=25)
    assert "24 hours" in require_error(called.ask("POST", "tasks/first/look-back"), 410, "Gone")


def test_a_deleted_voice_is_found_by_no_look_back(called: Rest) -> None:
    def enrol_and_delete(unit: Unit) -> None:
        arn = f"arn:aws:chime:{MINE.region}:{MINE.account_id}:voice-profile/vp-7"
        unit.profiles.create_from_task(
            MINE,
            task_id="closest",
            profile_id="vp-7",
            arn=arn,
            voiceprint_id="p",
            expires_at=unit.now + timedelta(days=9),
            consent_reference=None,
        )
        unit.profiles.delete(MINE, "vp-7")

    called.store.write(enrol_and_delete)
    assert "closest" not in {one["taskId"] for one in look_back(called)["calls"]}


def test_calls_without_a_voiceprint_say_why(called: Rest) -> None:
    def work(unit: Unit) -> None:
        add_call(unit, "silent", None)
        add_task(unit, task_id="waiting")

    called.store.write(work)
    assert "too little speech" in require_error(called.ask("POST", "tasks/silent/look-back"), 404, "NotFound")
    assert "after 20 s" in require_error(called.ask("POST", "tasks/waiting/look-back"), 409, "Conflict")
    require_error(called.ask("POST", "tasks/unknown/look-back"), 404, "NotFound")


def test_a_voice_that_called_once_finds_nobody(called: Rest) -> None:
    assert not any(one["isMatch"] for one in look_back(called, "tasks/stranger/look-back")["calls"])


def test_a_single_call_has_nothing_to_be_compared_with(rest: Rest) -> None:
    def work(unit: Unit) -> None:
        add_domain(unit)
        add_pipeline(unit)
        add_call(unit, "first", heard(VOICE))

    rest.store.write(work)
    found = look_back(rest)
    assert (found["calls"], found["lookedAt"]) == ([], 0)


def test_a_look_back_rests_on_the_calibration_of_the_domain(called: Rest) -> None:
    before = look_back(called)
    response = called.ask("POST", "domains/vpd-1/calibrations", content=document(moved(0.05)))
    assert response.status_code == 200, response.text
    after = look_back(called)
    assert after["threshold"]["score"] == pytest.approx(before["threshold"]["score"] + 0.05)
    assert [one["score"] for one in after["calls"]] == [one["score"] for one in before["calls"]]
    assert after["calls"][0]["falseMatchRate"] > before["calls"][0]["falseMatchRate"]
    called.ask("POST", "domains/vpd-1/calibrations/use", params={"calibrationId": "service"})
    assert look_back(called) == before
