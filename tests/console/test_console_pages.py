"""Every page and action of the tables: who may, what is sent with them, their JSON, hostile words, bad queries."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import httpx
import pytest
from console_examples import DOMAIN, HOSTILE, task_id
from console_places import PLACES
from console_visit import REGION, SCOPE, Visit
from live import Live

from earwitness.console.actions import ACTIONS, UPLOADS
from earwitness.console.pages import PAGES
from patience import until

pytestmark = pytest.mark.slow

ROLES = ("admin", "operator", "reader", "producer", "auditor")


class Reader(HTMLParser):
    """Collects what a page consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_every_page_and_action_has_a_place_here() -> None:
    assert PLACES.keys() == {one.path for one in (*PAGES, *ACTIONS, *UPLOADS)}


def test_roles_see_and_do_what_the_table_says_and_nothing_else(visit: Callable[..., Visit]) -> None:
    for role in ROLES:
        browser = visit(role)
        for page in PAGES:
            for suffix in ("", ".json"):
                answer = browser.get(f"{REGION}{PLACES[page.path]}{suffix}")
                assert answer.status_code == (200 if role in page.roles else 403), (role, page.path, answer.text)
        for action in (*ACTIONS, *UPLOADS):
            if role not in action.roles:
                answer = browser.post(f"{REGION}{PLACES[action.path]}", formToken="x")
                assert answer.status_code == 403, (role, action.path)


def audited(live: Live) -> list[tuple[str, str | None, str]]:
    return [(one.operation, one.key_id, one.outcome) for one in live.store.audit.list(SCOPE, limit=9).items]


def test_what_a_role_may_not_is_in_the_audit_trail(live: Live, visit: Callable[..., Visit]) -> None:
    assert visit("producer").get(f"{REGION}/tasks").status_code == 403
    refused = ("ListTasks", "tok-producer", "Forbidden")
    until(lambda: refused in audited(live))  # a refusal is written after its answer


