"""Consents in the console: forms record and withdraw them, and nothing of a person stands in an address."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from console_examples import DOMAIN
from console_visit import REGION, SCOPE, Visit
from live import Live

from earwitness.voice.consent import ConsentRequirement

PAGE = f"{REGION}/domains/{DOMAIN}/consent"
FORM = {
    "subject": "customer 4711",
    "textVersion": "2026-01",
    "medium": "phone",
    "evidence": "call 17",
    "purpose": "to know callers",
}


def _post(browser: Visit, what: str, **fields: str) -> Any:
    return browser.post(f"{REGION}/domains/{DOMAIN}/{what}", formToken=browser.form_token(PAGE), **fields)


def test_a_consent_is_required_recorded_and_withdrawn(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    assert "nothing needs a recorded consent" in browser.get(PAGE).text
    assert _post(browser, "consent", required="search").status_code == 303
    assert live.store.consents.requirement(SCOPE, DOMAIN) is ConsentRequirement.SEARCH
    assert "search and enrolment need" in browser.get(PAGE).text
    assert "Needed where the domain requires consent" in browser.get(f"{REGION}/try").text
    answer = _post(browser, "consents", **FORM, givenAt="")
    assert answer.status_code == 303, answer.text
    assert "4711" not in answer.headers["location"]
    digest = live.store.subject_digest(SCOPE, "customer 4711")
    (kept,) = live.store.consents.of_subject(SCOPE, digest)
    assert kept.terms.evidence == "call 17"
    assert _post(browser, "withdrawals", subject="customer 4711").status_code == 400  # nobody was sure
    answer = _post(browser, "withdrawals", subject="customer 4711", sure="yes")
    assert answer.status_code == 303, answer.text
    assert "4711" not in answer.headers["location"]
    assert live.store.consents.of_subject(SCOPE, digest) == ()
    operations = [one.operation for one in live.store.audit.list(SCOPE, limit=20).items]
    assert {"RequireConsent", "RecordConsent", "WithdrawConsents"} <= set(operations)


@pytest.mark.parametrize("role", ["operator", "reader"])
def test_forms_are_shown_to_those_who_may_use_them(visit: Callable[..., Visit], role: str) -> None:
    page = visit(role).get(PAGE)
    if role == "reader":
        assert page.status_code == 403
        return
    assert "Record a consent" in page.text
    assert "Delete everything of this person" not in page.text
    assert "Refused without one" not in page.text


def test_a_schedule_that_is_saved_as_it_is_shown_publishes_no_name(visit: Callable[..., Visit]) -> None:
    page = visit("admin").get(f"{REGION}/domains/{DOMAIN}/retention").text
    (shown,) = re.findall(r'name="publishedName" maxlength="100" value="([^"]*)"', page)
    assert shown == ""


def test_one_entry_of_the_navigation_is_the_current_one(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    for path in (f"/domains/{DOMAIN}/labels", f"/domains/{DOMAIN}/retention", "/labels", "/try"):
        assert browser.get(f"{REGION}{path}").text.count("aria-current=") == 1, path
