"""Calibrations of domains over HTTP and real records: compared, installed, in use at once, and taken back."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from calibration_examples import SHIPPED, document, long, moved
from rest_examples import (
    DECISION,
    MINE,
    START,
    THEIRS,
    Rest,
    add_domain,
    add_pipeline,
    add_task,
    conclude,
    enrol,
    label,
    require_error,
    require_fits,
)

from earwitness.engine.calibration import calibration_bytes, shipped_calibration
from earwitness.errors import Conflict
from earwitness.models.catalogue import ENCODER_MODEL
from earwitness.samples import first_call
from earwitness.store.calibrations import DOCUMENT_BYTES_MAX, VERSIONS_MAX
from earwitness.store.store import Unit
from earwitness.voice.band import Band
from earwitness.voice.decision import Outcome
from earwitness.voice.label import Spoke

PATH = "domains/vpd-1/calibrations"
HIGHER, HIGHEST = moved(0.05), moved(0.1, made_from="more of our calls")


@pytest.fixture
def domain(rest: Rest) -> Rest:
    def work(unit: Unit) -> None:
        add_domain(unit)
        enrol(unit)  # by another encoder: it is never compared, and counts for nothing

    rest.store.write(work)
    return rest


def shown(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    require_fits(response.json(), "DomainCalibrations")
    return response.json()


def listed(rest: Rest, role: str = "admin") -> dict[str, Any]:
    return shown(rest.ask("GET", PATH, role=role))


def install(rest: Rest, content: bytes, **params: Any) -> httpx.Response:
    return rest.ask("POST", PATH, content=content, params=params)


def use(rest: Rest, calibration_id: str, **params: Any) -> httpx.Response:
    return rest.ask("POST", f"{PATH}/use", params={"calibrationId": calibration_id, **params})


def scores(calibration: dict[str, Any]) -> list[float]:
    return [one["score"] for one in calibration["thresholds"]]


def searched(rest: Rest) -> dict[str, Any]:
    response = rest.ask("POST", "domains/vpd-1/search", content=first_call("sally").read_bytes())
    assert response.status_code == 200, response.text
    return response.json()


def operations(rest: Rest) -> list[str]:
    return [entry.operation for entry in rest.store.audit.list(MINE, limit=10).items]


def test_a_domain_begins_with_the_service_s_own(domain: Rest) -> None:
    found = listed(domain, role="reader")
    assert (found["version"], found["fromService"], found["versions"], found["advice"]) == (0, True, [], None)
    assert found["inUse"] == found["service"]
    assert found["service"]["calibrationId"] == SHIPPED.id
    assert (found["voiceprints"], found["strangersNamedPercent"]) == (0, domain.engine.strangers_named_percent)
    thresholds = found["service"]["thresholds"]
    assert [one["netSeconds"] for one in thresholds] == [fit.net_seconds for fit in SHIPPED.fits]
    assert thresholds[0]["lineMargin"] == SHIPPED.unknown_line_margin
    assert operations(domain) == []


def test_what_it_would_change_is_told_and_nothing_is_installed(domain: Rest) -> None:
    response = domain.ask("POST", f"{PATH}/compare", content=document(HIGHER))
    found = response.json()
    require_fits(found, "CalibrationComparison")
    assert (found["before"]["calibrationId"], found["after"]["calibrationId"]) == (SHIPPED.id, HIGHER.id)
    assert (found["fromService"], found["version"]) == (True, 0)
    assert scores(found["after"]) == pytest.approx([score + 0.05 for score in scores(found["before"])])
    assert listed(domain)["version"] == 0
    assert operations(domain) == []


def test_what_labels_say_of_it_is_told_too(domain: Rest) -> None:
    def decided(unit: Unit, name: str, above: float, spoke: Spoke) -> None:
        at = SHIPPED.threshold(gallery_size=2, strangers_named_percent=1.0, net_seconds=10.0)
        first = replace(DECISION.candidates[0], score=at.score + above)
        outcome = Outcome.MATCH if above >= 0 else Outcome.NO_MATCH
        decision = replace(DECISION, outcome=outcome, candidates=(first,), threshold=at)
        conclude(unit, add_task(unit, task_id=name), decision)
        label(unit, task_id=name, spoke=spoke, profile_id="vp-1" if spoke is Spoke.PROFILE else None)

    def work(unit: Unit) -> None:
        add_pipeline(unit)
        decided(unit, "task-lost", 0.02, Spoke.PROFILE)
        decided(unit, "task-kept", 0.3, Spoke.PROFILE)
        decided(unit, "task-stranger", 0.02, Spoke.NOBODY)

    assert domain.ask("POST", f"{PATH}/compare", content=document(HIGHER)).json()["labels"] is None
    domain.store.write(work)
    found = domain.ask("POST", f"{PATH}/compare", content=document(HIGHER)).json()
    require_fits(found, "CalibrationComparison")
    labels = found["labels"]
    assert (labels["matches"]["calls"], labels["noMatches"]["calls"], labels["unsure"]) == (3, 0, 0)
    assert (labels["matches"]["before"]["count"], labels["matches"]["after"]["count"]) == (2, 2)
    assert (labels["matches"]["putRight"], labels["matches"]["putWrong"]) == (1, 1)
    assert labels["matches"]["before"]["interval"] == pytest.approx([9.43, 99.16], abs=0.01)
    assert "only calls that named somebody are labelled" in labels["cautions"][0]
    assert operations(domain) == ["CompareCalibration"]
    assert listed(domain)["version"] == 0
    domain.store.write(lambda unit: decided(unit, "task-none", -0.1, Spoke.NOBODY))
    labels = domain.ask("POST", f"{PATH}/compare", content=document(HIGHER)).json()["labels"]
    assert labels["noMatches"]["before"] == labels["noMatches"]["after"]
    assert labels["noMatches"]["after"]["count"] == 1
    assert "drawn at random" in labels["cautions"][0]


def test_it_is_installed_and_taken_back(domain: Rest) -> None:
    first = shown(install(domain, document(HIGHER)))
    assert first == listed(domain)
    assert (first["version"], first["fromService"]) == (1, False)
    assert first["inUse"]["calibrationId"] == HIGHER.id
    (version,) = first["versions"]
    assert version["calibration"] == first["inUse"]
    assert (version["number"], version["keyId"]) == (1, f"tok-admin {MINE.account_id}")
    assert version["createdAt"] == f"{START:%FT%T.%fZ}"
    assert shown(install(domain, document(HIGHEST)))["inUse"]["madeFrom"] == "more of our calls"
    again = shown(use(domain, HIGHER.id))
    assert (again["version"], again["inUse"]) == (3, first["inUse"])
    own = shown(use(domain, "service"))
    assert (own["version"], own["fromService"], own["inUse"]) == (4, True, own["service"])
    assert [one["calibration"] and one["calibration"]["calibrationId"] for one in own["versions"]] == [
        None,
        HIGHER.id,
        HIGHEST.id,
        HIGHER.id,
    ]
    assert operations(domain) == [
        "UseCalibration service",
        f"UseCalibration {HIGHER.id}",
        f"InstallCalibration {HIGHEST.id}",
        f"InstallCalibration {HIGHER.id}",
    ]


def test_searches_rest_on_it_at_once(domain: Rest) -> None:
    """With the real model: the score stays, the threshold moves, and the answer names what it rests on."""
    enrolled = domain.ask(
        "POST", "domains/vpd-1/profiles", params={"consent": "1"}, content=first_call("sally").read_bytes()
    )
    assert enrolled.status_code == 200, enrolled.text
    before = searched(domain)
    assert (before["outcome"], before["calibration"]) == ("match", SHIPPED.id)
    expected = listed(domain)["service"]
    assert before["threshold"]["score"] == pytest.approx(expected["thresholds"][-1]["score"])
    shown(install(domain, document(HIGHER)))
    after = searched(domain)
    assert after["calibration"] == HIGHER.id
    assert after["threshold"]["score"] == pytest.approx(before["threshold"]["score"] + 0.05, abs=1e-6)
    assert after["threshold"]["score"] == pytest.approx(scores(listed(domain)["inUse"])[-1])
    assert after["candidates"][0]["score"] == before["candidates"][0]["score"]
    shown(install(domain, document(moved(2.0))))
    assert searched(domain)["threshold"]["score"] == 1.0
    shown(use(domain, "service"))
    former = searched(domain)
    assert (former["calibration"], former["threshold"]["score"]) == (SHIPPED.id, before["threshold"]["score"])
    assert listed(domain)["service"] == expected


def test_other_domains_keep_theirs(domain: Rest) -> None:
    domain.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    shown(install(domain, document(HIGHER)))
    other = shown(domain.ask("GET", "domains/vpd-2/calibrations"))
    assert (other["version"], other["inUse"]["calibrationId"]) == (0, SHIPPED.id)
    require_error(
        domain.ask("POST", "domains/vpd-2/calibrations/use", params={"calibrationId": HIGHER.id}), 404, "NotFound"
    )
    domain.store.write(lambda unit: add_domain(unit, THEIRS, domain_id="vpd-1"))
    theirs = domain.ask("GET", PATH, scope=THEIRS).json()
    assert (theirs["version"], theirs["versions"]) == (0, [])
    require_error(domain.ask("POST", f"{PATH}/use", scope=THEIRS, params={"calibrationId": HIGHER.id}), 404, "NotFound")


def test_an_id_that_the_domain_never_had(domain: Rest) -> None:
    assert "calibration list" in require_error(use(domain, "deadbeef"), 404, "NotFound")
    require_error(domain.ask("GET", "domains/vpd-9/calibrations"), 404, "NotFound")
    require_error(domain.ask("POST", "domains/vpd-9/calibrations", content=document(HIGHER)), 404, "NotFound")
    assert operations(domain) == []


def kept(rest: Rest, calibration_id: str, role: str = "admin") -> httpx.Response:
    return rest.ask("GET", f"{PATH}/{calibration_id}", role=role)


@pytest.mark.parametrize("role", ["admin", "operator", "reader"])
def test_each_that_is_kept_is_answered_as_it_can_be_installed(domain: Rest, role: str) -> None:
    for calibration in (HIGHER, HIGHEST):
        shown(install(domain, document(calibration)))
    shown(use(domain, "service"))
    for calibration_id, calibration in ((HIGHER.id, HIGHER), (HIGHEST.id, HIGHEST), ("service", SHIPPED)):
        answer = kept(domain, calibration_id, role)
        assert answer.status_code == 200, answer.text
        require_fits(answer.json(), "CalibrationDocument")
        assert answer.json() == json.loads(document(calibration))
    domain.store.write(lambda unit: add_domain(unit, domain_id="vpd-2"))
    elsewhere = domain.ask("POST", "domains/vpd-2/calibrations", content=kept(domain, HIGHER.id).content)
    assert shown(elsewhere)["inUse"]["calibrationId"] == HIGHER.id


def test_the_longest_goes_round(domain: Rest) -> None:
    longest = long(DOCUMENT_BYTES_MAX // (19 * len(SHIPPED.fits)) - 10)
    shown(install(domain, calibration_bytes(longest)))
    shown(use(domain, "service"))
    answered = kept(domain, longest.id)
    assert DOCUMENT_BYTES_MAX > len(answered.content) > 0.9 * DOCUMENT_BYTES_MAX
    assert shown(install(domain, answered.content))["inUse"]["calibrationId"] == longest.id


def test_one_that_would_be_longer_when_it_is_kept(domain: Rest) -> None:
    """Numbers are written as decimals: 1 as 1.0, so a document may fit the body and not the records."""
    fit = f'{{"net_seconds":%d,"slope":1,"offset":0,"false_match":[[-1,{0.5}],[1,{0.4}]]}}'
    rows = ",".join(fit % (seconds + 1) for seconds in range(870))
    sent = document(SHIPPED, fits=[]).replace(b'"fits": []', b'"fits":[' + rows.encode() + b"]")
    assert len(sent) < DOCUMENT_BYTES_MAX
    for path in (PATH, f"{PATH}/compare"):
        require_error(domain.ask("POST", path, content=sent), 413, "BodyTooLarge")
    assert listed(domain)["version"] == 0


def test_none_of_other_accounts_and_none_that_is_not_kept(domain: Rest) -> None:
    shown(install(domain, document(HIGHER)))
    require_error(kept(domain, "deadbeef"), 404, "NotFound")
    require_error(domain.ask("GET", f"domains/vpd-9/calibrations/{HIGHER.id}"), 404, "NotFound")
    domain.store.write(lambda unit: add_domain(unit, THEIRS, domain_id="vpd-1"))
    require_error(domain.ask("GET", f"{PATH}/{HIGHER.id}", scope=THEIRS), 404, "NotFound")
    for role in ("producer", "auditor"):
        require_error(kept(domain, HIGHER.id, role), 403, "Forbidden")
    require_error(kept(domain, "%22%3E%3Cscript%3E"), 400, "BadRequest")


def test_so_many_versions_are_kept(domain: Rest) -> None:
    made = [moved(0.001 * number) for number in range(1, VERSIONS_MAX + 2)]
    for calibration in made:
        shown(install(domain, document(calibration)))
    found = listed(domain)
    assert len(found["versions"]) == VERSIONS_MAX
    assert found["inUse"]["calibrationId"] == made[-1].id
    assert "no longer" in require_error(use(domain, made[0].id), 404, "NotFound")


@pytest.mark.parametrize("role", ["operator", "reader", "producer", "auditor"])
def test_admins_alone_change_it(domain: Rest, role: str) -> None:
    for path in (PATH, f"{PATH}/compare"):
        require_error(domain.ask("POST", path, role=role, content=document(HIGHER)), 403, "Forbidden")
    use_path, service = f"{PATH}/use", {"calibrationId": "service"}
    require_error(domain.ask("POST", use_path, role=role, params=service), 403, "Forbidden")
    assert listed(domain)["version"] == 0


def fits(**changed: Any) -> list[dict[str, Any]]:
    return [{**fit, **changed} for fit in json.loads(document(SHIPPED))["fits"]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"RIFF....WAVE",
        b"[]",
        b"null",
        b"[" * 30_000,
        b'{"format": "earwitness calibration 2"}',
        document(SHIPPED, format="earwitness calibration 9"),
        document(SHIPPED, made_from="\ud800"),
        document(SHIPPED, made_from="x" * 5_000),
        document(SHIPPED, persons=-1),
        document(SHIPPED, trials=10**30),
        document(SHIPPED, person_pairs=float("nan")),
        document(SHIPPED, sexes={"f": 10**30}),
        document(SHIPPED, unknown_line_margin=float("nan")),
        document(SHIPPED, unknown_line_margin=1.5),
        document(SHIPPED, fits=[]),
        document(SHIPPED, fits=fits(slope=float("nan"))),
        document(SHIPPED, fits=fits(offset=float("-inf"))),
        document(SHIPPED, fits=fits(slope=1e300)),
        document(SHIPPED, fits=fits(net_seconds=float("nan"))[:1]),
        document(SHIPPED, fits=fits(net_seconds=float("inf"))[:1]),
        document(SHIPPED, fits=fits(net_seconds=-3.0)[:1]),
        document(SHIPPED, fits=fits(false_match=[[0.1, 0.5], [0.2, float("nan")]])),
        document(SHIPPED, fits=fits(false_match=[[0.1, 0.5], [float("nan"), 0.1]])),
        document(SHIPPED, fits=fits(false_match=[[0.1, 0.5]])),
        document(SHIPPED, fits=fits(false_match=[[0.1, 0.5], [0.1 + 1e-9, 0.4]])),
        document(SHIPPED, fits=fits(false_match=[[0.1, 0.5], [0.2, 0.5 - 1e-16]])),
        document(SHIPPED, fits=fits(false_match="<script>" * 2_000)),
    ],
)
def test_documents_that_are_none(domain: Rest, content: bytes) -> None:
    for path in (PATH, f"{PATH}/compare"):
        message = require_error(domain.ask("POST", path, content=content), 400, "BadRequest")
        assert len(message) <= 300
        assert message.isprintable()
    assert listed(domain)["version"] == 0
    assert operations(domain) == []


def test_a_document_that_is_huge(domain: Rest) -> None:
    huge = document(SHIPPED, made_from="x" * 70_000)
    require_error(install(domain, huge), 413, "BodyTooLarge")
    assert listed(domain)["version"] == 0


def test_a_calibration_of_another_encoder(domain: Rest) -> None:
    wideband = shipped_calibration(ENCODER_MODEL, Band.WIDEBAND)
    message = require_error(install(domain, document(wideband)), 422, "Unprocessable")
    assert wideband.encoder_id in message
    assert SHIPPED.encoder_id in message
    for encoder_id in ("another/telephone/00000000", "\ud800"):
        other = document(SHIPPED, encoder_id=encoder_id)
        require_error(domain.ask("POST", f"{PATH}/compare", content=other), 422, "Unprocessable")
    assert listed(domain)["version"] == 0


def test_after_a_change_of_the_encoder_the_service_s_own_counts(domain: Rest) -> None:
    """As after an upgrade: what was installed says nothing of the scores of another encoder."""
    former = document(SHIPPED, encoder_id="former/telephone/00000000")

    def installed_before_the_upgrade(unit: Unit) -> None:
        unit.calibrations.install(
            MINE,
            "vpd-1",
            calibration_id="aaaa0001",
            encoder_id="former/telephone/00000000",
            document=former,
            key_id="KEY",
        )

    domain.store.write(installed_before_the_upgrade)
    found = listed(domain)
    assert (found["version"], found["fromService"], found["inUse"]["calibrationId"]) == (1, True, SHIPPED.id)
    assert "calibration use service --domain vpd-1" in found["advice"]
    assert found["versions"][0]["ofOtherEncoder"] is True
    assert searched(domain)["calibration"] == SHIPPED.id
    assert listed(domain)["advice"] is not None
    assert shown(use(domain, "service"))["advice"] is None
    assert "another encoder" in require_error(use(domain, "aaaa0001"), 422, "Unprocessable")


def test_whoever_has_looked_at_another_version_is_told(domain: Rest) -> None:
    shown(install(domain, document(HIGHER), version=0))
    assert "meanwhile" in require_error(install(domain, document(HIGHEST), version=0), 409, Conflict.__name__)
    require_error(use(domain, "service", version=0), 409, Conflict.__name__)
    assert listed(domain)["version"] == 1
    assert operations(domain) == [f"InstallCalibration {HIGHER.id}"]


def test_of_two_admins_at_once_one_is_told(domain: Rest) -> None:
    together = threading.Barrier(2)

    def ask(content: bytes) -> int:
        together.wait()
        return install(domain, content, version=0).status_code

    with ThreadPoolExecutor(2) as threads:
        statuses = list(threads.map(ask, (document(HIGHER), document(HIGHEST))))
    assert sorted(statuses) == [200, 409]
    assert listed(domain)["version"] == 1
