"""The gallery doctor: twins, copies, voiceprints that are not their profile's, poor ones; nothing where all is well."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from calibration_examples import document, moved
from rest_examples import MINE, START, VOICEPRINT, Rest, add_domain, require_fits

from earwitness.store.records import NewVoiceprint
from earwitness.store.store import Unit
from earwitness.voice.embedding import Vector

GOOD = {"speech_level_dbfs": -24.0, "peak_dbfs": -3.0, "clipped_percent": 0.0, "snr_db": 20.0, "bandwidth_hz": 3_400.0}


def voice(number: int, *, like: Vector | None = None, noise: float = 0.0) -> Vector:
    """A direction of its own, nearly at a right angle to all others in 192 dimensions; or one near another."""
    chance = np.random.default_rng(number).normal(size=192)
    chance /= np.linalg.norm(chance)
    made = chance if like is None else like + noise * chance
    return (made / np.linalg.norm(made)).astype(np.float32)


def enrol(rest: Rest, profiles: dict[str, Sequence[Vector | NewVoiceprint]]) -> None:
    encoder_id = rest.engine.encoder.encoder_id

    def work(unit: Unit) -> None:
        add_domain(unit)
        for profile_id, prints in profiles.items():
            expires_at = START + timedelta(days=1_000)
            arn = f"arn:aws:chime:{MINE.region}:{MINE.account_id}:voice-profile/{profile_id}"
            unit.profiles.create(MINE, profile_id=profile_id, domain_id="vpd-1", arn=arn, expires_at=expires_at)
            for number, made in enumerate(prints):
                new = made if isinstance(made, NewVoiceprint) else voiceprint(encoder_id, made)
                unit.profiles.add_voiceprint(
                    MINE, profile_id, voiceprint_id=f"print-{number}", voiceprint=new, expires_at=expires_at
                )

    rest.store.write(work)


def voiceprint(encoder_id: str, vector: Vector, *, seconds: float = 20.0, **quality: float) -> NewVoiceprint:
    return NewVoiceprint(
        encoder_id=encoder_id, vector=vector.tobytes(), net_speech_seconds=seconds, quality={**GOOD, **quality}
    )


def findings(rest: Rest, **params: Any) -> list[tuple[str, str, str | None]]:
    found: list[tuple[str, str, str | None]] = []
    token: str | None = ""
    while token is not None:
        answer = rest.ask("GET", "domains/vpd-1/findings", params=params | ({"nextToken": token} if token else {}))
        assert answer.status_code == 200, answer.text
        require_fits(answer.json(), "Findings")
        found += [(one["kind"], one["profileId"], one["otherProfileId"]) for one in answer.json()["findings"]]
        token = answer.json()["nextToken"]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_each_fault_is_found_whatever_the_page(rest: Rest, limit: int) -> None:
    alice, carol, dave = voice(1), voice(3), voice(4)
    enrol(
        rest,
        {
            "vp-alice": [alice],
            "vp-alice-again": [voice(2, like=alice, noise=0.4)],
            "vp-carol": [carol],
            "vp-carol-copied": [carol],
            "vp-dave": [dave, voice(5)],
            "vp-erin": [voice(6)],
            "vp-frank": [dave * np.float32(-1.0), dave * np.float32(-1.0)],
        },
    )
    assert sorted(findings(rest, limit=limit)) == [
        ("copy", "vp-carol", "vp-carol-copied"),
        ("copy", "vp-carol-copied", "vp-carol"),
        ("copy", "vp-frank", "vp-frank"),
        ("twins", "vp-alice", "vp-alice-again"),
        ("twins", "vp-alice-again", "vp-alice"),
        ("unlike", "vp-dave", "vp-dave"),
        ("unlike", "vp-dave", "vp-dave"),
    ]


def test_poor_speech_is_found(rest: Rest) -> None:
    encoder_id = rest.engine.encoder.encoder_id
    enrol(
        rest,
        {
            "vp-short": [voiceprint(encoder_id, voice(1), seconds=4.0)],
            "vp-noisy": [voiceprint(encoder_id, voice(2), snr_db=1.0)],
            "vp-quiet": [voiceprint(encoder_id, voice(3), speech_level_dbfs=-60.0)],
            "vp-good": [voice(4)],
        },
    )
    assert sorted(findings(rest)) == [("poor", f"vp-{kind}", None) for kind in ("noisy", "quiet", "short")]


def test_voiceprints_of_another_encoder_are_counted_and_not_compared(rest: Rest) -> None:
    enrol(rest, {"vp-former": [VOICEPRINT], "vp-good": [voice(1)]})
    answer = rest.ask("GET", "domains/vpd-1/findings").json()
    assert (answer["findings"], answer["lookedAt"], answer["formerVoiceprints"]) == ([], 2, 1)


def test_it_is_for_operators_and_in_the_audit_trail(rest: Rest) -> None:
    enrol(rest, {"vp-good": [voice(1)]})
    assert rest.ask("GET", "domains/vpd-1/findings", role="reader").status_code == 403
    assert rest.ask("GET", "domains/vpd-1/findings", role="operator").status_code == 200
    newest = rest.store.audit.list(MINE, limit=1).items[0]
    assert (newest.operation, newest.outcome) == ("ListFindings", "done")


def test_findings_rest_on_the_calibration_of_the_domain(rest: Rest) -> None:
    first = voice(1)
    enrol(rest, {"anna": [first, voice(2, like=first, noise=0.5)]})
    assert findings(rest) == []
    response = rest.ask("POST", "domains/vpd-1/calibrations", content=document(moved(2.0)))
    assert response.status_code == 200, response.text
    assert findings(rest) == [("unlike", "anna", "anna")] * 2
