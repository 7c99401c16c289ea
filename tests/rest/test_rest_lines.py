"""What a domain has learnt of its lines, over HTTP and real records: shown, switched, forgotten, as it was before."""

import struct
from datetime import timedelta
from typing import Any

import pytest
from rest_examples import MINE, Rest, add_domain, enrol, learn, require_error, require_fits

from earwitness.store.records import LineMonitor
from earwitness.store.store import Unit
from earwitness.voice.line import Codec, LineHealth, LineLearning

LINES = "domains/vpd-1/lines"


@pytest.fixture
def domain(rest: Rest) -> Rest:
    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit)

    rest.store.write(work)
    return rest


def shown(rest: Rest, method: str = "GET", path: str = LINES, **params: str) -> dict[str, Any]:
    response = rest.ask(method, path, params=params)
    assert response.status_code == 200, response.text
    require_fits(response.json(), "Lines")
    assert rest.ask("GET", LINES).json() == response.json()
    return response.json()


def vote(rest: Rest, codec: Codec = Codec.PCM) -> None:
    def work(unit: Unit) -> None:
        unit.lines.lock(MINE, "vpd-1")
        vector = struct.pack("<2f", 0.6, 0.8)
        unit.lines.vote(
            MINE,
            "vpd-1",
            codec,
            encoder_id="two-d-1",
            vector=vector,
            net_speech_seconds=10.0,
            profile_id=None,
            task_id=None,
        )

    rest.store.write(work)


def watched(rest: Rest, health: LineHealth, *, mean: float = 0.21, codec: Codec = Codec.PCM) -> None:
    def work(unit: Unit) -> None:
        monitor = LineMonitor(
            codec=codec,
            searches=20,
            voiceprints_mean=mean,
            voiceprints_spread=0.15,
            callers_mean=None,
            health=health,
            updated_at=unit.now,
        )
        unit.lines.watch(MINE, "vpd-1", monitor)

    rest.store.write(work)


def operations(rest: Rest) -> list[str]:
    return [entry.operation for entry in rest.store.audit.list(MINE, limit=10).items]


def test_a_domain_that_has_heard_nobody_has_no_lines(domain: Rest) -> None:
    assert shown(domain) == {
        "domainId": "vpd-1",
        "learning": "on",
        "voiceprints": 1,
        "formerVoiceprints": 0,
        "advice": None,
        "lines": [],
    }
    assert operations(domain) == []


def test_the_list_of_domains_says_whether_their_lines_are_well(domain: Rest) -> None:
    def told() -> str:
        response = domain.ask("GET", "domains")
        require_fits(response.json(), "Domains")
        (answer,) = response.json()["domains"]
        return answer["lineHealth"]

    assert told() == "too few searches"
    watched(domain, LineHealth.WELL)
    assert told() == "well"
    watched(domain, LineHealth.OFF, codec=Codec.MULAW)
    assert told() == "off"


def test_a_line_is_shown_with_its_versions_and_its_monitor(domain: Rest) -> None:
    vote(domain)
    vote(domain, Codec.MULAW)
    domain.store.write(lambda unit: learn(unit, voices=10))
    domain.clock.now += timedelta(seconds=1)
    domain.store.write(lambda unit: learn(unit, voices=20))
    watched(domain, LineHealth.WELL, mean=0.02)
    mulaw, pcm = shown(domain)["lines"]
    assert (mulaw["codec"], mulaw["state"], mulaw["version"], mulaw["voices"]) == ("mulaw", "unknown", 0, 0)
    assert (mulaw["waitingVoices"], mulaw["health"], mulaw["searches"]) == (1, "too few searches", 0)
    assert (pcm["state"], pcm["version"], pcm["voices"], pcm["waitingVoices"]) == ("learning", 2, 20, 1)
    assert (pcm["health"], pcm["searches"], pcm["voiceprintsMean"], pcm["callersMean"]) == ("well", 20, 0.02, None)
    assert pcm["advice"] is None
    assert [one["number"] for one in pcm["versions"]] == [2, 1]
    assert {one["why"] for one in pcm["versions"]} == {"learnt"}
    assert "mean" not in pcm["versions"][0]


