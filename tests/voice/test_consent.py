"""Consents as metadata and tags carry them: what is read, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import BadRequest
from earwitness.voice.consent import (
    NOTHING_CARRIED,
    CarriedConsent,
    ConsentRequirement,
    ConsentTerms,
    ConsentUse,
    consent_of,
    needs_consent,
    require_clear_tags,
    require_consents_readable,
    requirement_of,
    without_consents,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = {
    "earwitness:consent:subject": "customer-1",
    "earwitness:consent:text-version": "2026-01",
    "earwitness:consent:given-at": "2025-12-31T08:00:00Z",
    "earwitness:consent:medium": "phone",
    "earwitness:consent:evidence": "call 17",
    "earwitness:consent:purpose": "to know callers",
}


def test_a_whole_consent_is_read() -> None:
    terms = consent_of({**ALL, "callId": "7"}, {}, 0).terms
    assert terms.is_complete
    assert (terms.subject, terms.given_at) == ("customer-1", datetime(2025, 12, 31, 8, tzinfo=UTC))
    assert ConsentTerms.of_document(terms.as_document()) == terms
    assert without_consents({**ALL, "callId": "7"}) == {"callId": "7"}


def test_each_channel_may_have_its_own() -> None:
    metadata = {
        "earwitness:consent:subject": "customer-1",
        "earwitness:consent:channel-1:subject": "agent-7",
    }
    assert consent_of(metadata, {}, 0).terms.subject == "customer-1"
    assert consent_of(metadata, {}, 1).terms == ConsentTerms(subject="agent-7")


def test_what_is_said_of_all_is_not_mixed_into_another_persons() -> None:
    terms = consent_of({**ALL, "earwitness:consent:channel-1:subject": "agent-7"}, {}, 1).terms
    assert terms == ConsentTerms(subject="agent-7")


def test_a_tag_carries_an_id_and_metadata_count_first() -> None:
    tags = {"earwitness:consent:id": "consent-1", "team": "fraud"}
    assert consent_of(None, tags, 0) == CarriedConsent(consent_id="consent-1")
    assert consent_of({"earwitness:consent:subject": "customer-1"}, tags, 0).consent_id is None
    assert consent_of({"callId": "7"}, {}, 0) == NOTHING_CARRIED
    require_clear_tags(tags)


@pytest.mark.parametrize("key", ["subject", "evidence", "channel-0:subject", "sbject", ""])
def test_a_tag_says_nothing_of_a_person(key: str) -> None:
    with pytest.raises(BadRequest, match="tags lie in clear") as refused:
        require_clear_tags({f"earwitness:consent:{key}": "Ada Lovelace"})
    assert "Ada" not in str(refused.value)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"earwitness:consent:sbject": "x"}, "not known"),
        ({"earwitness:consent:channel-x:subject": "x"}, "not known"),
        ({"earwitness:consent:subject": "x" * 257}, "1 to 256"),
        ({"earwitness:consent:subject": "a\nb"}, "printable"),
        ({"earwitness:consent:subject": " "}, "printable"),
        ({**ALL, "earwitness:consent:given-at": "yesterday"}, "a time with its zone"),
        ({**ALL, "earwitness:consent:given-at": "2026-01-01T00:00:00"}, "a time with its zone"),
        ({**ALL, "earwitness:consent:given-at": "2026-01-02T00:00:00Z"}, "future"),
        ({"earwitness:consent:channel-1:medium": "x" * 65}, "1 to 64"),
    ],
)
def test_bad_metadata_are_refused_and_not_repeated(metadata: dict[str, object], why: str) -> None:
    with pytest.raises(BadRequest, match=why) as refused:
        require_consents_readable(metadata, now=NOW)
    assert "yesterday" not in str(refused.value)


def test_clocks_may_differ_a_little() -> None:
    ConsentTerms(given_at=NOW + timedelta(minutes=4)).checked(now=NOW)


@given(st.dictionaries(st.text(max_size=40).map("earwitness:consent:".__add__), st.text(max_size=300), max_size=4))
def test_whatever_comes_is_read_or_refused(metadata: dict[str, object]) -> None:
    try:
        require_consents_readable(metadata, now=NOW)
        consent_of(metadata, {}, 0)
    except BadRequest:
        pass


def test_what_a_domain_requires() -> None:
    assert requirement_of({}) is ConsentRequirement.NONE
    assert requirement_of({"earwitness:consent:required": "search"}) is ConsentRequirement.SEARCH
    with pytest.raises(BadRequest, match="none, enrolment, search"):
        requirement_of({"earwitness:consent:required": "yes"})
    assert needs_consent(ConsentRequirement.SEARCH, ConsentUse.ENROLMENT)
    assert not needs_consent(ConsentRequirement.ENROLMENT, ConsentUse.SEARCH)
