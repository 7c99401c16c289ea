"""*Evaluate* over a running service: calls that are sent, measured beside it, shown, forgotten; and hostile ones."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from console_examples import SPEAKERS, labelled
from console_visit import REGION, SCOPE, Visit
from live import ACCOUNT, Live

from earwitness.console.evaluation import expected_costs
from earwitness.engine.calibration import parse_calibration
from earwitness.errors import BadRequest, BodyTooLarge
from earwitness.evaluation import incoming
from earwitness.evaluation.background import Evaluations, remove_leftovers
from earwitness.evaluation.incoming import PREFIX, IncomingCalls
from earwitness.rest.evaluation_parameters import ShowEvaluation
from earwitness.samples import first_call, second_call
from patience import until

pytestmark = pytest.mark.slow

START = f"{REGION}/evaluate/start"
SHORT = {"enrolSeconds": "10", "testSeconds": "5"}


def send(browser: Visit, *files: tuple[str, str, bytes], **fields: str) -> httpx.Response:
    given = {"formToken": browser.form_token(f"{REGION}/evaluate"), **SHORT, **fields}
    parts: list[Any] = [(name, (None, value)) for name, value in given.items()]
    parts += [(field, (name, content)) for field, name, content in files]
    return browser.client.post(START, files=parts, headers={"origin": browser.url}, timeout=60.0)


def evaluations_of(live: Live) -> Evaluations:
    assert live.service.console
    assert live.service.console._evaluations
    return live.service.console._evaluations


def state_of(live: Live) -> str:
    found = evaluations_of(live).get(ACCOUNT)
    return "none" if found is None else found.state


def folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files of this test alone."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def test_calls_are_evaluated_and_what_was_sent_is_deleted(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    begun = send(browser, ("archive", "calls.zip", labelled()))
    assert begun.status_code == 303, begun.text
    assert [oct(one.stat().st_mode & 0o777) for one in folders()] == ["0o700"]
    assert "running" in browser.get(f"{REGION}/evaluate").text
    assert send(browser, ("archive", "calls.zip", labelled(names=("kal",)))).status_code == 409
    until(lambda: state_of(live) != "running")
    found = evaluations_of(live).get(ACCOUNT)
    assert found is not None
    assert (found.state, found.reason) == ("done", "")
    assert folders() == []
    page = browser.get(f"{REGION}/evaluate/result").text
    for words in ("Before and after", "Cheapest threshold", 'class="curve"', "EARWITNESS_STRANGERS_NAMED_PERCENT="):
        assert words in page, words
    assert "No calibration was fitted" in page  # six people are too few
    document = browser.get(f"{REGION}/evaluate/result.json?falseAlarmCost=1000").json()
    assert document["results"]["counts"]["speakers"] == 6
    assert document["costs"]["best"] >= browser.get(f"{REGION}/evaluate/result.json").json()["costs"]["best"]
    forgotten = browser.post(f"{REGION}/evaluate/end", formToken=browser.form_token(f"{REGION}/evaluate"))
    assert "forgotten" in browser.get(forgotten.headers["location"]).text
    assert browser.get(f"{REGION}/evaluate/result.json").json() == {"results": None}
    operations = [one.operation for one in live.store.audit.list(SCOPE, limit=20).items]
    assert {"StartEvaluation", "EndEvaluation"} <= set(operations)


def test_an_evaluation_that_is_ended_leaves_nothing_behind(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    assert send(browser, ("archive", "calls.zip", labelled())).status_code == 303
    form_token = browser.form_token(f"{REGION}/evaluate")
    ended = browser.post(f"{REGION}/evaluate/end", formToken=form_token)
    assert "is deleted" in browser.get(ended.headers["location"]).text
    until(lambda: state_of(live) == "cancelled")
    assert folders() == []
    assert browser.post(f"{REGION}/evaluate/end", formToken=form_token).status_code == 303
    assert browser.post(f"{REGION}/evaluate/end", formToken=form_token).status_code == 404


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("file,speaker_id\n../../../../../../etc/passwd,a\n", "leads out of what was sent"),
        ("file,speaker_id\n/etc/passwd,a\n", "leads out of what was sent"),
        ("file,speaker_id\n..\\..\\x.wav,a\n", "leads out of what was sent"),
        ("file,speaker_id\nnone.wav,a\n", "does not exist"),
        ("file,speaker_id\nkal/first.flac,kal\n", "at least 2 are needed"),
        ("a b target\n", "trial lists"),
        ("\x00\x01\x02", ""),
    ],
)
def test_manifests_that_cannot_be_used(live: Live, visit: Callable[..., Visit], manifest: str, words: str) -> None:
    browser = visit("admin")
    assert send(browser, ("archive", "x.zip", labelled(names=("kal",), manifest=manifest))).status_code == 303
    until(lambda: state_of(live) != "running")
    assert state_of(live) == "failed"
    page = browser.get(f"{REGION}/evaluate").text
    assert words in page
    assert tempfile.gettempdir() not in page
    assert folders() == []


def test_forms_that_cannot_be_used_leave_nothing_behind(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    kal = first_call("kal").read_bytes()
    assert send(browser).status_code == 400
    assert send(browser, ("recordings", "a.flac", kal)).status_code == 400
    assert send(browser, ("archive", "x.zip", b"no archive")).status_code == 400
    assert send(browser, ("recordings", "../a.flac", kal)).status_code == 400
    assert send(browser, ("recordings", "a.flac", kal), ("recordings", "a.flac", kal)).status_code == 400
    assert send(browser, ("else", "a.flac", kal)).status_code == 400
    assert send(browser, ("archive", "x.zip", labelled()), condition="elsewhere").status_code == 400
    assert send(browser, ("archive", "x.zip", labelled()), formToken="x").status_code == 403
    assert (state_of(live), folders()) == ("none", [])
    assert visit("operator").client.post(START, headers={"origin": browser.url}).status_code == 403


def test_several_files_and_a_manifest(live: Live, visit: Callable[..., Visit]) -> None:
    browser = visit("admin")
    files = [
        ("recordings", f"{name}-{number}.flac", call.read_bytes())
        for name in SPEAKERS[:2]
        for number, call in enumerate((first_call(name), second_call(name)))
    ]
    rows = [f"{name}-{number}.flac;{name}" for name in SPEAKERS[:2] for number in range(2)]
    manifest = "\n".join(["file;speaker_id", *rows]).encode()
    assert send(browser, ("archive", "", b""), ("manifest", "calls.csv", manifest), *files).status_code == 303
    until(lambda: state_of(live) != "running")
    found = evaluations_of(live).get(ACCOUNT)
    assert found is not None
    assert (found.state, found.reason) == ("done", "")


# Archives and folders, without a service.


def unpack(content: bytes) -> None:
    calls = IncomingCalls()
    try:
        calls.begin_file("archive", "x.zip")(content)
        calls.complete()
    finally:
        calls.remove_unless_kept()


@pytest.mark.parametrize(
    "name", ["../x.wav", "/x.wav", "a/../../x.wav", "a/\x01.wav", "x" * 200, "a/" * 9 + "x", ".lock"]
)
def test_names_in_archives_lead_nowhere(name: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("manifest.csv", "file,speaker_id\n")
        archive.writestr(name, b"x")
    with pytest.raises(BadRequest):
        unpack(content.getvalue())


def test_an_archive_that_holds_more_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.csv", "file,speaker_id\n")
        archive.writestr("a.wav", bytes(5_000_000))
    assert len(content.getvalue()) < 10_000
    monkeypatch.setattr(incoming, "UNPACKED_BYTES_MAX", 1_000_000)
    with pytest.raises(BodyTooLarge):
        unpack(content.getvalue())
    monkeypatch.setattr(incoming, "FILES_MAX", 1)
    with pytest.raises(BadRequest, match="more than 1 files"):
        unpack(content.getvalue())
    calls = IncomingCalls()
    with pytest.raises(BadRequest, match="no manifest"):
        calls.complete()
    calls.remove()
    assert folders() == []


def test_a_folder_of_a_killed_process_is_deleted_and_one_in_use_is_not(tmp_path: Path) -> None:
    code = "import os,signal,sys\nfrom earwitness.evaluation.incoming import IncomingCalls\n"
    code += "calls = IncomingCalls()\nprint(calls.folder, flush=True)\nsys.stdin.read()\n"
    environment = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        here = Path(tempfile.gettempdir())
        assert remove_leftovers(here) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder.is_dir()
        assert remove_leftovers(here) == 1
        assert not folder.exists()


# What thresholds cost.


def test_the_cheapest_threshold_follows_the_costs() -> None:
    scores = [0.0, 0.1, 0.2, 0.3]
    found = {
        "costs": {
            "scores": scores,
            "misses": [[0.0, 0.1, 0.3, 1.0]] * 5,
            "falseAlarms": [[1.0, 0.2, 0.01, 0.0]] * 5,
        },
        "falseMatch": [0.5, 0.1, 0.001, 0.0001],
    }
    even = expected_costs(found, ShowEvaluation(miss_cost=1, false_alarm_cost=1, known_of_thousand=500, gallery=10))
    assert (even.best, even.best_low, even.best_high) == (0.1, 0.1, 0.1)
    assert even.best_cost == pytest.approx(0.5 * 0.1 + 0.5 * 0.2)
    assert even.strangers_named_percent == pytest.approx(100.0)
    dear = expected_costs(found, ShowEvaluation(miss_cost=1, false_alarm_cost=100, known_of_thousand=500, gallery=10))
    assert dear.best == 0.3
    cheap = expected_costs(found, ShowEvaluation(miss_cost=100, false_alarm_cost=1, known_of_thousand=500, gallery=10))
    assert cheap.best == 0.0


def test_a_fitted_calibration_is_downloaded_as_its_file(live: Live, visit: Callable[..., Visit]) -> None:
    from earwitness.engine.calibration import shipped_calibration
    from earwitness.evaluation.background import AskedEvaluation, BackgroundEvaluation

    shipped = Path(sys.modules["earwitness.engine"].__file__ or "").parent / "data"
    text = next(shipped.glob("calibration-*-telephone.json")).read_text(encoding="utf-8")
    asked = AskedEvaluation(condition="recorded", enrol_seconds=20.0, test_seconds=10.0)
    evaluation = BackgroundEvaluation(began_at=evaluations_of(live)._clock(), asked=asked)
    evaluation.state, evaluation.results = "done", {"calibration": json.loads(text)}
    evaluations_of(live)._of[ACCOUNT] = evaluation
    browser = visit("admin")
    downloaded = browser.get(f"{REGION}/evaluate/calibration.json").text
    assert parse_calibration(downloaded, name="x").id == shipped_calibration("campplus", "telephone").id
    assert "Roll back" in browser.get(f"{REGION}/evaluate/calibration").text
    assert visit("operator").get(f"{REGION}/evaluate/calibration.json").status_code == 403
