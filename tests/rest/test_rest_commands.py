"""`earwitness tasks`, `watch`, `events` and `profiles --domain`, over HTTP and real records."""

import json
import re
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rest_examples import (
    MINE,
    SECRET,
    START,
    THEIRS,
    VOICEPRINT,
    Rest,
    add_domain,
    add_event,
    add_pipeline,
    enrol,
    key_id,
    learn,
    token,
)
from typer.testing import CliRunner, Result

from earwitness.cli.calls import WORDS, following
from earwitness.cli.client import connect
from earwitness.cli.main import app
from earwitness.errors import ServiceRefused
from earwitness.samples import first_call, second_call
from earwitness.store.records import LineMonitor
from earwitness.store.store import Unit
from earwitness.voice.line import Codec, LineHealth

HOOK = "https://hooks.example/calls"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).split())


@pytest.mark.slow
def test_status(url: str) -> None:
    shown = run("status")
    assert shown.exit_code == 0
    assert f"account {MINE.account_id}" in said(shown)
    assert "Kinesis video streams" in said(shown)
    assert "speech behind voiceprints is not kept" in said(shown)
    told = json.loads(run("status", "--json").stdout)
    assert {one["name"] for one in told["use"]} <= set(WORDS)


@pytest.mark.slow
def test_the_lines_of_a_domain(url: str, rest: Rest) -> None:
    of = ("--domain", "vpd-1")
    assert "nobody was searched for yet" in said(run("line", "show", *of))
    assert run("line", "revert", "1", *of).exit_code == 2
    rest.store.write(learn)
    shown = run("line", "show", *of)
    assert shown.exit_code == 0
    assert "pcm: learning, version 1 of 10 voices; too few searches" in said(shown)
    assert json.loads(run("line", "off", *of, "--json").stdout)["learning"] == "off"
    assert "learning is on in vpd-1" in said(run("line", "on", *of))
    assert json.loads(run("line", "reset", *of, "--json").stdout)["lines"][0]["version"] == 2
    assert "reverted to 1" in said(run("line", "revert", "1", *of))
    assert "domain vpd-1, line pcm: learning, version 3 of 10 voices" in said(run("status"))
    rest.store.write(lambda unit: learn(unit, Codec.GSM))
    assert "gsm, pcm" in said(run("line", "revert", "1", *of))
    assert run("line", "revert", "1", *of, "--codec", "gsm").exit_code == 0
    assert run("line", "show", "--domain", "vpd-none").exit_code == 9