def test_pages_are_whole_and_hold_nothing_that_their_policy_forbids(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    for page in PAGES:
        answer = browser.get(f"{REGION}{PLACES[page.path]}")
        policy = answer.headers["content-security-policy"]
        (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
        assert "script-src 'nonce-" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "microphone=" in answer.headers["permissions-policy"]
        tags = Reader(answer.text).tags
        assert [tag for tag, _ in tags].count("h1") == 1, page.path
        for tag, attributes in tags:
            assert "style" not in attributes, (page.path, tag)
            assert not any(name.startswith("on") for name in attributes), (page.path, tag)
            if tag == "script":
                assert attributes["nonce"] == nonce
                assert (attributes["src"] or "").startswith("/console/static/")
            if any(name.startswith("hx-") for name in attributes):
                assert attributes["hx-nonce"] == nonce
            for name in ("src", "href", "action"):
                place = attributes.get(name) or "/console/"
                assert place.startswith(("/console", "#", "/retention")), (page.path, place)


def test_nonces_are_of_one_answer(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    first, second = (browser.get(f"{REGION}/tasks").headers["content-security-policy"] for _ in range(2))
    assert first != second


def test_the_json_of_a_page_is_what_the_page_shows(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    document = browser.get(f"{REGION}/tasks.json").json()
    page = browser.get(f"{REGION}/tasks").text
    assert all(task["taskId"] in page for task in document["tasks"])
    asked_so = browser.get(f"{REGION}/tasks", headers={"accept": "application/json"})
    assert asked_so.json() == document


def test_hostile_words_stay_words(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    for page in PAGES:
        for place in {PLACES[page.path], *HOSTILE_PLACES.get(page.path, ())}:
            answer = browser.get(f"{REGION}{place}")
            assert answer.status_code == 200, place
            assert len(answer.content) < 200_000, place
            for character in "\u202e\u2066":
                assert character not in answer.text, place
            for tag, attributes in Reader(answer.text).tags:
                assert tag != "img", place
                assert "onfocus" not in attributes, place
            assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", answer.text), place


HOSTILE_PLACES = {"/domains/{domainId}": [f"/domains/vpd-{kind}" for kind in HOSTILE]}


@pytest.mark.parametrize(
    "query",
    [
        "status=Elsewhere",
        "status=Failed&status=Failed",
        "unknown=1",
        "nextToken=AAAA",
        "limit=0",
        "limit=101",
        "limit=x",
        "outcome=%FF",
        "outcome=" + "x" * 5_000,
        "&".join(f"a{number}=1" for number in range(1_100)),
    ],
)
def test_queries_that_make_no_sense(visit: Callable[..., Visit], query: str) -> None:
    browser = visit("reader")
    page, document = browser.get(f"{REGION}/tasks?{query}"), browser.get(f"{REGION}/tasks.json?{query}")
    assert (page.status_code, document.status_code) == (400, 400)
    assert document.json()["error"]["message"] in page.text.replace("&#39;", "'").replace("&#34;", '"')


@pytest.mark.parametrize("region", ["UPPER", "x" * 33, "%00", "..%2f..", "us_east"])
def test_regions_that_are_none(visit: Callable[..., Visit], region: str) -> None:
    assert visit("reader").get(f"/console/{region}/tasks").status_code in (400, 404)


@pytest.mark.parametrize(
    "path", ["/console/nowhere", "/console/us-east-1", "/console/us-east-1/tasks/", "/console/static/x/y"]
)
def test_addresses_that_are_none(visit: Callable[..., Visit], path: str) -> None:
    assert visit("reader").get(path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_pages_take_no_other_methods(visit: Callable[..., Visit], method: str) -> None:
    assert visit("reader").client.request(method, f"{REGION}/tasks").status_code in (404, 405)


def test_what_is_gone_is_not_found(visit: Callable[..., Visit]) -> None:
    answer = visit("reader").get(f"{REGION}/tasks/unknown")
    assert (answer.status_code, "seven days" in answer.text) == (404, True)


def test_a_call_whose_result_went_with_its_domain_is_not_said_to_have_had_too_little_speech(
    live: Live, visit: Callable[..., Visit]
) -> None:
    page, domain = f"{REGION}/tasks/{task_id(0)}", f"domains/{DOMAIN}"
    before = visit("reader").get(page).text
    assert f'href="{REGION}/{domain}"' in before
    live.store.write(lambda unit: unit.domains.delete(SCOPE, DOMAIN))
    after = visit("reader").get(page).text
    assert "No result; the domain was deleted" in after
    assert "enough speech" not in after
    assert f'href="{REGION}/{domain}"' not in after  # it would lead to nothing


def test_a_task_that_failed_is_not_said_to_have_had_too_little_speech(live: Live, visit: Callable[..., Visit]) -> None:
    live.store.write(lambda unit: unit.attempts.fail(SCOPE, task_id(6), attempt=1, status_message="its codec is none"))
    page = visit("reader").get(f"{REGION}/tasks/{task_id(6)}").text
    assert "its codec is none" in page
    assert "The task failed before the call was searched." in page
    assert "enough speech" not in page
    live.store.write(lambda unit: unit.domains.delete(SCOPE, DOMAIN))
    page = visit("reader").get(f"{REGION}/tasks/{task_id(6)}").text
    assert "The task failed." in page
    assert "No result; the domain was deleted" not in page


def test_files_are_kept_by_browsers_and_pages_are_not(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    page = browser.get(f"{REGION}/tasks")
    files = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text)
    assert len(files) >= 3
    for file in files:
        answer = browser.get(file)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        version = file.split("/")[3]
        assert browser.get(file.replace(version, "0" * 12)).status_code == 404


def test_the_first_page_is_small(visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    with httpx.Client(base_url=browser.url, cookies=browser.client.cookies) as client:
        page = client.get(f"{REGION}/tasks")
        sizes = [int(page.headers["content-length"])]
        for file in re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text):
            sizes.append(int(client.get(file).headers["content-length"]))
    assert sum(sizes) <= 150_000, sizes


def test_forms_of_other_sessions_are_refused(visit: Callable[..., Visit]) -> None:
    """And those of nobody, those that are no forms, and those that are too large."""
    mine, other = visit("admin"), visit("admin")
    for action in ACTIONS:
        path = f"{REGION}{PLACES[action.path]}"
        for form_token in ("", "x", "A" * 100):
            assert mine.post(path, formToken=form_token).status_code == 403
        assert mine.post(path, formToken=other.form_token(_page_with_form())).status_code == 403
        assert mine.post(path, origin="https://evil.example").status_code == 403
        assert mine.client.post(path, json={}, headers={"origin": mine.url}).status_code == 400
        assert mine.post(path, filler="x" * (action.limit.bytes_max + 1)).status_code in (400, 413)


def _page_with_form() -> str:
    return f"{REGION}{PLACES['/events']}"


def test_json_of_all_pages_can_be_read(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    for page in PAGES:
        answer = browser.get(f"{REGION}{PLACES[page.path]}.json")
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(json.loads(answer.content), dict), page.path
