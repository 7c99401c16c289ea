"""Re-embedding: voiceprints of another encoder become those of the present one, from the speech that was kept."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rest_examples import MINE, VOICEPRINT, Rest, add_domain, enrol, require_error, require_fits
from sqlalchemy import update
from test_rest_jobs import CONSENT, get, items, work, work_through, worker

from earwitness.engine.compensation import Compensation
from earwitness.engine.encoder import SpeakerEncoder
from earwitness.engine.engine import Engine
from earwitness.engine.space import Space, _shipped_former
from earwitness.models.sessions import Array
from earwitness.rest.context import RestLimits
from earwitness.samples import first_call, second_call
from earwitness.store.repository import RowSeal
from earwitness.store.schema import profile_voiceprints
from earwitness.store.store import Unit
from earwitness.tasks import jobs as worker_room
from earwitness.tasks.recordings import RecordingWork
from earwitness.voice.embedding import Samples

ANOTHER = "campplus-turned-1/telephone"
FORMER = "campplus-0.2.2-r1/telephone/dfc758e8"
_TURN = np.linalg.qr(np.random.default_rng(5).standard_normal((192, 192)))[0].astype(np.float32)
"""Turns embeddings about: what is near stays near, and nothing is near what was not turned."""


class TurnedEncoder(SpeakerEncoder):
    """Another encoder, as good as the real one: it hears with the same network, and its numbers do not compare."""

    def __init__(self, encoder: SpeakerEncoder) -> None:
        super().__init__(encoder._session, band=encoder.band, compensation=encoder._compensation)
        self.encoder_id = ANOTHER

    def _run(self, samples: Samples, *, seconds_min: float) -> tuple[tuple[Array, Array], float]:
        (raw, windows), seconds = super()._run(samples, seconds_min=seconds_min)
        return (raw @ _TURN, windows), seconds


@pytest.fixture(scope="module")
def turned(engine: Engine) -> Engine:
    """The engine of a later version, say, with another encoder."""
    shipped = engine.space.shipped
    compensation = Compensation(shipped.mean @ _TURN, shipped.directions @ _TURN)
    calibration = replace(engine.calibration, encoder_id=f"{ANOTHER}/{compensation.id}")
    space = Space(encoder_id=ANOTHER, shipped=compensation, calibration=calibration)
    return replace(engine, encoder=TurnedEncoder(engine.encoder), space=space.require_calibration())


def later(rest: Rest, engine: Engine, **given: Any) -> Rest:
    """The same records, served with another engine."""
    return Rest(store=rest.store, engine=engine, clock=rest.clock, keep_audio=True, **given)


def enrolled(rest: Rest, caller: str, **more: str) -> tuple[str, str]:
    """The ids of a profile and its latest voiceprint."""
    recording = (second_call if more else first_call)(caller).read_bytes()
    made = rest.ask("POST", "domains/vpd-1/profiles", params=CONSENT | more, content=recording)
    assert made.status_code == 200, made.text
    return made.json()["profileId"], made.json()["voiceprints"][-1]["voiceprintId"]


def searched(rest: Rest, caller: str) -> str:
    """Whom a search for the second call of a caller names; empty for nobody."""
    decision = rest.ask("POST", "domains/vpd-1/search", content=second_call(caller).read_bytes()).json()
    return decision["candidates"][0]["profileId"] if decision["outcome"] == "match" else ""


def begin(rest: Rest, **more: str) -> dict[str, Any]:
    answer = rest.ask("POST", "domains/vpd-1/jobs", params={"kind": "reembed", **more})
    assert answer.status_code == 200, answer.text
    require_fits(answer.json(), "Job")
    return answer.json()


def encoders(rest: Rest) -> dict[str, int]:
    return rest.store.lines.encoders(MINE, "vpd-1")


@pytest.fixture
def domain(build: Callable[..., Rest]) -> Rest:
    rest = build(keep_audio=True)
    rest.store.write(add_domain)
    return rest


@pytest.mark.slow
def test_the_voices_of_a_domain_under_another_encoder(domain: Rest, turned: Engine) -> None:
    sally, first = enrolled(domain, "sally")
    _, second = enrolled(domain, "sally", profileId=sally)
    kal, third = enrolled(domain, "kal")
    domain.recordings.keep_audio = False
    unkept, _ = enrolled(domain, "marvin")
    after = later(domain, turned)
    # Nothing is compared across encoders: nobody is found by numbers that mean something else.
    assert [searched(after, one) for one in ("sally", "kal", "marvin")] == ["", "", ""]
    assert [searched(domain, one) for one in ("sally", "kal", "marvin")] == [sally, kal, unkept]
    job = begin(after)
    assert (job["encoderId"], job["items"], job["missing"], job["source"]) == (ANOTHER, 4, [], None)
    assert begin(after) == job  # it is there already
    work_through(after, job)
    ended = get(after, job)
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 3, 1)
    found = items(after, job)
    changed = {one["voiceprint"]["voiceprintId"]: one for one in found[:3]}
    assert set(changed) == {first, second, third}
    for one in changed.values():
        assert one["voiceprint"]["formerEncoderId"] == domain.engine.encoder.encoder_id
        assert one["voiceprint"]["encoderId"] == ANOTHER
    (left,) = found[3:]
    assert left["voiceprint"]["profileId"] == unkept
    assert "keep_enrolment_audio" in left["reason"]
    assert encoders(after) == {ANOTHER: 3, domain.engine.encoder.encoder_id: 1}
    assert [searched(after, one) for one in ("sally", "kal", "marvin")] == [sally, kal, ""]
    assert [searched(domain, one) for one in ("sally", "kal", "marvin")] == ["", "", unkept]
    (profile,) = (
        one for one in after.ask("GET", "domains/vpd-1/profiles").json()["profiles"] if one["profileId"] == sally
    )
    assert [one["consentReference"] for one in profile["voiceprints"]] == [CONSENT["consent"]] * 2
    audit = [one.operation for one in after.store.audit.list(MINE, limit=99).items]
    assert (audit.count("ReembedVoiceprint"), audit.count("CreateJob")) == (3, 1)
    back = begin(domain)  # and back again, from the same speech
    work_through(domain, back)
    assert [searched(domain, one) for one in ("sally", "kal")] == [sally, kal]


def make_former(rest: Rest, profile_id: str, voiceprint_id: str) -> None:
    """Make a voiceprint one of version 0.2, which kept them compensated."""
    former = _shipped_former(FORMER)
    assert former is not None
    (entry,) = (
        one
        for one in rest.store.profile_voiceprints.gallery_page(MINE, "vpd-1", limit=99).page.items  # pyright: ignore[reportOptionalMemberAccess]
        if one.voiceprint_id == voiceprint_id
    )
    raw = np.frombuffer(entry.vector, "<f4")

    def write(unit: Unit) -> None:
        key = unit.profile_voiceprints._require_domain_key(MINE, "vpd-1")
        seal = RowSeal(key, profile_voiceprints, MINE, profile_id, voiceprint_id)
        sealed = seal.seal(vector_ciphertext=former.compensation.apply(raw[None])[0].astype("<f4").tobytes())
        chosen = update(profile_voiceprints).where(profile_voiceprints.c.voiceprint_id == voiceprint_id)
        unit._writing.session.change(chosen.values(encoder_id=FORMER, **sealed))
        unit.domains.note_change(MINE, "vpd-1", profile_id)

    rest.store.write(write)


@pytest.mark.slow
def test_former_voiceprints_are_found_until_they_are_made_again(domain: Rest) -> None:
    sally, voiceprint = enrolled(domain, "sally")
    make_former(domain, sally, voiceprint)
    assert encoders(domain) == {FORMER: 1}
    assert searched(domain, "sally") == sally  # in their own space
    job = begin(domain)
    assert searched(domain, "sally") == sally
    work_through(domain, job)
    assert encoders(domain) == {domain.engine.encoder.encoder_id: 1}
    assert searched(domain, "sally") == sally
    assert domain.ask("GET", "domains/vpd-1/lines").json()["formerVoiceprints"] == 0
    nothing_left = begin(domain)
    assert nothing_left["jobId"] != job["jobId"]
    assert (nothing_left["state"], nothing_left["items"]) == ("done", 0)


def add_old(rest: Rest, profile_id: str, *, audio: bytes, **quality: float | None) -> None:
    """A profile whose voiceprint was made by an encoder that is gone, with speech that is kept."""
    measured = {
        "speech_level_dbfs": -26.0,
        "peak_dbfs": -3.0,
        "clipped_percent": 0.0,
        "snr_db": 30.0,
        "bandwidth_hz": 3_400.0,
    }
    made = replace(VOICEPRINT, vector=struct.pack("<2f", 1, 0), quality=measured | quality, audio=audio)
    rest.store.write(lambda unit: enrol(unit, profile_id=profile_id, voiceprint=made))


@pytest.mark.slow
def test_speech_that_may_not_be_enrolled_any_more_is_refused_with_a_reason(domain: Rest) -> None:
    sally, voiceprint = enrolled(domain, "sally")
    speech = domain.store.profile_voiceprints.audio(MINE, sally, voiceprint)
    assert speech is not None
    add_old(domain, "vp-quiet", audio=speech, speech_level_dbfs=-60.0)
    add_old(domain, "vp-silent", audio=bytes(len(speech)), speech_level_dbfs=None)
    add_old(domain, "vp-short", audio=speech[: 5 * 32_000])
    add_old(domain, "vp-loop", audio=speech[: 5 * 32_000] * 3)
    add_old(domain, "vp-good", audio=speech, snr_db=None)
    job = begin(domain)
    work_through(domain, job)
    reasons = {one["voiceprint"]["profileId"]: one["reason"] for one in items(domain, job)}
    assert reasons.pop("vp-good") is None
    for name, words in (("quiet", "too quiet"), ("silent", "too quiet"), ("short", "10"), ("loop", "repeats itself")):
        assert words in reasons.pop(f"vp-{name}")
    assert reasons == {}
    assert encoders(domain) == {VOICEPRINT.encoder_id: 4, domain.engine.encoder.encoder_id: 2}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "enrolled anew"])
def test_a_profile_that_changes_meanwhile_is_left_alone(
    domain: Rest, turned: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sally, voiceprint = enrolled(domain, "sally")
    after = later(domain, turned)
    job = begin(after)
    embed_again = RecordingWork.embed_again

    def meanwhile(recordings: RecordingWork, *given: Any, **named: Any) -> Any:
        made = embed_again(recordings, *given, **named)
        if how == "deleted":
            assert domain.store.write(lambda unit: unit.profiles.delete(MINE, sally))
        else:
            assert domain.store.write(lambda unit: unit.profile_voiceprints.delete(MINE, sally, voiceprint))
            enrolled(domain, "sally", profileId=sally)
        return made

    monkeypatch.setattr(RecordingWork, "embed_again", meanwhile)
    work_through(after, job)
    (item,) = items(after, job)
    assert (item["state"], "meanwhile" in item["reason"]) == ("failed", True)
    expected = {} if how == "deleted" else {domain.engine.encoder.encoder_id: 1}
    assert encoders(after) == expected
    assert (domain.store.profiles.get(MINE, sally) is None) == (how == "deleted")


@pytest.mark.slow
def test_a_cancelled_job_or_a_deleted_domain_changes_nothing(
    domain: Rest, turned: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(domain, "sally")
    after = later(domain, turned)
    ends = iter(("cancelled", "domain_deleted"))
    embed_again = RecordingWork.embed_again

    def meanwhile(recordings: RecordingWork, *given: Any, **named: Any) -> Any:
        made = embed_again(recordings, *given, **named)
        if next(ends) == "cancelled":
            domain.ask("POST", f"jobs/{job['jobId']}/cancel")
        else:
            domain.ask("DELETE", "domains/vpd-1")
        return made

    monkeypatch.setattr(RecordingWork, "embed_again", meanwhile)
    for state, left in (("cancelled", {domain.engine.encoder.encoder_id: 1}), ("domain_deleted", {})):
        job = begin(after)
        work_through(after, job)
        assert (get(after, job)["state"], get(after, job)["done"]) == (state, 0)
        assert encoders(after) == left


@pytest.mark.slow
def test_two_workers_make_each_voiceprint_again_once(domain: Rest, turned: Engine, build: Callable[..., Rest]) -> None:
    for caller in ("sally", "kal", "marvin"):
        enrolled(domain, caller)
    first, second = later(domain, turned), later(build(), turned)
    before = domain.store.domains.get(MINE, "vpd-1")
    job = begin(first)
    workers = [worker(rest.store, rest.recordings, is_alone=False) for rest in (first, second)]
    work(*workers, over=lambda: get(first, job)["state"] != "open")
    assert (get(first, job)["done"], encoders(first)) == (3, {ANOTHER: 3})
    changed = domain.store.domains.get(MINE, "vpd-1")
    assert before is not None
    assert changed is not None
    assert changed.version == before.version + 3


@pytest.mark.slow
def test_a_process_with_another_encoder_leaves_the_work_to_others(
    domain: Rest, turned: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or says after a while that there is nobody who has it."""
    monkeypatch.setattr(worker_room, "AGAIN_SECONDS", 0.0)
    enrolled(domain, "sally")
    job = begin(later(domain, turned))
    work_through(domain, job)
    (item,) = items(domain, job)
    assert (item["attempt"], "another voice encoder" in item["reason"]) == (worker_room.ATTEMPTS_MAX, True)
    assert encoders(domain) == {domain.engine.encoder.encoder_id: 1}


def test_what_cannot_be_asked_for_is_refused(build: Callable[..., Rest], turned: Engine) -> None:
    rest = build(keep_audio=True, limits=RestLimits(open_jobs_max=1))
    rest.store.write(add_domain)
    rest.store.write(enrol)

    def refused(asker: Rest, status: int, error: str, *, role: str = "admin", **params: Any) -> str:
        asked = {"kind": "reembed", **params}
        return require_error(asker.ask("POST", "domains/vpd-1/jobs", params=asked, role=role), status, error)

    refused(rest, 400, "BadRequest", items=1)
    refused(rest, 400, "BadRequest", stream="calls")
    refused(rest, 403, "Forbidden", role="reader")
    job = begin(rest, jobId="of-monday")
    assert begin(rest, jobId="of-monday") == job
    assert begin(rest) == job
    response = rest.ask("PUT", "jobs/of-monday/items/1", params={"name": "n"}, content=b"x")
    assert "takes no recordings" in require_error(response, 422, "Unprocessable")
    refused(later(rest, turned, limits=RestLimits(open_jobs_max=1)), 409, "Conflict")
    rest.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    response = rest.ask("POST", "domains/vpd-2/jobs", params={"kind": "reembed"})
    require_error(response, 409, "LimitExceeded")
