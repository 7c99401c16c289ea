"""Signing in and out over a running service: cookies, throttling, revoked tokens, one-time links, other sites."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import httpx
import pytest
from console_visit import REGION, SCOPE, Visit
from live import ACCOUNT, Live
from rest_examples import token

from patience import until

TASKS = f"{REGION}/tasks"

pytestmark = pytest.mark.slow


def cookie_of(response: httpx.Response) -> str:
    (header,) = response.headers.get_list("set-cookie")
    return header


def test_a_token_opens_a_session_that_scripts_and_other_sites_do_not_get(visit: Callable[..., Visit]) -> None:
    browser = visit("")
    answer = browser.sign_in(token("admin", SCOPE))
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    (cookie,) = SimpleCookie(cookie_of(answer)).values()
    assert cookie.key.startswith("earwitness-session-")
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/console")
    assert cookie["max-age"] == str(12 * 3_600)
    assert token("admin", SCOPE) not in cookie.value
    assert browser.get("/console/").headers["location"] == TASKS
    assert browser.get(TASKS).status_code == 200


def test_the_sign_in_is_in_the_audit_trail(live: Live, visit: Callable[..., Visit]) -> None:
    visit("reader")
    newest = live.store.audit.list(SCOPE, limit=1).items[0]
    assert (newest.operation, newest.key_id, newest.outcome) == ("ConsoleSignIn", "tok-reader", "done")


def test_whoever_has_not_signed_in_is_asked_to_and_comes_back(visit: Callable[..., Visit]) -> None:
    browser = visit("")
    answer = browser.get(f"{TASKS}?status=Failed")
    assert answer.headers["location"] == "/console/sign-in?next=%2Fconsole%2Fus-east-1%2Ftasks%3Fstatus%3DFailed"
    place = f"{TASKS}?status=Failed"
    assert browser.post("/console/sign-in", token=token("reader", SCOPE), next=place).headers["location"] == place


@pytest.mark.parametrize(
    "place", ["https://evil.example/", "//evil.example/", "/console/../../evil", "javascript:1", "/console/\\evil"]
)
def test_a_sign_in_leads_nowhere_else(visit: Callable[..., Visit], place: str) -> None:
    answer = visit("").post("/console/sign-in", token=token("reader", SCOPE), next=place)
    led = httpx.URL(answer.headers["location"])
    assert led.is_relative_url
    assert led.path.startswith("/console/")


def test_a_program_is_told_so_in_json(visit: Callable[..., Visit]) -> None:
    answer = visit("").get(f"{TASKS}.json")
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "Unauthorized")


def test_a_program_shows_its_token_instead(visit: Callable[..., Visit]) -> None:
    browser = visit("")
    answer = browser.get(f"{TASKS}.json", headers={"authorization": f"Bearer {token('reader', SCOPE)}"})
    assert answer.status_code == 200
    assert len(answer.json()["tasks"]) == 7
    # Pages and actions take no token in a header: only what browsers keep is behind the checks against other sites.
    assert browser.get(TASKS, headers={"authorization": f"Bearer {token('reader', SCOPE)}"}).status_code == 303


def test_wrong_tokens_are_refused_and_slowed_down(start: Callable[..., Live]) -> None:
    live = start(free_failures=1, delay_seconds_first=0.05)
    with httpx.Client(base_url=live.url) as client:
        browser = Visit(client, live.url)
        answers = [browser.sign_in(shown) for shown in ("", "x" * 47, token("admin", SCOPE) + "x", "\u202e" * 50)]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert all("unknown or revoked" in answer.text for answer in answers)
    assert not any(answer.headers.get_list("set-cookie") for answer in answers)
    wrong = live.service.root.aws._wrong_credentials
    assert wrong.failed("127.0.0.1", now_seconds=0.0) > 0.0


def test_a_revoked_token_ends_its_sessions_and_their_open_pages(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    with browser.client.stream("GET", f"{TASKS}.stream", timeout=30.0) as stream:
        pieces = stream.iter_raw()
        assert next(pieces).startswith(b"data: ")
        live.store.write(lambda unit: unit.bearer_tokens.revoke(ACCOUNT, "tok-operator"))
        assert browser.get(TASKS).status_code == 303  # to the sign-in
        assert b"".join(pieces) is not None  # the stream ends by itself
    assert browser.get(f"{TASKS}.json").status_code == 401


def test_signing_out_ends_the_session_whoever_has_its_cookie(live: Live, visit: Callable[..., Visit]) -> None:
    browser, other = visit("reader"), visit("reader")
    with httpx.Client(base_url=live.url, cookies=dict(browser.client.cookies)) as client:
        thief = Visit(client, live.url)
        assert thief.get(TASKS).status_code == 200
        with thief.client.stream("GET", f"{TASKS}.stream", timeout=30.0) as stream:
            pieces = stream.iter_raw()
            assert next(pieces).startswith(b"data: ")
            answer = browser.post("/console/sign-out")
            assert "Max-Age=0" in cookie_of(answer)
            assert b"".join(pieces) is not None  # the stream ends by itself
        assert thief.get(f"{TASKS}.json").status_code == 401
        assert thief.get(TASKS).headers["location"].startswith("/console/sign-in")
        thief.client.cookies.update(dict(browser.client.cookies))
    assert browser.get(TASKS).status_code == 303
    assert other.get(TASKS).status_code == 200  # another sign-in with the same token
    newest = live.store.audit.list(SCOPE, limit=1).items[0]
    assert (newest.operation, newest.key_id) == ("ConsoleSignOut", "tok-reader")


def test_whoever_is_signed_out_already_signs_out_without_an_error(visit: Callable[..., Visit]) -> None:
    assert visit("").post("/console/sign-out").status_code == 303
    browser = visit("reader")
    kept = dict(browser.client.cookies)
    for _ in range(2):
        browser.client.cookies.update(kept)
        assert browser.post("/console/sign-out").status_code == 303


def test_a_session_that_is_used_gets_new_values_and_one_that_is_not_ends(
    live: Live, visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = visit("reader")
    assert browser.get(TASKS).headers.get_list("set-cookie") == []
    assert live.service.console
    sessions = live.service.console.sessions
    turned = timedelta(minutes=16)
    monkeypatch.setattr(sessions, "_clock", lambda: datetime.now(UTC) + turned)
    before = dict(browser.client.cookies)
    renewed = cookie_of(browser.get(TASKS))
    assert dict(browser.client.cookies) != before
    assert "HttpOnly; SameSite=Strict" in renewed
    turned = timedelta(minutes=70)  # within the hour of the new value
    assert browser.get(TASKS).status_code == 200
    turned = timedelta(hours=3)
    ended = browser.get(TASKS)
    assert ended.headers["location"].startswith("/console/sign-in")
    assert "Max-Age=0" in cookie_of(ended)
    assert browser.client.cookies == httpx.Cookies()


def test_a_producer_sees_nothing(visit: Callable[..., Visit]) -> None:
    browser = visit("producer")
    answer = browser.get("/console/")
    assert (answer.status_code, "producer sees nothing here" in answer.text) == (403, True)


@pytest.mark.parametrize("value", ["", "x", "AAAA", "x" * 5_000, "\u00e9"])
def test_cookies_that_are_none(live: Live, value: str) -> None:
    cookie = f"earwitness-session-{live.port}={value}".encode()
    answer = httpx.get(f"{live.url}{TASKS}.json", headers={b"cookie": cookie})
    assert answer.status_code == 401


# Other sites.


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", None])
def test_forms_of_other_sites_are_refused(visit: Callable[..., Visit], origin: str | None) -> None:
    browser = visit("")
    answer = browser.post("/console/sign-in", origin=origin, token=token("admin", SCOPE), next="")
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (403, [])


def test_a_page_that_another_site_leads_to_is_asked_for_again(visit: Callable[..., Visit]) -> None:
    """Browsers leave a strict cookie out when somebody comes from elsewhere; from our own page it comes along."""
    answer = visit("").get(TASKS, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, 'content="0; url=/console/us-east-1/tasks"' in answer.text) == (200, True)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4500", "localhost.evil.example", "", "[::", "127.0.0.1.nip.io"]
)
def test_the_console_answers_under_its_own_names_only(visit: Callable[..., Visit], host: str) -> None:
    answer = visit("admin").get(TASKS, headers={"host": host})
    assert (answer.status_code, "console_hosts" in answer.text) == (403, True) if host else answer.status_code >= 400


def test_a_name_of_the_settings_needs_encryption_to_sign_in(start: Callable[..., Live]) -> None:
    live = start(console_hosts="voices.example.org")
    headers = {"host": "voices.example.org", "origin": "http://voices.example.org"}
    shown = httpx.get(f"{live.url}/console/sign-in", headers=headers)
    assert (shown.status_code, "plain HTTP" in shown.text, "<form" in shown.text) == (403, True, False)
    form = {"token": token("admin", SCOPE), "next": ""}
    assert httpx.post(f"{live.url}/console/sign-in", headers=headers, data=form).status_code == 403


def test_behind_a_proxy_with_a_certificate_the_cookie_is_for_this_host_alone(start: Callable[..., Live]) -> None:
    live = start(public_url="https://voices.example.org", trusted_proxies="127.0.0.1")
    headers = {"host": "voices.example.org", "origin": "https://voices.example.org", "x-forwarded-proto": "https"}
    form = {"token": token("admin", SCOPE), "next": ""}
    answer = httpx.post(f"{live.url}/console/sign-in", headers=headers, data=form)
    header = cookie_of(answer)
    assert header.startswith("__Host-earwitness=")
    assert header.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")


# One-time links.


def test_a_link_signs_in_once_and_only_when_a_person_presses_the_button(
    live: Live, visit: Callable[..., Visit]
) -> None:
    assert live.service.console
    path = "/console/link/" + live.service.console.sessions.link(account_id=ACCOUNT, token_id="tok-admin")  # noqa: S106
    browser = visit("")
    for _ in range(2):  # what looks at links before people do
        shown = browser.get(path)
        assert (shown.status_code, shown.headers.get_list("set-cookie")) == (200, [])
    assert browser.post(path, origin="https://evil.example").status_code == 403
    assert browser.post(path).status_code == 303
    assert browser.get(TASKS).status_code == 200
    again = visit("").post(path)
    assert (again.status_code, "used already" in again.text) == (401, True)


def test_links_work_on_this_machine_only(start: Callable[..., Live]) -> None:
    live = start(public_url="https://voices.example.org", trusted_proxies="127.0.0.1")
    assert live.service.console
    path = "/console/link/" + live.service.console.sessions.link(account_id=ACCOUNT, token_id="tok-admin")  # noqa: S106
    answer = httpx.get(live.url + path, headers={"host": "voices.example.org"})
    assert answer.status_code == 403


def test_without_the_console_nothing_is_there(start: Callable[..., Live]) -> None:
    live = start(console="off")
    assert httpx.get(f"{live.url}/console/").status_code == 401  # as for any path that is AWS's
    assert live.service.console is None


def test_somebody_who_types_the_address_gets_to_the_console(live: Live) -> None:
    answer = httpx.get(f"{live.url}/", headers={"accept": "text/html,application/xhtml+xml"})
    assert answer.headers["location"] == "/console/"
    assert "location" not in httpx.get(f"{live.url}/", headers={"accept": "*/*"}).headers


def test_a_service_that_stops_ends_its_streams(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("reader")
    with browser.client.stream("GET", f"{TASKS}.stream", timeout=30.0) as stream:
        pieces = stream.iter_raw()
        next(pieces)
        live.service.begin_to_stop()
        list(pieces)
    until(lambda: live.service.root.aws.draining)
