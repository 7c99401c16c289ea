"""The calibration of a domain in the console: compared, installed and taken back by forms that work without script."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from calibration_examples import SHIPPED, document, moved
from console_examples import DOMAIN, MATCH, conclude, task_id
from console_visit import REGION, SCOPE, Visit
from live import Live
from rest_examples import add_task

from earwitness.voice.decision import Basis
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
    for words in ("Nothing is installed yet", SHIPPED.id, HIGHEST.id, "&lt;script&gt;alert(1)&lt;/script&gt; of ours"):
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


@pytest.mark.parametrize("role", ["operator", "reader"])
def test_others_see_it_without_forms(live: Live, visit: Callable[..., Visit], role: str) -> None:
    install(visit("admin"), document(HIGHER))
    browser = visit(role)
    page = browser.get(PAGE).text
    assert HIGHER.id in page
    assert "/calibration/" not in page
    assert browser.get(f"{PAGE}/fitted").status_code == 403
    assert compare(browser, document(HIGHEST), proof="x").status_code == 403
    assert browser.post(f"{PAGE}/use", calibrationId="service", formToken="x").status_code == 403
    assert in_use(browser)["version"] == 1


def test_files_that_are_no_calibration(visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    for content, status in (
        (b"RIFF....WAVE", 400),
        (document(SHIPPED, persons=float("nan")), 400),
        (b" " * 70_000, 413),
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
