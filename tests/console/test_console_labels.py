"""Right or wrong in the console: forms that work without script, the queue, and one key in a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from console_examples import DOMAIN, KNOWN, RUNNER_UP, task_id
from console_visit import REGION, SCOPE, Visit
from live import Live

from earwitness.cli.labels import read_exports

pytestmark = pytest.mark.slow

CALL = f"{REGION}/tasks/{task_id(0)}"
STRANGER = f"{REGION}/tasks/{task_id(1)}"


def say(browser: Visit, call: str, said: str, **more: str) -> str:
    """Send the form of a call, and return where the browser is led to."""
    answer = browser.post(f"{call}/label", formToken=browser.form_token(call), said=said, **more)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_call_is_labelled_without_script(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    page = browser.get(CALL).text
    assert f'value="profile:{KNOWN}" aria-keyshortcuts="c"' in page
    assert f'value="not:{KNOWN}" aria-keyshortcuts="d"' in page
    assert say(browser, CALL, f"profile:{KNOWN}") == CALL
    after = browser.get(CALL).text
    assert "Labelled: it was this profile." in after
    assert "with <bdi>tok-operator</bdi>" in after
    assert browser.get(f"{CALL}.json").json()["label"]["spoke"] == "profile"
    say(browser, CALL, "profile", profileId=RUNNER_UP)
    label = live.store.labels.get(SCOPE, task_id(0))
    assert label is not None
    assert (label.profile_id, label.picked) == (RUNNER_UP, "chosen")
    answer = browser.post(f"{CALL}/label/delete", formToken=browser.form_token(CALL))
    assert answer.status_code == 303
    assert live.store.labels.get(SCOPE, task_id(0)) is None
    assert browser.post(f"{CALL}/label/delete", formToken=browser.form_token(CALL)).status_code == 303
    assert "There is no label any more" in browser.get(CALL).text


def test_the_keys_of_a_call_without_a_match_say_whether_somebody_was_missed(visit: Callable[..., Visit]) -> None:
    page = visit("operator").get(STRANGER).text
    assert 'value="nobody" aria-keyshortcuts="c"' in page
    assert 'value="enrolled" aria-keyshortcuts="d"' in page


def test_calls_that_cannot_be_right_or_wrong_have_no_buttons(visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    for number in (3, 4, 5):  # several voices, too little speech, no result
        assert "aria-keyshortcuts" not in browser.get(f"{REGION}/tasks/{task_id(number)}").text
        assert "Nothing to label" in browser.get(f"{REGION}/tasks/{task_id(number)}/label").text
        token = browser.form_token(CALL)
        answer = browser.post(f"{REGION}/tasks/{task_id(number)}/label", formToken=token, said="nobody")
        assert answer.status_code == 409


def test_a_reader_sees_labels_and_says_none(visit: Callable[..., Visit]) -> None:
    say(visit("operator"), CALL, f"not:{KNOWN}")
    reader = visit("reader")
    page = reader.get(CALL).text
    assert "It was not" in page
    assert "aria-keyshortcuts" not in page
    assert reader.get(f"{CALL}/label").status_code == 403
    assert "aria-keyshortcuts" not in reader.get(f"{REGION}/labels").text


@pytest.mark.parametrize("said", ["", "profile:", "somebody", "profile:../x", "not:" + "x" * 200, "profile"])
def test_forms_that_say_nothing(live: Live, visit: Callable[..., Visit], said: str) -> None:
    browser = visit("operator")
    answer = browser.post(f"{CALL}/label", formToken=browser.form_token(CALL), said=said)
    assert answer.status_code == 400
    assert live.store.labels.get(SCOPE, task_id(0)) is None


def test_the_queue_goes_on_until_everything_is_labelled(live: Live, visit: Callable[..., Visit]) -> None:
    browser, offered = visit("operator"), set[str]()
    queue = f"{REGION}/labels?domainId={DOMAIN}"
    for _ in range(3):  # two matches, one of them weak, and a stranger
        shown = browser.get(f"{REGION}/labels.json?domainId={DOMAIN}").json()
        offered.add(shown["task"]["taskId"])
        call = f"{REGION}/tasks/{shown['task']['taskId']}"
        answer = browser.post(f"{call}/label", formToken=browser.form_token(queue), said="unsure", then="queue")
        assert answer.headers["location"] == queue
    assert offered == {task_id(0), task_id(1), task_id(2)}
    assert "All labelled" in browser.get(queue).text
    labels = [live.store.labels.get(SCOPE, one) for one in offered]
    assert {label.picked for label in labels if label} == {"queue"}


def test_the_queue_says_when_only_matches_are_labelled(visit: Callable[..., Visit]) -> None:
    browser = visit("operator")
    say(browser, CALL, f"profile:{KNOWN}")
    page = browser.get(f"{REGION}/labels?domainId={DOMAIN}").text
    assert "only calls that named somebody are labelled" in page
    say(browser, STRANGER, "nobody")
    assert "only calls that" not in browser.get(f"{REGION}/labels?domainId={DOMAIN}").text


def test_a_domain_that_is_not_there(visit: Callable[..., Visit]) -> None:
    assert visit("reader").get(f"{REGION}/labels?domainId=vpd-unknown").status_code == 404


def test_what_the_labels_say_is_shown_and_its_json_is_an_export(visit: Callable[..., Visit], tmp_path: Path) -> None:
    browser = visit("operator")
    say(browser, CALL, f"profile:{KNOWN}")
    say(browser, STRANGER, "enrolled", then="queue")
    page = browser.get(f"{REGION}/domains/{DOMAIN}/labels").text
    assert "1 of 1" in page
    assert "It was somebody who is enrolled" in page
    export = tmp_path / "labels.json"
    export.write_bytes(browser.get(f"{REGION}/domains/{DOMAIN}/labels.json").content)
    exported = read_exports([export])
    assert {one.task_id: one.is_right for one in exported.calls} == {task_id(0): True, task_id(1): False}
    assert (exported.matches, exported.no_matches) == (2, 1)
