"""Consents over the JSON API: recorded by operators, required by admins, asked for by searches and enrolments."""

import json
from typing import Any

import pytest
from rest_examples import MINE, Rest, add_domain, enrol, require_error, require_fits

from earwitness.samples import first_call
from earwitness.store.consent_schema import withdrawn_subjects
from earwitness.store.job_records import ItemInput
from earwitness.store.repository import in_scope
from earwitness.voice.job import JobKind

SUBJECT = "customer 4711"
CONSENT = {
    "subject": SUBJECT,
    "textVersion": "2026-01",
    "givenAt": "2025-12-31T08:00:00Z",
    "medium": "phone",
    "evidence": "call 17",
    "purpose": "to know callers",
}


@pytest.fixture
def filled(rest: Rest) -> Rest:
    rest.store.write(add_domain)
    return rest


def _record(rest: Rest, **more: Any):
    return rest.ask("POST", "domains/vpd-1/consents", role="operator", content=json.dumps({**CONSENT, **more}).encode())


def _require(rest: Rest, required: str, role: str = "admin"):
    return rest.ask("PUT", "domains/vpd-1/consent", role=role, params={"required": required})


def test_a_consent_is_recorded_and_its_domain_requires_it(filled: Rest) -> None:
    answer = _record(filled)
    assert answer.status_code == 200, answer.text
    require_fits(answer.json(), "Consent")
    assert _record(filled).json() == answer.json()
    changed = _require(filled, "search").json()
    assert changed["consentRequired"] == "search"
    assert filled.ask("GET", "domains").json()["domains"] == [changed]
    assert filled.store.tags.list(MINE, changed["arn"]) == {"earwitness:consent:required": "search"}
    require_error(_require(filled, "none", role="operator"), 403, "Forbidden")
    newest = filled.store.audit.list(MINE, limit=9).items
    assert "4711" not in repr(newest)
    assert newest[-1].resource_arn.endswith(answer.json()["consentId"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        json.dumps({**CONSENT, "subject": ""}).encode(),
        json.dumps({**CONSENT, "subject": "x" * 257}).encode(),
        json.dumps({**CONSENT, "givenAt": "Ada"}).encode(),
        json.dumps({**CONSENT, "givenAt": "2025-01-01T00:00:00"}).encode(),
        json.dumps({**CONSENT, "name": "Ada"}).encode(),
        json.dumps({name: text for name, text in CONSENT.items() if name != "purpose"}).encode(),
        json.dumps({**CONSENT, "medium": "a\u0000b"}).encode(),
        json.dumps({**CONSENT, "givenAt": "2099-01-01T00:00:00Z"}).encode(),
    ],
)
def test_a_bad_body_is_refused_and_not_repeated(filled: Rest, body: bytes) -> None:
    message = require_error(filled.ask("POST", "domains/vpd-1/consents", content=body), 400, "BadRequest")
    assert "Ada" not in message


def test_a_recording_of_nobody_in_particular_is_refused_before_it_is_listened_to(filled: Rest) -> None:
    _require(filled, "search")
    for path, more in (("search", {}), ("profiles", {"consent": "form 12"})):
        answer = filled.ask("POST", f"domains/vpd-1/{path}", params=more, content=b"no audio at all")
        assert "names no subject" in (message := require_error(answer, 403, "ConsentMissing")) or "a subject" in message
        answer = filled.ask("POST", f"domains/vpd-1/{path}", params={**more, "subject": SUBJECT}, content=b"no audio")
        assert "record it" in require_error(answer, 403, "ConsentMissing")
    assert filled.store.profiles.count(MINE, "vpd-1") == 0


@pytest.mark.slow
def test_a_recording_of_whoever_consented_is_searched_and_enrolled(filled: Rest) -> None:
    _require(filled, "search")
    _record(filled)
    recording, named = first_call("sally").read_bytes(), {"subject": SUBJECT}
    made = filled.ask("POST", "domains/vpd-1/profiles", params={**named, "consent": "form 12"}, content=recording)
    assert made.status_code == 200, made.text
    found = filled.ask("POST", "domains/vpd-1/search", params=named, content=recording)
    assert found.json()["candidates"][0]["profileId"] == made.json()["profileId"]
    consents = filled.store.consents.of_profile(MINE, made.json()["profileId"])
    assert sorted(str(one.terms.evidence) for one in consents) == ["call 17", "form 12"]
    _record(filled, subject="customer 2")
    answer = filled.ask(
        "POST",
        "domains/vpd-1/profiles",
        params={"subject": "customer 2", "consent": "form 13", "profileId": made.json()["profileId"]},
        content=recording,
    )
    assert "another subject" in require_error(answer, 400, "BadRequest")


