"""How long domains keep what they hold, over HTTP and real records: told, shown, published, and seen to be deleted."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from rest_examples import MINE, Rest, add_domain, enrol, require_error, require_fits, run

from earwitness.errors import StoreUnavailable
from earwitness.rest.published import RetentionPage, ServiceFacts, published
from earwitness.store.retention import ExpiryRun
from earwitness.tasks.expire import expire_and_note

SCHEDULE = "domains/vpd-1/retention"
BY_ITSELF = {
    "domainId": "vpd-1",
    "voiceprintHours": 24,
    "resultsHours": 168,
    "profileDays": 1095,
    "audioDays": None,
    "lastContactDays": None,
    "lookBack": False,
    "publishedName": "",
    "told": [],
    "updatedAt": None,
    "keyId": None,
}


@pytest.fixture
def domain(rest: Rest) -> Rest:
    rest.store.write(add_domain)
    return rest


def shown(rest: Rest, method: str = "GET", **params: str) -> dict[str, Any]:
    response = rest.ask(method, SCHEDULE, params=params)
    assert response.status_code == 200, response.text
    require_fits(response.json(), "Retention")
    return response.json()


def test_a_domain_that_was_told_nothing_keeps_as_the_service_does(domain: Rest) -> None:
    assert shown(domain) == BY_ITSELF


def test_a_domain_is_told_and_the_trail_says_what(domain: Rest) -> None:
    told = shown(domain, "PUT", voiceprintHours="2", lastContactDays="365", publishedName="Phone banking")
    assert (told["voiceprintHours"], told["lastContactDays"]) == (2, 365)
    assert told["told"] == ["voiceprintHours", "lastContactDays", "publishedName"]
    assert told == shown(domain)
    (entry,) = domain.store.audit.list(MINE, limit=1).items
    assert entry.operation == "PutRetention voiceprint_hours=2 last_contact_days=365"
    again = shown(domain, "PUT")
    assert {**again, "updatedAt": None, "keyId": None} == BY_ITSELF


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"voiceprintHours": "25"}, "lookBack"),
        ({"voiceprintHours": "0"}, "1 to 168"),
        ({"resultsHours": "-1"}, "resultsHours"),
        ({"profileDays": "1096"}, "1095"),
        ({"profileDays": "3.5"}, "profileDays"),
        ({"profileDays": "9" * 30}, "profileDays"),
        ({"lookBack": "perhaps"}, "lookBack"),
        ({"publishedName": "x" * 101}, "publishedName"),
        ({"publishedName": "a\nb"}, "publishedName"),
        ({"yearsOfMyLife": "1"}, "not known"),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(domain: Rest, params: dict[str, str], word: str) -> None:
    response = domain.ask("PUT", SCHEDULE, params=params)
    require_error(response, 400, "BadRequest")
    assert word in response.json()["error"]["message"]
    assert shown(domain) == BY_ITSELF


def test_a_domain_that_is_not_there(domain: Rest) -> None:
    for method in ("GET", "PUT"):
        require_error(domain.ask(method, "domains/vpd-9/retention"), 404, "NotFound")


def runs(rest: Rest) -> dict[str, Any]:
    response = rest.ask("GET", "retention/runs")
    require_fits(response.json(), "Expiry")
    return response.json()


def test_runs_are_seen(domain: Rest) -> None:
    assert (runs(domain)["state"], runs(domain)["runs"]) == ("never", [])
    domain.store.write(enrol)
    shown(domain, "PUT", profileDays="1")
    domain.clock.now += timedelta(days=1)
    expire_and_note(domain.store, now=domain.clock.now)
    found = runs(domain)
    assert found["state"] == "well"
    (run,) = found["runs"]
    assert (run["due"], run["deleted"]["profile voiceprints"], run["overdue"]) == ({"profile": 1}, 1, {})
    domain.clock.now += timedelta(minutes=16)
    assert runs(domain)["state"] == "late"
    assert "service runs" in runs(domain)["advice"]


def test_what_a_run_left_is_told(domain: Rest) -> None:
    now = domain.clock.now
    left = ExpiryRun(
        run_id="run-1",
        node_id="node-1",
        started_at=now,
        ended_at=now,
        due={"profile": 2},
        deleted={},
        overdue={"profile": 2},
        overdue_count=2,
    )
    domain.store.write(lambda unit: unit.retention.append_run(left))
    assert runs(domain)["state"] == "overdue"


# The published page.


class Visitor:
    """Somebody without credentials."""

    def __init__(self, rest: Rest) -> None:
        facts = ServiceFacts(keeps_enrolment_audio=False, backup_days_max=35.0)
        self._page = RetentionPage(rest.store, facts, clock=lambda: rest.clock.now, run_in_thread=run)

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._page)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(asked())


def test_the_page_is_for_anybody_and_names_nobody(domain: Rest) -> None:
    shown(domain, "PUT", voiceprintHours="2", publishedName="Phone <banking>")
    visitor = Visitor(domain)
    response = visitor.ask("/retention")
    assert response.status_code == 200
    assert "Phone &lt;banking&gt;" in response.text
    assert "2 hours at most" in response.text
    assert "3 years at most" in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for private in ("vpd-1", MINE.account_id, "key", "<script"):
        assert private not in response.text
    assert visitor.ask("/retention.json").json() == visitor.ask("/retention", accept="application/json").json()
    assert visitor.ask("/retention", method="POST").status_code == 405


def test_the_page_tells_the_longest_time_that_any_domain_keeps(domain: Rest) -> None:
    rest = domain

    def kept(*, keeps_audio: bool = False) -> dict[str, str]:
        facts = ServiceFacts(keeps_enrolment_audio=keeps_audio, backup_days_max=35.0)
        return {row["kind"]: row["kept"] for row in published(rest.store, facts, now=rest.clock.now)["service"]}

    assert kept()["audio"] == "not kept"
    assert kept(keeps_audio=True)["audio"].startswith("3 years")
    shown(rest, "PUT", voiceprintHours="1", resultsHours="48", audioDays="0", lastContactDays="30")
    assert kept(keeps_audio=True) == {
        "voiceprint": "1 hour at most, after the call",
        "results": "2 days at most, after it",
        "profile": "3 years at most, after the last enrolment",
        "audio": "not kept",
        "lastContact": "30 days at most, after the person was last recognised or enrolled",
    }
    rest.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    assert kept()["voiceprint"] == "24 hours at most, after the call"
    assert "lastContact" not in kept()
    shown(rest, "PUT", voiceprintHours="72", lookBack="true")
    assert kept()["voiceprint"] == "3 days at most, after the call"
    facts = ServiceFacts(keeps_enrolment_audio=False, backup_days_max=35.0)
    document = json.dumps(published(rest.store, facts, now=rest.clock.now))
    assert "35 days at most" in document
    assert "to look for the voice in earlier calls" in document


def test_the_page_reads_the_records_once_a_minute(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, read = Visitor(domain), domain.store.retention.list_everywhere
    reads: list[int] = []
    monkeypatch.setattr(domain.store.retention, "list_everywhere", lambda: (reads.append(1), read())[1])
    for _ in range(50):
        assert visitor.ask("/retention").status_code == 200
    assert len(reads) == 1
    shown(domain, "PUT", voiceprintHours="2")
    domain.clock.now += timedelta(minutes=1)
    assert "2 hours" in visitor.ask("/retention").text


def test_records_that_are_away_are_said_to_be(domain: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(domain.store.retention, "list_everywhere", away)
    response = Visitor(domain).ask("/retention")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
