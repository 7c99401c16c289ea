"""What pages tell of people and events, and what their forms do, once or twice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from console_examples import CONSENT, DOMAIN, KNOWN, PRINT, RUNNER_UP, task_id
from console_visit import REGION, SCOPE, Visit
from live import Live

from earwitness.store.records import DeliveryState
from earwitness.store.repeats import Repeat
from earwitness.voice.limits import measured_limits

pytestmark = pytest.mark.slow

PROFILE = f"{REGION}/profiles/{KNOWN}"


def test_a_consent_is_told_to_whoever_may_read_it_and_to_nobody_else(visit: Callable[..., Visit]) -> None:
    admin, reader = visit("admin"), visit("reader")
    assert CONSENT in admin.get(PROFILE).text
    for place in (PROFILE, f"{PROFILE}.json", f"{REGION}/domains/{DOMAIN}", f"{REGION}/domains/{DOMAIN}.json"):
        answer = reader.get(place)
        assert answer.status_code == 200
        assert CONSENT not in answer.text
    assert "recorded" in reader.get(PROFILE).text


def test_buttons_are_shown_to_whoever_may_press_them(visit: Callable[..., Visit]) -> None:
    operator, reader = visit("operator"), visit("reader")
    for place, button in (
        (PROFILE, "/delete"),
        (f"{REGION}/events/event-1", "/replay"),
        (f"{REGION}/events", "/replay"),
    ):
        assert button in operator.get(place).text, place
        assert button not in reader.get(place).text, place


def test_reading_a_profile_is_in_the_audit_trail(live: Live, visit: Callable[..., Visit]) -> None:
    visit("reader").get(PROFILE)
    newest = live.store.audit.list(SCOPE, limit=1).items[0]
    assert (newest.operation, newest.key_id) == ("GetProfile", "tok-reader")
    assert newest.resource_arn.endswith(KNOWN)


def test_of_two_who_delete_a_profile_the_second_is_told_so(live: Live, visit: Callable[..., Visit]) -> None:
    browsers = visit("operator"), visit("admin")
    tokens = [browser.form_token(f"{PROFILE}/delete") for browser in browsers]
    pages: list[str] = []
    for browser, token in zip(browsers, tokens, strict=True):
        answer = browser.post(f"{PROFILE}/delete", formToken=token)
        assert answer.status_code == 303
        pages.append(browser.get(answer.headers["location"]).text)
    assert "The voice profile and its voiceprints are deleted. This is the certificate." in pages[0]
    assert "This voice profile was deleted already." in pages[1]
    assert live.store.profiles.get(SCOPE, KNOWN) is None
    assert browsers[0].get(PROFILE).status_code == 404
    operations = [entry.operation for entry in live.store.audit.list(SCOPE, limit=20).items]
    assert operations.count("DeleteProfile") == 1


def add_voiceprints(live: Live, count: int) -> None:
    for number in range(count):
        live.store.write(
            lambda unit, number=number: unit.profiles.add_voiceprint(
                SCOPE,
                KNOWN,
                voiceprint_id=f"print-{number}",
                voiceprint=PRINT,
                expires_at=unit.now + timedelta(days=1_000),
            )
        )


def test_a_profile_goes_back_to_before_an_enrolment(live: Live, visit: Callable[..., Visit]) -> None:
    add_voiceprints(live, 3)
    reader, operator, late = visit("reader"), visit("operator"), visit("admin")
    assert "Take&nbsp;back…" not in reader.get(PROFILE).text
    assert operator.get(PROFILE).text.count("Take&nbsp;back…") == 4
    place = f"{PROFILE}/voiceprints/print-1"
    question = operator.get(place).text
    assert "Go back to before it: remove 2" in question
    tokens = operator.form_token(place), late.form_token(place)
    answer = operator.post(f"{place}/roll-back", formToken=tokens[0])
    assert answer.status_code == 303
    assert "Removed. 2 voiceprints are left." in operator.get(answer.headers["location"]).text
    answer = late.post(f"{place}/remove", formToken=tokens[1])
    assert "This voiceprint was removed already." in late.get(answer.headers["location"]).text
    assert operator.get(place).status_code == 404
    left = [one.voiceprint_id for one in live.store.profile_voiceprints.list(SCOPE, KNOWN)]
    assert left == [f"print-of-{KNOWN}", "print-0"]


def test_the_only_voiceprint_cannot_be_taken_back(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    assert "Take&nbsp;back…" not in browser.get(PROFILE).text
    place = f"{PROFILE}/voiceprints/print-of-{KNOWN}"
    assert "Delete the profile instead" in browser.get(place).text
    form_token = browser.form_token(f"{PROFILE}/delete")
    answer = browser.post(f"{place}/remove", formToken=form_token)
    assert (answer.status_code, "delete the profile instead" in answer.text) == (409, True)


def test_a_message_is_shown_once(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    form_token = browser.form_token(f"{REGION}/events/event-1")
    place = browser.post(f"{REGION}/events/event-1/replay", formToken=form_token).headers["location"]
    assert "wait again" in browser.get(place).text
    assert "wait again" not in browser.get(place).text


def test_parked_events_are_delivered_again(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    form_token = browser.form_token(f"{REGION}/events")
    assert live.store.events.delivery_counts(SCOPE)[DeliveryState.PARKED] == 1
    place = browser.post(f"{REGION}/events/replay", formToken=form_token).headers["location"]
    assert "One delivery waits again." in browser.get(place).text
    browser.post(f"{REGION}/events/replay", formToken=form_token)  # pressed twice
    newest = live.store.audit.list(SCOPE, limit=1).items[0]
    assert (newest.operation, newest.key_id) == ("ReplayEvents", "tok-operator")


def test_profiles_are_found_by_how_their_ids_begin(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")

    def found(prefix: str) -> set[str]:
        answer = browser.get(f"{REGION}/domains/{DOMAIN}.json", params={"idPrefix": prefix})
        return {one["profileId"] for one in answer.json()["profiles"]}

    assert found("vp-3") == {KNOWN}
    assert found("vp-") == {KNOWN, RUNNER_UP}
    assert found("vp_") == set()  # no pattern
    assert "No voice profile" in browser.get(f"{REGION}/domains/{DOMAIN}", params={"idPrefix": "x"}).text


def test_events_are_listed_by_what_became_of_them(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")

    def events(state: str) -> list[str]:
        answer = browser.get(f"{REGION}/events.json", params={"state": state})
        return [event["eventId"] for event in answer.json()["events"]]

    assert events("") == ["event-2", "event-1"]
    assert (events("parked"), events("pending"), events("delivered")) == (["event-1"], ["event-2"], ["event-1"])


def test_lists_go_on_by_links(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    seen: list[str] = []
    place = f"{REGION}/tasks?limit=3"
    for _ in range(3):
        seen += [task["taskId"] for task in browser.get(place.replace("/tasks", "/tasks.json")).json()["tasks"]]
        page = browser.get(place).text
        if 'rel="next"' in page:
            place = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 7


def test_a_token_of_another_list_opens_none(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    token = browser.get(f"{REGION}/tasks.json?limit=3").json()["nextToken"]
    for place in ("/tasks?status=Stopped", "/events?", "/audit?", "/domains?"):
        assert browser.get(f"{REGION}{place}&nextToken={token}").status_code == 400, place


def test_another_region_has_other_records(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    assert browser.get("/console/eu-west-1/tasks.json").json()["tasks"] == []
    assert browser.get(f"/console/eu-west-1/profiles/{KNOWN}").status_code == 404


def test_an_expired_profile_says_so(live: Live, visit: Callable[..., Visit]) -> None:
    gone = datetime.now(UTC) - timedelta(days=1)
    arn = f"arn:aws:chime:us-east-1:{SCOPE.account_id}:voice-profile/vp-gone"
    live.store.write(
        lambda unit: unit.profiles.create(SCOPE, profile_id="vp-gone", domain_id=DOMAIN, arn=arn, expires_at=gone)
    )
    assert "The profile has expired" in visit("reader").get(f"{REGION}/profiles/vp-gone").text


def test_a_call_that_is_played_again_is_told_with_how_often_that_is_wrong(
    live: Live, visit: Callable[..., Visit]
) -> None:
    task = live.store.tasks.get(SCOPE, task_id(0))
    assert task is not None
    repeat = Repeat(of_task_id=task_id(1), likeness=0.93)
    live.store.write(lambda unit: unit.repeats.keep(task, b"\0" * 800, repeat))
    for place in (f"{REGION}/tasks/{task_id(0)}", f"{REGION}/tasks/{task_id(0)}/report"):
        page = visit("reader").get(place).text
        assert measured_limits().of_a_repeat in page
        assert measured_limits().of_a_name in page
    assert measured_limits().of_a_repeat not in visit("reader").get(f"{REGION}/tasks/{task_id(1)}").text


def test_an_auditor_sees_the_trail_by_filters_that_are_the_address(live: Live, visit: Callable[..., Visit]) -> None:
    auditor, reader = visit("auditor"), visit("reader")
    reader.get(PROFILE)
    assert auditor.get("/console/").headers["location"] == f"{REGION}/audit"
    place = f"{REGION}/audit?since=2020-01-01&until=&keyId=tok-reader&operation=GetProfile&resourceArn=&outcome=done"
    found = auditor.get(place.replace("/audit?", "/audit.json?")).json()["entries"]
    assert {(one["operation"], one["keyId"]) for one in found} == {("GetProfile", "tok-reader")}
    page = auditor.get(place).text
    assert 'value="2020-01-01"' in page and 'value="tok-reader"' in page and "GetProfile" in page
    assert "No such entries" in auditor.get(f"{REGION}/audit?outcome=NothingOfTheKind").text
    hostile = auditor.get(f"{REGION}/audit", params={"keyId": '"><script>alert(1)</script>'})
    assert hostile.status_code == 200 and "<script>alert" not in hostile.text
    assert auditor.get(f"{REGION}/audit?since=yesterday").status_code == 400
    assert f'href="{REGION}/tasks"' not in page
