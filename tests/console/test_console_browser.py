"""The console in a real browser, on every page: light, dark, on a phone, without script, by keyboard, while it runs."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from console_examples import MATCH, QUEUE, conclude, labelled, task_id
from console_places import PLACES
from console_visit import REGION, SCOPE
from live import ACCOUNT, Live
from rest_examples import add_task, token

from earwitness.console.files import ServedFiles
from earwitness.console.pages import PAGES
from earwitness.engine.calibration import shipped_calibration
from earwitness.store.store import Unit
from earwitness.tasks.heard import HeardSoFar, SpeechStretch
from earwitness.voice.decision import Basis
from earwitness.voice.line import LineState
from patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = os.environ.get("EARWITNESS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}
LOOKS: dict[str, dict[str, Any]] = {  # `Any`: options of Playwright
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"color_scheme": "light", "viewport": PHONE, "has_touch": True},
}
COUNT_MOVES = (
    "window.moved = 0; new PerformanceObserver(list => { for (const entry of list.getEntries()) "
    "if (!entry.hadRecentInput) window.moved += entry.value }).observe({type: 'layout-shift', buffered: true})"
)
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not ServedFiles().has_scripts, reason="the console's scripts were not fetched (hatch_build.py)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One for the module, and no longer: while it is open no event loop may run in this thread."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_context(browser: "Browser", live: Live) -> Iterator[Callable[..., "BrowserContext"]]:
    """Opens contexts that have signed in, and fails when a page says that something is wrong with it."""
    opened: list[BrowserContext] = []
    said: list[str] = []

    def open_one(*, role: str = "admin", **options: Any) -> "BrowserContext":
        context = browser.new_context(base_url=live.url, **options)
        context.set_default_timeout(PATIENCE_SECONDS * 1_000)
        opened.append(context)
        context.on(
            "console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None
        )
        context.on("weberror", lambda error: said.append(str(error.error)))
        page = context.new_page()
        page.goto("/console/")
        page.get_by_label("Bearer token").fill(token(role, SCOPE))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{REGION}/**")
        return context

    open_one.said = said  # type: ignore[attr-defined]  # for tests that break connections on purpose
    yield open_one
    for context in opened:
        context.close()
    assert said == []


def visit(context: "BrowserContext", place: str) -> "Page":
    page = context.pages[0]
    page.goto(f"{REGION}{place}")
    return page


@pytest.mark.parametrize("look", LOOKS)
def test_no_page_is_wider_than_its_window_or_moves(open_context: Callable[..., "BrowserContext"], look: str) -> None:
    context = open_context(**LOOKS[look])
    context.add_init_script(COUNT_MOVES)
    for page_of_table in PAGES:
        page = visit(context, PLACES[page_of_table.path])
        assert page.title().endswith("· earwitness")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, (look, page_of_table.path)
        assert page.evaluate("window.moved") == 0, (look, page_of_table.path)


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm install --prefix tests/console)")
@pytest.mark.parametrize("look", LOOKS)
def test_nobody_is_kept_out(open_context: Callable[..., "BrowserContext"], look: str) -> None:
    context = open_context(**LOOKS[look], bypass_csp=True)
    for page_of_table in PAGES:
        page = visit(context, PLACES[page_of_table.path])
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run().then(result => result.violations)")
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], (look, page_of_table.path)


def test_the_report_of_a_usual_call_is_one_sheet(live: Live, open_context: Callable[..., "BrowserContext"]) -> None:
    """Five candidates, the picture with its table, the line, the audio, four events with two targets each."""

    def work(unit: Unit) -> None:
        others = [
            replace(MATCH.candidates[1], profile_id=f"{MATCH.candidates[1].profile_id[:-1]}{n}") for n in range(4)
        ]
        basis = Basis(
            line_state=LineState.UNKNOWN,
            line_voices=7,
            line_version=3,
            calibration_id=shipped_calibration("campplus", "telephone").id,
            gallery_version=1,
        )
        threshold = replace(MATCH.threshold, line_margin=0.06) if MATCH.threshold else None
        decision = replace(MATCH, candidates=(MATCH.candidates[0], *others), threshold=threshold, basis=basis)
        conclude(unit, add_task(unit, SCOPE, task_id=task_id(30)), decision)
        for number in range(4):
            event = json.dumps({"detail": {"detailStatus": "IdentificationSuccessful", "taskId": task_id(30)}})
            unit.events.append(
                SCOPE,
                event_id=f"event-of-30-{number}",
                pipeline_id="pipeline-1",
                kind="speaker search",
                body=event.encode(),
                targets=[QUEUE, "file"],
            )

    live.store.write(work)
    page = visit(open_context(), f"/tasks/{task_id(30)}/report")
    assert page.locator("svg.curves").count() == 1
    for sheet in ("A4", "Letter"):
        assert re.findall(rb"/Count (\d+)", page.pdf(format=sheet)) == [b"1"], sheet


def test_candidates_on_the_picture_can_be_read_on_a_phone(
    live: Live, open_context: Callable[..., "BrowserContext"]
) -> None:
    basis = Basis(
        line_state=LineState.UNKNOWN,
        line_voices=0,
        line_version=0,
        calibration_id=shipped_calibration("campplus", "telephone").id,
        gallery_version=1,
    )
    live.store.write(
        lambda unit: conclude(unit, add_task(unit, SCOPE, task_id=task_id(30)), replace(MATCH, basis=basis))
    )
    page = visit(open_context(**LOOKS["phone"]), f"/tasks/{task_id(30)}")
    for place in range(2):
        circle = page.locator("svg.curves circle.candidate").nth(place).bounding_box()
        words = page.locator("svg.curves .of-candidate").nth(place).bounding_box()
        assert circle and words
        assert circle["width"] >= 16
        assert words["height"] >= 10


def test_everything_is_there_without_script(open_context: Callable[..., "BrowserContext"]) -> None:
    context = open_context(java_script_enabled=False)
    page = visit(context, "/tasks")
    assert page.locator("tbody tr").count() == 7
    page.get_by_label("Result").select_option("match")
    page.get_by_role("button", name="Show").click()
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("link", name="vp-341c3b6f").first.wait_for()


@pytest.mark.parametrize("has_script", [True, False], ids=["with script", "without"])
def test_on_a_phone_all_pages_are_behind_a_button(
    open_context: Callable[..., "BrowserContext"], *, has_script: bool
) -> None:
    page = open_context(java_script_enabled=has_script, viewport=PHONE, has_touch=True).pages[0]
    links = page.locator("#pages a")
    names = [one.navigation for one in PAGES if one.navigation]
    assert not any(link.is_visible() for link in links.all())
    button = page.get_by_role("button", name="Calls, all pages")
    button.tap()
    assert [link.inner_text() for link in links.all()] == names
    for link in links.all():
        box = link.bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= PHONE["width"]
        assert box["y"] + box["height"] <= PHONE["height"]
    page.keyboard.press("Escape")
    assert not links.first.is_visible()
    button.tap()
    links.filter(has_text="Nodes").tap()
    page.get_by_role("button", name="Nodes, all pages").wait_for()


def test_on_a_desk_all_pages_are_in_a_line(open_context: Callable[..., "BrowserContext"]) -> None:
    page = open_context(viewport=DESK).pages[0]
    boxes = [link.bounding_box() for link in page.locator("#pages a").all()]
    assert len({box["y"] for box in boxes if box is not None}) == 1
    assert None not in boxes
    assert not page.locator(".menu").is_visible()


def test_the_keyboard_suffices(open_context: Callable[..., "BrowserContext"]) -> None:
    page = visit(open_context(), "/tasks")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "status"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_call_that_ends_is_seen_to(live: Live, open_context: Callable[..., "BrowserContext"]) -> None:
    page = visit(open_context(), "/tasks")
    row = page.locator(f"#task-{task_id(6)}")
    assert "listening" in row.inner_text()
    live.store.write(lambda unit: unit.attempts.end(SCOPE, task_id(6), attempt=1))
    row.get_by_text("ended").wait_for()


def test_speech_is_seen_as_it_is_heard(live: Live, open_context: Callable[..., "BrowserContext"]) -> None:
    page = visit(open_context(), "/live")
    card = page.locator(f"#call-{task_id(6)}")
    card.get_by_text("listening").wait_for()
    page.locator("#live[data-connected]").wait_for()
    for spoken, missing in ((4.0, "6 s more"), (7.0, "3 s more")):
        so_far = HeardSoFar(
            net_speech_seconds=spoken,
            audio_seconds=9.0,
            levels_start_seconds=0.0,
            levels=(-10,) * 18,
            speech=(SpeechStretch(start_seconds=0.0, end_seconds=spoken),),
        )
        live.service.lags.heard(task_id(6), so_far=so_far)
        card.get_by_text(missing).wait_for()
        assert card.get_by_role("img").get_attribute("aria-label") == f"The last 9 seconds: {spoken:.0f} of them speech"
    live.store.write(
        lambda unit: unit.attempts.conclude_identification(SCOPE, task_id(6), attempt=1, identification=asdict(MATCH))
    )
    card.get_by_text("match", exact=True).wait_for()
    assert "98.0" in card.inner_text()


def test_a_page_says_that_its_service_is_away_and_misses_nothing(
    live: Live, open_context: Callable[..., "BrowserContext"]
) -> None:
    page = visit(open_context(), "/tasks")
    page.locator("#live[data-connected]").wait_for()
    live.__exit__()
    page.get_by_text("Connection lost").wait_for()
    live.settings = replace(live.settings, port=live.port)
    live.__enter__()
    live.store.write(lambda unit: unit.attempts.end(SCOPE, task_id(6), attempt=1))
    page.locator(f"#task-{task_id(6)}").get_by_text("ended").wait_for()
    page.get_by_text("Connection lost").wait_for(state="hidden")
    open_context.said.clear()  # type: ignore[attr-defined]


def test_a_token_that_is_revoked_leads_to_the_sign_in(
    live: Live, open_context: Callable[..., "BrowserContext"]
) -> None:
    page = visit(open_context(role="operator"), "/tasks")
    page.locator("#live[data-connected]").wait_for()
    live.store.write(lambda unit: unit.bearer_tokens.revoke(ACCOUNT, "tok-operator"))
    page.get_by_label("Bearer token").wait_for()
    open_context.said.clear()  # type: ignore[attr-defined]


def test_one_key_labels_a_call_and_none_while_somebody_types(open_context: Callable[..., "BrowserContext"]) -> None:
    context = open_context()
    page = visit(context, f"/tasks/{task_id(0)}")
    page.keyboard.press("Control+c")
    page.keyboard.press("x")
    assert "Labelled" not in page.inner_text("main")
    page.get_by_role("button", name="Keys c and d answer").click()  # off
    page.keyboard.press("c")
    assert "Labelled" not in page.inner_text("main")
    page.get_by_role("button", name="Keys c and d answer").click()
    page.keyboard.press("c")
    page.get_by_text("Labelled: it was this profile.").wait_for()
    page.keyboard.press("d")
    page.get_by_text("Labelled: it was not this profile.").wait_for()
    page = visit(context, f"/tasks/{task_id(1)}/label")
    page.get_by_label("Voice profile").press_sequentially("cd")
    assert page.get_by_label("Voice profile").input_value() == "cd"
    assert page.url.endswith("/label")


def test_what_a_threshold_costs_can_be_read_from_the_picture(
    open_context: Callable[..., "BrowserContext"], tmp_path: Path
) -> None:
    archive = tmp_path / "calls.zip"
    archive.write_bytes(labelled())
    context = open_context(**LOOKS["light"])
    context.add_init_script(COUNT_MOVES)
    page = visit(context, "/evaluate")
    page.get_by_label("A ZIP archive").set_input_files(archive)
    page.get_by_label("Seconds of speech to enrol").fill("10")
    page.get_by_label("Seconds of speech to test").fill("5")
    page.get_by_role("button", name="Evaluate").click()
    page.get_by_role("link", name="Results").click()
    page.wait_for_url("**/evaluate/result")
    for look in LOOKS.values():
        page.emulate_media(color_scheme=look["color_scheme"])
        page.set_viewport_size(look["viewport"])
        page.reload()
        page.locator("#costs .u-over").hover()
        page.get_by_text(re.compile(r"Threshold -?[0-9.]+: costs [0-9.]+, misses [0-9.]+ %, lets")).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert page.evaluate("window.moved") == 0
