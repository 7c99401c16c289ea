"""The calibration of a domain in the console: compared, installed and taken back by forms that work without script."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from calibration_examples import SHIPPED, document, long, moved
from console_examples import DOMAIN, KNOWN, MATCH, conclude, task_id
from console_visit import REGION, SCOPE, Visit
from live import Live
from rest_examples import add_task

from earwitness.console.forms import FORM_LIMIT
from earwitness.engine.calibration import calibration_bytes, calibration_text
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX
from earwitness.store.store import Unit
from earwitness.voice.decision import Basis
from earwitness.voice.label import Picked, Spoke
from earwitness.voice.line import LineState

pytestmark = pytest.mark.slow

PAGE = f"{REGION}/domains/{DOMAIN}/calibration"
HIGHER, HIGHEST = moved(0.05), moved(0.1, made_from="<script>alert(1)</script> of ours")


def compare(browser: Visit, content: bytes, *, proof: str | None = None) -> httpx.Response:
    """Send a file with the form of the page."""
    given = browser.form_token(PAGE) if proof is None else proof
    parts: list[Any] = [("formToken", (None, given)), ("recording", ("ours.json", content))]
    return browser.client.post(f"{PAGE}/compare", files=parts, headers={"origin": browser.url}, timeout=60.0)


def fields_of(page: str) -> dict[str, str]:
    """What the form of a page sends."""
    pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in pairs}


def in_use(browser: Visit) -> dict[str, Any]:
    return browser.get(f"{PAGE}.json").json()["shown"]


def install(browser: Visit, content: bytes) -> httpx.Response:
    return browser.post(f"{PAGE}/install", **fields_of(compare(browser, content).text))


def test_a_file_is_compared_installed_and_taken_back(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    assert f'href="{PAGE}"' in browser.get(f"{REGION}/domains/{DOMAIN}").text
    assert "never had one of its own" in browser.get(PAGE).text
    compared = compare(browser, document(HIGHEST))
    assert compared.status_code == 200, compared.text
    for words in (
        "Nothing is installed yet",
        "No call of this domain is labelled",
        SHIPPED.id,
        HIGHEST.id,
        "&lt;script&gt;alert(1)&lt;/script&gt; of ours",
    ):
        assert words in compared.text, words
    assert "<script>alert(1)" not in compared.text
    assert in_use(browser)["version"] == 0
    done = browser.post(f"{PAGE}/install", **fields_of(compared.text))
    assert (done.status_code, done.headers["location"]) == (303, PAGE)
    assert f"Searches rest on calibration {HIGHEST.id} from now on." in browser.get(PAGE).text
    assert in_use(browser)["inUse"]["calibrationId"] == HIGHEST.id
    assert install(browser, document(HIGHER)).status_code == 303
    page = browser.get(PAGE).text
    assert f'name="calibrationId" value="{HIGHEST.id}"' in page
    assert "It is in use already" in compare(browser, document(HIGHER)).text
    for wanted, found in ((HIGHEST.id, HIGHEST.id), ("service", SHIPPED.id)):
        sent = {"formToken": browser.form_token(PAGE), "version": str(in_use(browser)["version"])}
        assert browser.post(f"{PAGE}/use", calibrationId=wanted, **sent).status_code == 303
        assert in_use(browser)["inUse"]["calibrationId"] == found
    operations = [one.operation for one in live.store.audit.list(SCOPE, limit=4).items]
    assert operations == [
        "UseCalibration service",
        f"UseCalibration {HIGHEST.id}",
        f"InstallCalibration {HIGHER.id}",
        f"InstallCalibration {HIGHEST.id}",
    ]


def test_a_long_one_is_installed_too(visit: Callable[..., Visit]) -> None:
    """Its form is larger than others may be: each comma and bracket is sent as three bytes."""
    longest = DOCUMENT_BYTES_MAX // (19 * len(SHIPPED.fits)) - 10
    wanted, browser = long(longest), visit("admin")
    assert 0.9 * DOCUMENT_BYTES_MAX < len(calibration_bytes(wanted)) <= DOCUMENT_BYTES_MAX
    as_file = calibration_text(wanted).encode()
    assert len(as_file) > DOCUMENT_BYTES_MAX
    compared = compare(browser, as_file)
    assert compared.status_code == 200, compared.text
    fields = fields_of(compared.text)
    assert len(urlencode(fields)) > FORM_LIMIT.bytes_max
    assert browser.post(f"{PAGE}/install", **fields).status_code == 303
    assert in_use(browser)["inUse"]["calibrationId"] == wanted.id


def test_what_labels_say_stands_beside_before_and_after(live: Live, visit: Callable[..., Visit]) -> None:
    def work(unit: Unit) -> None:
        task = unit.tasks.get(SCOPE, task_id(0))
        assert task is not None
        unit.labels.put(task, spoke=Spoke.PROFILE, profile_id=KNOWN, picked=Picked.QUEUE, key_id="KEY")

    live.store.write(work)
    page = compare(visit("admin"), document(moved(0.4))).text
    assert "only calls that named somebody are labelled" in page
    assert re.findall(r'data-label="Right (\w+)">([^<]*)', page) == [
        ("before", "1 of 1 "),
        ("after", "0 of 1 "),
        ("before", "unknown"),
        ("after", "unknown"),
    ]


def test_each_of_the_history_is_downloaded_and_taken_elsewhere(visit: Callable[..., Visit]) -> None:
    admin, reader = visit("admin"), visit("reader")
    install(admin, document(HIGHEST))
    install(admin, document(HIGHER))
    assert f'href="{PAGE}/{HIGHEST.id}"' in reader.get(PAGE).text
    page = reader.get(f"{PAGE}/{HIGHEST.id}").text
    assert f'href="{PAGE}/{HIGHEST.id}.json" download="calibration-{HIGHEST.id}.json"' in page
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; of ours" in page
    fetched = reader.get(f"{PAGE}/{HIGHEST.id}.json")
    assert fetched.json() == json.loads(document(HIGHEST))
    assert install(admin, fetched.content).status_code == 303
    assert in_use(admin)["inUse"]["calibrationId"] == HIGHEST.id
    assert reader.get(f"{PAGE}/service.json").json() == json.loads(document(SHIPPED))
    assert reader.get(f"{PAGE}/deadbeef").status_code == 404


def test_its_form_is_bounded_and_larger_for_admins_alone(visit: Callable[..., Visit]) -> None:
    admin, reader = visit("admin"), visit("reader")
    assert compare(admin, calibration_text(long(1_200)).encode()).status_code == 413
    sent = {"formToken": admin.form_token(PAGE), "version": "0"}
    content = "x" * (DOCUMENT_BYTES_MAX + 1)
    for browser, status, document_sent in (
        (admin, 400, content),
        (admin, 413, content * 5),
        (reader, 413, content),
        (reader, 403, "x"),
    ):
        answer = browser.post(f"{PAGE}/install", **{**sent, "document": document_sent})
        assert answer.status_code == status, (status, answer.text)
    stale = {**fields_of(compare(admin, document(HIGHER)).text), "formToken": "x"}
    assert admin.post(f"{PAGE}/install", **stale).status_code == 403
    assert in_use(admin)["version"] == 0


@pytest.mark.parametrize("role", ["operator", "reader"])
def test_others_see_it_without_forms(live: Live, visit: Callable[..., Visit], role: str) -> None:
    install(visit("admin"), document(HIGHER))
    browser = visit(role)
    page = browser.get(PAGE).text
    assert HIGHER.id in page
    for leads in ("compare", "fitted", "install", "use"):
        assert f"/calibration/{leads}" not in page
    assert browser.get(f"{PAGE}/fitted").status_code == 403
    assert compare(browser, document(HIGHEST), proof="x").status_code == 403
    assert browser.post(f"{PAGE}/use", calibrationId="service", formToken="x").status_code == 403
    assert in_use(browser)["version"] == 1


def test_files_that_are_no_calibration(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    for content, status in (
        (b"RIFF....WAVE", 400),
        (document(SHIPPED, persons=float("nan")), 400),
        (b" " * 70_000, 400),
        (b"x" * 1_000_000, 413),
        (document(SHIPPED, encoder_id="another/telephone/00000000"), 422),
    ):
        answer = compare(browser, content)
        assert answer.status_code == status, answer.text
    assert compare(browser, document(HIGHER), proof="x").status_code == 403
    sent = {"formToken": browser.form_token(PAGE), "version": "0"}
    assert browser.post(f"{PAGE}/install", document="not JSON", **sent).status_code == 400
    assert browser.post(f"{PAGE}/use", calibrationId="deadbeef", **sent).status_code == 404
    assert in_use(browser)["version"] == 0


def test_of_two_who_have_compared_the_second_is_told(visit: Callable[..., Visit]) -> None:
    first, second = visit("admin"), visit("admin")
    page = compare(second, document(HIGHEST)).text
    assert install(first, document(HIGHER)).status_code == 303
    told = second.post(f"{PAGE}/install", **fields_of(page))
    assert told.status_code == 409
    assert "installed meanwhile" in told.text
    assert in_use(first)["inUse"]["calibrationId"] == HIGHER.id


def test_the_picture_of_a_call_is_of_the_calibration_that_it_rests_on(live: Live, visit: Callable[..., Visit]) -> None:
    basis = Basis(
        line_state=LineState.UNKNOWN, line_voices=0, line_version=0, calibration_id=HIGHER.id, gallery_version=1
    )
    decision = replace(MATCH, basis=basis)
    live.store.write(lambda unit: conclude(unit, add_task(unit, SCOPE, task_id=task_id(77)), decision))
    browser, call = visit("admin"), f"{REGION}/tasks/{task_id(77)}"
    assert "No picture: the calibration of this answer" in browser.get(call).text
    install(browser, document(HIGHER))
    page = browser.get(call).text
    assert "No picture" not in page
    assert f'by the calibration <span class="id">{HIGHER.id}</span>' in page
