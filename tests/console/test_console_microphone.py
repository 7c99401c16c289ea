"""*Try it* in a real browser: a microphone that plays a file, a file that is dropped, the keyboard, a phone."""

import io
import math
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
import soxr
from console_examples import DOMAIN
from console_visit import REGION, SCOPE
from live import Live
from rest_examples import token
from test_console_browser import ARGUMENTS, CHROMIUM, PHONE

from earwitness.console.files import ServedFiles
from earwitness.samples import first_call, second_call
from patience import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not ServedFiles().has_scripts, reason="the console's scripts were not fetched (hatch_build.py)"),
]

DROPPED = """content => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(content)], "tone.wav", {type: "audio/wav"}));
    const drop = document.getElementById("drop");
    for (const kind of ["dragenter", "dragover", "drop"])
        drop.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
DRAWN = "[...document.getElementById('wave').getContext('2d').getImageData(0, 50, 1200, 1).data].some(one => one > 0)"
TURN_CLOCK = (
    "window.turned = 0; const now = performance.now.bind(performance); performance.now = () => now() + window.turned"
)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: a call, as a browser's fake device plays it."""
    samples, rate = soundfile.read(second_call("sally"), dtype="float32")
    path = tmp_path_factory.mktemp("spoken") / "spoken.wav"
    soundfile.write(path, np.asarray(soxr.resample(samples, rate, 48_000), np.float32), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def hearing(spoken: Path) -> Iterator["Browser"]:
    """A browser whose microphone plays the call."""
    sync_api = pytest.importorskip("playwright.sync_api")
    device = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}",
    ]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *device])
        yield opened
        opened.close()


@pytest.fixture
def open_try(hearing: "Browser", live: Live) -> Iterator[Callable[..., "Page"]]:
    """Opens the page, signed in; fails when the page says that something is wrong with it."""
    said: list[str] = []
    opened: list[Any] = []

    def open_one(**options: Any) -> "Page":
        context = hearing.new_context(base_url=live.url, **options)
        opened.append(context)
        context.set_default_timeout(PATIENCE_SECONDS * 1_000)
        context.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
        context.on("weberror", lambda error: said.append(str(error.error)))
        page = context.new_page()
        page.goto("/console/")
        page.get_by_label("Bearer token").fill(token("operator", SCOPE))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{REGION}/**")
        page.goto(f"{REGION}/try?domainId={DOMAIN}")
        return page

    yield open_one
    for context in opened:
        context.close()
    assert said == []


def test_a_voice_is_recorded_enrolled_and_found(open_try: Callable[..., "Page"]) -> None:
    page = open_try()
    page.get_by_role("button", name="Record from the microphone").click()
    page.get_by_role("button", name="Stop").wait_for()
    until(lambda: page.evaluate("document.getElementById('level').value > 0.05"))  # the meter moves
    until(lambda: page.evaluate("parseInt(document.getElementById('elapsed').textContent) >= 13"))
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Recorded 1").wait_for()
    assert page.evaluate("document.getElementById('recording').files[0].name") == "recorded.wav"
    assert page.locator("#wave").is_visible()
    page.get_by_label("Consent reference").fill("form 9")
    page.get_by_role("button", name="Enrol").click()
    page.get_by_text("The voice is enrolled.").wait_for()
    profile_id = page.url.rpartition("/")[2]
    page.goto(f"{REGION}/try?domainId={DOMAIN}")
    page.get_by_label("An audio file").set_input_files(first_call("sally"))
    page.get_by_role("button", name="Who is it?").click()
    page.get_by_role("heading", name="match").wait_for()
    assert page.get_by_role("link", name=profile_id).count()


def test_a_file_is_dropped_and_shown_before_it_is_sent(open_try: Callable[..., "Page"]) -> None:
    page = open_try(viewport=PHONE, has_touch=True)
    tone = [round(9_000 * math.sin(2 * math.pi * 440 * n / 8_000)) for n in range(32_000)]
    content = io.BytesIO()
    with wave.open(content, "wb") as written:
        written.setparams((1, 2, 8_000, 0, "NONE", ""))
        written.writeframes(np.array(tone, "<i2").tobytes())
    page.evaluate(DROPPED, [*content.getvalue()])
    page.get_by_role("img", name="The waveform of the recording, 4.0 seconds").wait_for()
    assert page.evaluate(DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.get_by_role("button", name="Who is it?").click()
    page.get_by_text("too little speech").first.wait_for()


def test_the_keyboard_suffices_to_record(open_try: Callable[..., "Page"]) -> None:
    page = open_try()
    page.get_by_label("An audio file").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "record"
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("document.activeElement.id === 'stop'"))
    until(lambda: page.evaluate("document.getElementById('level').value > 0.05"))
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("document.activeElement.id === 'record'"))
    page.get_by_text("Listen to it").wait_for()


def test_a_recording_ends_by_itself_after_a_minute(open_try: Callable[..., "Page"]) -> None:
    page = open_try()
    page.evaluate(TURN_CLOCK)
    page.get_by_role("button", name="Record from the microphone").click()
    until(lambda: page.evaluate("document.getElementById('level').value > 0.05"))
    page.evaluate("window.turned = 60000")
    page.get_by_text("Listen to it").wait_for()


def test_everything_can_be_tried_without_script(open_try: Callable[..., "Page"]) -> None:
    page = open_try(java_script_enabled=False)
    assert not page.get_by_role("button", name="Record from the microphone").is_visible()
    page.get_by_label("An audio file").set_input_files(first_call("marvin"))
    page.get_by_role("button", name="Who is it?").click()
    page.get_by_role("heading", name="in Callers").wait_for()