@pytest.mark.slow
def test_doctor_tells_of_lines_that_are_off(url: str, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    def domains() -> dict[str, Any]:
        return json.loads(run("doctor", "--json").stdout)["domains"]

    def watch(unit: Unit) -> None:
        monitor = LineMonitor(
            codec=Codec.PCM,
            searches=20,
            voiceprints_mean=0.21,
            voiceprints_spread=0.15,
            callers_mean=None,
            health=LineHealth.OFF,
            updated_at=unit.now,
        )
        unit.lines.watch(MINE, "vpd-1", monitor)

    assert domains() == {"ok": True, "found": "1 with 0 lines"}
    rest.store.write(watch)
    told = domains()
    assert not told["ok"]
    assert "vpd-1: line pcm: strangers score as if they were alike" in told["found"]
    assert "(mean score of voiceprints that did not match +0.21)" in said(run("status"))
    monkeypatch.setenv("EARWITNESS_URL", "http://127.0.0.1:9")
    assert domains()["ok"]
    monkeypatch.delenv("EARWITNESS_TOKEN")
    assert domains()["ok"]


@pytest.mark.slow
def test_tasks(url: str) -> None:
    listed = run("tasks", "--pipeline", "pipeline-1")
    assert listed.exit_code == 0
    assert "match 98.0 %" in said(listed)
    assert "vp-1" in said(listed)
    assert "NotStarted" in said(listed)
    assert {task["taskId"] for task in json.loads(run("tasks", "--json").stdout)} == {"done", "waiting"}
    shown = said(run("tasks", "done"))
    assert "match: vp-1, probability 98.0 %" in shown
    assert "1 vp-1 0.81 98.0 %" in shown
    assert "10.0 s of net speech used" in shown
    assert "at most 1 % of strangers are named among 2 voiceprints" in shown
    assert "can be enrolled until 2026-01-02" in shown
    assert json.loads(run("tasks", "done", "--json").stdout)["status"] == "Stopped"
    assert "not searched yet" in said(run("tasks", "waiting"))


@pytest.mark.slow
def test_a_task_that_ended_without_a_result_does_not_wait_for_one(url: str, rest: Rest) -> None:
    def fail(unit: Unit) -> None:
        taken = unit.attempts.adopt(MINE, "waiting")
        assert taken is not None
        unit.attempts.fail(MINE, "waiting", attempt=taken.attempt, status_message="its codec is none")

    rest.store.write(fail)
    shown = said(run("tasks", "waiting"))
    assert "its codec is none" in shown
    assert "no result: the task failed" in shown
    assert "too little speech" not in shown
    assert "not searched yet" not in shown


@pytest.mark.slow
def test_the_newest_events_are_listed_whoever_else_has_newer_ones(url: str, rest: Rest) -> None:
    def work(unit: Unit) -> None:
        for number in range(2, 11):
            add_event(unit, HOOK, event_id=f"event-{number}")
        add_pipeline(unit, THEIRS, pipeline_id="theirs")
        for number in range(30):
            add_event(unit, HOOK, event_id=f"other-{number}", scope=THEIRS, pipeline_id="theirs")

    rest.store.write(work)

    def newest(*options: str) -> list[str]:
        answer = json.loads(run("events", "list", "--newest", "--json", *options).stdout)
        return [event["eventId"] for event in answer["events"]]

    assert newest("--limit", "3") == ["event-8", "event-9", "event-10"]
    assert newest("--limit", "10", "--pipeline", "pipeline-1") == newest() == [f"event-{one}" for one in range(1, 11)]
    assert "there may be more" not in said(run("events", "list", "--newest", "--limit", "3"))
    assert run("events", "list", "--newest", "--after", "3").exit_code == 2


@pytest.mark.slow
def test_the_lag_of_tasks_is_listed(url: str, rest: Rest) -> None:
    """A figure where it runs here, nothing where it does not."""
    rest.lags.hears("waiting", behind_seconds=3.46)
    rows = {line.split()[0]: line for line in run("tasks").stdout.splitlines() if "pipeline-1" in line}
    assert "3.5 s" in rows["waiting"]
    assert " s " not in rows["done"]
    assert {task["taskId"]: task["lagSeconds"] for task in json.loads(run("tasks", "--json").stdout)} == {
        "waiting": 3.46,
        "done": None,
    }


@pytest.mark.slow
def test_profiles_of_a_domain(url: str) -> None:
    assert "form 12" in said(run("profiles", "--domain", "vpd-1"))
    assert json.loads(run("profiles", "--domain", "vpd-1", "--json").stdout)[0]["profileId"] == "vp-1"
    assert run("profiles", "--domain", "vpd-1", "--gallery", "x").exit_code == 2


@pytest.mark.slow
def test_voiceprints_of_a_voice_are_taken_back(url: str, rest: Rest) -> None:
    for number in range(3):
        rest.clock.now += timedelta(minutes=1)
        rest.store.write(
            lambda unit, number=number: unit.profiles.add_voiceprint(
                MINE, "vp-1", voiceprint_id=f"later-{number}", voiceprint=VOICEPRINT, expires_at=START
            )
        )
    shown = run("voices", "show", "vp-1").stdout
    assert [words in shown for words in ("print-of-vp-1", "later-2", "a recording")] == [True] * 3
    assert "--yes" in said(run("voices", "roll-back", "vp-1", "later-1"))  # nobody can be asked
    assert "2 voiceprints left" in said(run("voices", "roll-back", "vp-1", "later-1", "--yes"))
    left = json.loads(run("voices", "remove", "vp-1", "later-0", "--yes", "--json").stdout)
    assert [one["voiceprintId"] for one in left["voiceprints"]] == ["print-of-vp-1"]
    last = run("voices", "remove", "vp-1", "print-of-vp-1", "--yes")
    assert (last.exit_code, "delete the profile" in said(last)) == (9, True)


def test_doctor_of_a_domain(url: str, rest: Rest) -> None:
    assert "nothing is wrong" in said(run("domains", "doctor", "vpd-1"))
    vector = struct.pack("<192f", 1.0, *[0.0] * 191)
    quality = {
        "speech_level_dbfs": -24.0,
        "peak_dbfs": -3.0,
        "clipped_percent": 0.0,
        "snr_db": 20.0,
        "bandwidth_hz": 3400,
    }
    made = replace(VOICEPRINT, encoder_id=rest.engine.encoder.encoder_id, vector=vector, quality=quality)

    def work(unit: Unit) -> None:
        for profile_id in ("vp-2", "vp-3"):
            enrol(unit, profile_id=profile_id)
            unit.profiles.add_voiceprint(
                MINE, profile_id, voiceprint_id="print", voiceprint=made, expires_at=START + timedelta(days=1_000)
            )

    rest.store.write(work)
    (found,) = json.loads(run("domains", "doctor", "vpd-1", "--json").stdout)
    assert (found["kind"], {found["profileId"], found["otherProfileId"]}) == ("copy", {"vp-2", "vp-3"})
    assert "the same recording" in said(run("domains", "doctor", "vpd-1"))


@pytest.mark.slow
def test_recordings_and_a_domain(url: str, rest: Rest) -> None:
    rest.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    sally, again = str(first_call("sally")), str(second_call("sally"))
    form = ("--consent", "form 7", "--request-token", "t-1")
    enrolled = run("domains", "enroll", "vpd-2", sally, *form)
    assert enrolled.exit_code == 0, said(enrolled)
    repeated = json.loads(run("domains", "enroll", "vpd-2", sally, *form, "--json").stdout)
    assert f"enrolled {repeated['profileId']}: voiceprints of 20.0 s" in said(enrolled)
    refused = run("domains", "enroll", "vpd-2", again, *form)
    assert refused.exit_code == 9
    assert "came with another request" in said(refused)
    found = run("domains", "search", "vpd-2", again)
    assert found.exit_code == 0, said(found)
    assert f"match: {repeated['profileId']}, probability" in said(found)
    stranger = run("domains", "search", "vpd-2", str(first_call("marvin")), "--json")
    assert (stranger.exit_code, json.loads(stranger.stdout)["outcome"]) == (1, "no match")
    twice = run("domains", "enroll", "vpd-2", again, "--consent", "form 8")
    assert f"warning: the voice sounds like {repeated['profileId']}, a profile of the domain" in said(twice)
    more = run("domains", "enroll", "vpd-2", again, "--consent", "form 7", "--profile", repeated["profileId"], "--json")
    assert len(json.loads(more.stdout)["voiceprints"]) == 2


@pytest.mark.slow
def test_a_recording_is_sent_with_a_signature(url: str, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    rest.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    monkeypatch.delenv("EARWITNESS_TOKEN")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id("admin"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    rest.clock.now = datetime.now(UTC)
    answer = run("domains", "search", "vpd-2", str(first_call("sally")))
    assert answer.exit_code == 1, said(answer)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert run("domains", "search", "vpd-2", str(first_call("sally"))).exit_code == 9


def test_recordings_that_are_not_sent(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = run("domains", "search", "vpd-1", str(tmp_path / "none.wav"))
    assert (missing.exit_code, "cannot be read" in said(missing)) == (4, True)
    large = tmp_path / "large.wav"
    large.write_bytes(b"12345")
    monkeypatch.setattr("earwitness.cli.client.RECORDING_BYTES_MAX", 4)
    refused = run("domains", "search", "vpd-1", str(large))
    assert (refused.exit_code, "20 s of speech are enough" in said(refused)) == (4, True)
    monkeypatch.undo()
    no_domain = run("domains", "search", "arn:aws:chime/vpd-1", str(large), "--json")
    assert no_domain.exit_code == 2
    assert run("domains", "enroll", "vpd-1", str(large)).exit_code == 2


def test_a_recording_that_the_service_refuses(url: str, tmp_path: Path) -> None:
    no_audio = tmp_path / "text.wav"
    no_audio.write_bytes(b"no audio" * 100_000)
    refused = run("domains", "search", "vpd-1", str(no_audio))
    assert refused.exit_code == 9
    assert "text.wav" not in said(refused)


@pytest.mark.slow
def test_events(url: str, rest: Rest) -> None:
    listed = said(run("events", "list"))
    assert "IdentificationSuccessful" in listed
    assert f"{HOOK} pending after 0 attempts" in listed
    assert json.loads(run("events", "list", "--json").stdout)["events"][0]["eventId"] == "event-1"
    until = datetime(2027, 1, 1, tzinfo=UTC)

    def deliver(unit: Unit) -> None:
        for claimed in unit.deliveries.claim(until=until, limit=1):
            unit.deliveries.record_delivered(claimed)

    rest.store.write(deliver)
    assert "1 deliveries wait again" in said(run("events", "replay", "event-1", "--target", HOOK))
    assert json.loads(run("events", "replay", "event-1", "--json").stdout) == {"eventId": "event-1", "replayed": 0}
    assert json.loads(run("events", "replay", "--parked", "--json").stdout) == {"replayed": 0}
    for neither in (("events", "replay"), ("events", "replay", "event-1", "--parked")):
        assert "give an EVENT_ID, or --parked" in said(run(*neither))


@pytest.mark.slow
def test_events_as_they_come_over_an_outage(url: str, rest: Rest) -> None:
    slept: list[float] = []
    with connect(url=None, region=None) as service:
        real_get, outages = service.get, iter([503, 503])

        def get(path: str, **query: object) -> dict[str, object]:
            if query.get("wait"):
                for status in outages:
                    raise ServiceRefused("stopping", status=status)
            return real_get(path, **query)

        service.get = get
        coming = following(service, None, sleep=slept.append)
        writing = threading.Thread(
            target=lambda: (wait_for_listener(rest), rest.store.write(lambda unit: add_event(unit, event_id="new")))
        )
        writing.start()
        assert next(coming)["eventId"] == "new"  # and not the one from before
        writing.join()
    assert slept == [1.0, 2.0]


def wait_for_listener(rest: Rest) -> None:
    while not rest.waiting:
        threading.Event().wait(0.01)


@pytest.mark.slow
def test_watch_prints_a_line_an_event(url: str, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object, **__: object) -> Iterator[object]:
        yield from rest.ask("GET", "events").json()["events"]
        raise KeyboardInterrupt

    monkeypatch.setattr("earwitness.cli.calls.following", end)
    printed = run("watch")
    assert printed.exit_code == 130
    assert re.search(r"^2026-01-01T00:00:00Z  pipeline-1  IdentificationSuccessful$", printed.stdout, re.MULTILINE)
    assert json.loads(run("watch", "--json").stdout.splitlines()[0])["eventId"] == "event-1"


@pytest.mark.slow
def test_a_signature_in_place_of_a_token(url: str, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    rest.clock.now = datetime.now(UTC)
    monkeypatch.delenv("EARWITNESS_TOKEN")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id("reader"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert {task["taskId"] for task in json.loads(run("tasks", "--json").stdout)} == {"done", "waiting"}
    assert json.loads(run("events", "list", "--pipeline", "pipeline-1", "--json").stdout)["events"]
    refused = run("events", "replay", "event-1", "--target", HOOK)
    assert (refused.exit_code, "a key of role reader" in said(refused)) == (9, True)


@pytest.mark.slow
def test_what_to_do_next(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    another = run("tasks", "done", "--region", "us-east-1")
    assert (another.exit_code, "--region" in said(another)) == (9, True)
    assert run("tasks", "arn:aws:chime:x/y").exit_code == 2
    monkeypatch.setenv("EARWITNESS_TOKEN", token("admin", THEIRS))
    assert run("tasks", "done").exit_code == 9
    monkeypatch.setenv("EARWITNESS_TOKEN", "wrong")
    wrong = run("tasks", "--json")
    assert (wrong.exit_code, "earwitness keys token" in said(wrong)) == (9, True)
    assert json.loads(wrong.stdout)["error"]["type"] == "ServiceRefused"
    assert run("watch").exit_code == 9
    monkeypatch.setenv("EARWITNESS_TOKEN", "wröng")
    assert run("tasks").exit_code == 2


def test_no_service_and_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    nothing = run("tasks")
    assert (nothing.exit_code, "earwitness keys token" in said(nothing)) == (2, True)
    monkeypatch.setenv("EARWITNESS_TOKEN", "x" * 47)
    away = run("tasks", "--url", "http://127.0.0.1:9")
    assert (away.exit_code, "earwitness serve" in said(away)) == (9, True)
    for address in ("127.0.0.1:9", "http://", "http://a:b", "ftp://127.0.0.1"):
        assert run("tasks", "--url", address).exit_code == 2


@pytest.mark.slow
def test_domains_are_made_listed_and_deleted(url: str, rest: Rest) -> None:
    made = json.loads(run("domains", "create", "callers", "--band", "wideband", "--json").stdout)
    assert (made["name"], made["band"]) == ("callers", "wideband")
    assert run("domains", "create", "other").stdout.startswith("vpd-")
    listed = json.loads(run("domains", "list", "--json").stdout)
    assert sorted(domain["name"] for domain in listed) == ["callers", "callers", "other"]
    assert made["domainId"] in run("domains", "list").stdout
    asked = run("domains", "delete", "vpd-1")
    assert asked.exit_code == 2
    assert "holds 1 profile, and deleting is for good; say --yes" in said(asked)
    assert run("domains", "delete", "vpd-1", "--yes").exit_code == 0
    assert rest.deleted == [None]
    assert run("domains", "delete", "vpd-1", "--yes").exit_code == 9
    assert run("profiles", "--domain", "vpd-1").exit_code == 9
    assert len(json.loads(run("domains", "list", "--json").stdout)) == 2