def test_jobs_ask_too(filled: Rest) -> None:
    _require(filled, "search")
    job = filled.ask("POST", "domains/vpd-1/jobs", params={"kind": "search", "items": "2"}).json()
    put = f"jobs/{job['jobId']}/items/1"
    require_error(filled.ask("PUT", put, params={"name": "a.wav"}, content=b"audio"), 403, "ConsentMissing")
    _record(filled)
    sent = filled.ask("PUT", put, params={"name": "a.wav", "subject": SUBJECT}, content=b"audio")
    assert sent.status_code == 200, sent.text
    found = filled.store.jobs.get(MINE, job["jobId"])
    assert found is not None
    item = filled.store.jobs.item(found, 1)
    assert item is not None
    assert item.input == ItemInput(name="a.wav", subject=SUBJECT)
    assert found.kind is JobKind.SEARCH


def test_readers_never_see_the_text_of_a_consent(filled: Rest) -> None:
    filled.store.write(enrol)
    _record(filled, profileId="vp-1")
    for path in ("profiles/vp-1", "domains/vpd-1/profiles", "domains", "jobs"):
        answer = filled.ask("GET", path, role="reader")
        assert answer.status_code == 200
        assert all(word not in answer.text for word in ("4711", "call 17", "form 12"))
    require_error(filled.ask("POST", "domains/vpd-1/consents", role="reader", content=b"{}"), 403, "Forbidden")


def _withdraw(rest: Rest, subject: str = SUBJECT, **more: Any):
    return rest.ask("POST", "consents/withdraw", content=json.dumps({"subject": subject}).encode(), **more)


def test_a_subject_withdraws_and_is_refused(filled: Rest) -> None:
    filled.store.write(enrol)
    _record(filled, profileId="vp-1")
    report = filled.ask("POST", "consents/report", content=json.dumps({"subject": SUBJECT}).encode())
    require_fits(report.json(), "Held")
    assert [one["profileId"] for one in report.json()["profiles"]] == ["vp-1"]
    answer = _withdraw(filled)
    require_fits(answer.json(), "Withdrawal")
    counts = {one["what"]: one["count"] for one in answer.json()["deleted"]}
    assert (counts["profiles"], counts["consents"]) == (1, 1)
    assert "ten voices" in answer.json()["remains"][0]
    assert filled.deleted  # running tasks were told to look
    assert filled.store.profiles.get(MINE, "vp-1") is None
    found = filled.ask("GET", f"withdrawals/{answer.json()['withdrawalId']}")
    assert found.json()["deletionIds"] == answer.json()["deletionIds"]
    assert len(found.json()["deletionIds"]) == 1
    assert "withdrawn since" in require_error(_record(filled), 403, "ConsentMissing")
    trail = repr(filled.store.audit.list(MINE, limit=9).items)
    assert "4711" not in trail
    assert answer.json()["withdrawalId"] in trail


def test_a_withdrawal_that_the_ledger_alone_knows_is_reported(filled: Rest) -> None:
    """As after the restore of a backup in which there was nothing of the person."""
    _withdraw(filled)
    digest = filled.store.subject_digest(MINE, SUBJECT)
    filled.store.write(lambda unit: unit.redoing._delete(withdrawn_subjects, in_scope(withdrawn_subjects, MINE)))
    assert filled.store.consents.withdrawn_at(MINE, digest) is None
    require_error(_record(filled), 403, "ConsentMissing")
    report = filled.ask("POST", "consents/report", content=json.dumps({"subject": SUBJECT}).encode())
    assert report.json()["withdrawnAt"] == "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("role", ["operator", "reader", "producer"])
def test_only_admins_withdraw_and_report(filled: Rest, role: str) -> None:
    require_error(_withdraw(filled, role=role), 403, "Forbidden")
    body = json.dumps({"subject": SUBJECT}).encode()
    require_error(filled.ask("POST", "consents/report", role=role, content=body), 403, "Forbidden")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"subject": ""}', b'{"subject": "a\\u0000b"}', b'{"subject": 1}'])
def test_a_withdrawal_of_nobody_is_refused(filled: Rest, body: bytes) -> None:
    for what in ("withdraw", "report"):
        require_error(filled.ask("POST", f"consents/{what}", content=body), 400, "BadRequest")