def test_it_is_switched_off_and_on(domain: Rest) -> None:
    domain.store.write(learn)
    vote(domain)
    off = shown(domain, "PUT", learning="off")
    assert off["learning"] == "off"
    (line,) = off["lines"]
    assert (line["version"], line["waitingVoices"]) == (1, 0)
    assert shown(domain, "PUT", learning="on")["learning"] == "on"
    assert operations(domain) == ["SwitchLines on", "SwitchLines off"]
    require_error(domain.ask("PUT", LINES, params={"learning": "maybe"}), 400, "BadRequest")
    require_error(domain.ask("PUT", LINES), 400, "BadRequest")


def test_the_setting_counts_for_domains_that_were_not_told(build: Any) -> None:
    rest = build(line_learning=LineLearning.OFF)
    rest.store.write(add_domain)
    assert shown(rest)["learning"] == "off"
    assert shown(rest, "PUT", learning="on")["learning"] == "on"


def test_a_line_is_reset_and_reverted(domain: Rest) -> None:
    domain.store.write(learn)
    domain.store.write(lambda unit: learn(unit, Codec.GSM))
    vote(domain)
    gsm, pcm = shown(domain, "POST", f"{LINES}/reset", codec="pcm")["lines"]
    assert (gsm["version"], gsm["state"]) == (1, "learning")
    assert (pcm["version"], pcm["state"], pcm["voices"], pcm["waitingVoices"]) == (2, "unknown", 0, 0)
    assert [one["why"] for one in pcm["versions"]] == ["reset", "learnt"]
    assert pcm["versions"][0]["keyId"] == f"tok-admin {MINE.account_id}"
    gsm, pcm = shown(domain, "POST", f"{LINES}/revert", codec="pcm", version="1")["lines"]
    assert (pcm["version"], pcm["voices"], pcm["state"]) == (3, 10, "learning")
    assert pcm["versions"][0]["revertedTo"] == 1
    assert [one["state"] for one in shown(domain, "POST", f"{LINES}/reset")["lines"]] == ["unknown", "unknown"]
    assert operations(domain) == ["ResetLines", "RevertLine", "ResetLines"]
    gone = domain.ask("POST", f"{LINES}/revert", params={"codec": "pcm", "version": "9"})
    assert "version" in require_error(gone, 404, "NotFound")
    unheard = domain.ask("POST", f"{LINES}/reset", params={"codec": "mp3"})
    assert "earwitness line show" in require_error(unheard, 404, "NotFound")


def test_a_line_that_is_off_says_what_to_do(domain: Rest) -> None:
    watched(domain, LineHealth.OFF)
    assert "not learnt yet" in shown(domain)["lines"][0]["advice"]
    domain.store.write(lambda unit: learn(unit, voices=50))
    assert "`earwitness line reset --domain vpd-1`" in shown(domain)["lines"][0]["advice"]
    assert "`earwitness line on --domain vpd-1`" in shown(domain, "PUT", learning="off")["lines"][0]["advice"]


def test_former_voiceprints_are_counted_and_told(domain: Rest) -> None:
    from dataclasses import replace

    from rest_examples import VOICEPRINT

    former = replace(VOICEPRINT, encoder_id="campplus-0.2.2-r1/telephone/dfc758e8")
    domain.store.write(
        lambda unit: unit.profiles.add_voiceprint(
            MINE, "vp-1", voiceprint_id="former", voiceprint=former, expires_at=unit.now + timedelta(days=1)
        )
    )
    found = shown(domain)
    assert (found["voiceprints"], found["formerVoiceprints"]) == (2, 1)
    assert "1 of 2 voiceprints" in found["advice"]
