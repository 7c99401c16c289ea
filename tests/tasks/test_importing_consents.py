"""Consents and labels that an import reads: what is hostile in them, and what an import that is undone leaves."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_importing import MINE, NOW, Part, bring, records_in, require_nothing_left, usual, write
from typer.testing import CliRunner

from earwitness.cli.main import app
from earwitness.errors import ArchiveInvalid
from earwitness.store.consents import CONSENTS_MAX
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.tasks import importing
from earwitness.voice.consent import ConsentTerms
from earwitness.voice.job import PartKind


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(records_in(tmp_path)) as opened:
        yield opened


YESTERDAY = NOW - timedelta(days=1)


def consent_line(number: int, **other: Any) -> dict[str, Any]:
    return {
        "consentId": f"consent-{number}",
        "subject": f"customer {number}",
        "textVersion": "2026-01",
        "givenAt": f"{YESTERDAY:%FT%TZ}",
        "medium": "phone",
        "evidence": f"call {number}",
        "purpose": "to know callers",
        "withdrawnAt": None,
        **other,
    }


def label_line(number: int, **label: Any) -> dict[str, Any]:
    said = {"spoke": "profile", "profileId": f"vp-{number}", "picked": "queue", "updatedAt": "2026-01-01T00:00:00Z"}
    call = {"probability": 0.9, "threshold": 0.6, "lineMargin": 0.0, "strangersNamedPercent": 1.0, "gallerySize": 3}
    found = {"outcome": "match", "candidates": [{"profileId": f"vp-{number}", "score": 0.7}], "calibrationId": None}
    return {"taskId": f"task-{number}", **found, **call, "netSpeechSeconds": 10.0, "label": said | label}


def complete() -> list[Part]:
    """Three profiles of three subjects, with a consent and a label of each."""
    parts = usual()
    parts[0][1][0].update(matches=7, noMatches=9)
    for number, profile in enumerate(parts[1][1], 1):
        profile["subject"] = f"customer {number}"
    parts.append((PartKind.CONSENTS, [consent_line(number) for number in (1, 2, 3)], []))
    parts.append((PartKind.LABELS, [label_line(number) for number in (1, 2, 3)], []))
    return parts


def terms(number: int) -> ConsentTerms:
    return ConsentTerms(
        subject=f"customer {number}",
        text_version="2026-01",
        given_at=YESTERDAY,
        medium="phone",
        evidence=f"call {number}",
        purpose="to know callers",
    )


def consents(store: Store, number: int, scope: Scope = MINE) -> list[ConsentTerms]:
    return [one.terms for one in store.consents.of_subject(scope, store.subject_digest(scope, f"customer {number}"))]


def test_all_of_it_is_taken_but_for_labels(store: Store, tmp_path: Path) -> None:
    done = bring(store, write(tmp_path / "e.tar", complete()))
    assert (done.profiles, done.consents, done.labels, done.withdrawn_profiles) == (3, 3, 3, 0)
    assert [consents(store, number) for number in (1, 2, 3)] == [[terms(number)] for number in (1, 2, 3)]
    held = store.subjects.held(MINE, store.subject_digest(MINE, "customer 2"))
    assert [one.profile.profile_id for one in held.profiles] == ["vp-2"]
    assert store.labels.list(MINE, done.domain.domain_id, limit=9).items == ()


def change(index: int, line: int = 0, **other: Any) -> Callable[[list[Part]], None]:
    return lambda parts: parts[index][1][line].update(other)


def changed_label(**other: Any) -> Callable[[list[Part]], None]:
    return lambda parts: parts[4][1][0]["label"].update(other)


def doubled(index: int) -> Callable[[list[Part]], None]:
    return lambda parts: parts[index][1].append(parts[index][1][0])


@pytest.mark.parametrize(
    "spoil",
    [
        doubled(3),
        doubled(4),
        lambda parts: parts.append(parts[3]),  # the same consents in another part
        lambda parts: parts[3][1].extend(
            consent_line(number, subject="customer 1") for number in range(10, 10 + CONSENTS_MAX)
        ),
        change(3, consentId="../../etc/passwd"),
        change(3, consentId="c" * 129),
        change(3, consentId=""),
        change(3, consentId=None),
        change(3, subject=""),
        change(3, subject="s" * 257),
        change(3, subject="a\u202eb"),
        change(3, subject=None),
        change(3, subject={"$ne": 1}),
        change(3, textVersion="v" * 65),
        change(3, medium=""),
        change(3, evidence="e" * 257),
        change(3, evidence="e" * (2**20 + 1)),
        change(3, purpose=None),
        change(3, purpose="a\nb"),
        change(3, givenAt="yesterday"),
        change(3, givenAt="2026-01-01T00:00:00"),
        change(3, givenAt=None),
        change(3, givenAt=f"{NOW + timedelta(days=1):%FT%TZ}"),
        change(3, withdrawnAt="2026-01-01T00:00:00"),
        change(3, audio="audio/1.wav"),
        change(1, subject="s" * 257),
        change(1, subject=""),
        change(1, subjectDigest="00"),
        change(1, subjectDigest="Z" * 64),
        change(1, subjectDigest=7),
        change(0, records=7),
        change(0, matches=-1),
        change(0, noMatches="many"),
        change(4, taskId="a/b"),
        change(4, label=None),
        change(4, outcome="perhaps"),
        changed_label(profileId=None),
        changed_label(spoke="nobody"),
        changed_label(spoke="everybody"),
        changed_label(profileId="../vp-1"),
        changed_label(picked="by a coin"),
    ],
)
def test_a_hostile_consent_or_label_is_refused_with_all_the_rest(
    store: Store, tmp_path: Path, spoil: Callable[[list[Part]], None]
) -> None:
    parts = complete()
    spoil(parts)
    with pytest.raises(ArchiveInvalid):
        bring(store, write(tmp_path / "e.tar", parts))
    require_nothing_left(store)


def test_an_export_of_the_first_format_is_read(store: Store, tmp_path: Path) -> None:
    first = lambda manifest: msgspec.structs.replace(manifest, version=1)  # noqa: E731
    done = bring(store, write(tmp_path / "e.tar", usual(), change=first))
    assert (done.profiles, done.consents, done.labels) == (3, 0, 0)
    with pytest.raises(ArchiveInvalid, match="format 1 does not have"):
        bring(store, write(tmp_path / "f.tar", complete(), change=first), new_ids=True)
    assert store.domains.count(MINE) == 1


def test_who_withdrew_by_what_the_export_says_is_left_out(store: Store, tmp_path: Path) -> None:
    parts = complete()
    change(3, 0, withdrawnAt=f"{NOW - timedelta(hours=1):%FT%TZ}")(parts)
    change(3, 1, withdrawnAt=f"{NOW - timedelta(hours=1):%FT%TZ}")(parts)
    anew = consent_line(4, subject="customer 2", givenAt=f"{NOW - timedelta(minutes=1):%FT%TZ}")
    parts[3][1].append(anew)  # and this one consented anew
    done = bring(store, write(tmp_path / "e.tar", parts))
    assert (done.profiles, done.voiceprints, done.withdrawn_profiles) == (2, 2, 1)
    assert (done.consents, done.withdrawn_consents) == (2, 2)
    assert store.profiles.get(MINE, "vp-1") is None
    assert consents(store, 1) == []
    assert [one.evidence for one in consents(store, 2)] == ["call 4"]


def test_consents_that_say_the_same_are_recorded_once(store: Store, tmp_path: Path) -> None:
    parts = complete()
    parts[3][1].extend(consent_line(number, subject="customer 1", evidence="call 1") for number in range(9, 14))
    withdrawn = {"subject": "other", "evidence": "call", "withdrawnAt": f"{NOW - timedelta(hours=1):%FT%TZ}"}
    parts[3][1].extend(consent_line(number, **withdrawn) for number in (14, 15))
    done = bring(store, write(tmp_path / "e.tar", parts))
    assert consents(store, 1) == [terms(1)]
    assert (done.consents, done.withdrawn_consents) == (3, 1)


def test_what_an_import_leaves_is_told_from_consents_that_were_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a domain with two consents, one of which the export has as well; killed behind the consents, then again."""
    there = bring(store, write(tmp_path / "none.tar", [usual()[0]])).domain
    own = replace(terms(1), evidence="a letter")
    for one in (terms(1), own):
        store.write(lambda unit, one=one: unit.consents.record(MINE, there.domain_id, one))
    path = write(tmp_path / "e.tar", complete())
    monkeypatch.setattr(importing, "_AT_ONCE", 2)
    real, is_killed = store.write, [False]

    def killed(work: Any) -> Any:
        if is_killed[0]:
            raise KeyboardInterrupt
        done = real(work)
        is_killed[0] = len(consents(store, 3)) > 0
        return done

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            bring(store, path, domain_id=there.domain_id)
    assert [len(consents(store, number)) for number in (1, 2, 3)] == [2, 1, 1]
    assert bring(store, path, domain_id=there.domain_id).consents == 3
    assert [len(consents(store, number)) for number in (1, 2, 3)] == [2, 1, 1]


def test_an_import_that_breaks_off_takes_its_consents_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the domain has one of them under the very id that it has in the export."""
    there = bring(store, write(tmp_path / "none.tar", [usual()[0]])).domain
    store.write(lambda unit: unit.consents.record(MINE, there.domain_id, terms(1), consent_id="consent-1"))
    path = write(tmp_path / "e.tar", complete())

    def breaks_off(*_: object) -> None:
        if consents(store, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(importing, "_finish", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        bring(store, path, domain_id=there.domain_id)
    assert [len(consents(store, number)) for number in (1, 2, 3)] == [1, 0, 0]
    assert store.profiles.count(MINE, there.domain_id) == 0


def test_labels_of_an_export_are_written_and_reported(tmp_path: Path) -> None:
    parts = complete()
    parts[4][1][0]["label"]["profileId"] = "vp-99"
    path = write(tmp_path / "e.tar", parts, recipient=None)
    file = tmp_path / "labels.json"
    done = CliRunner().invoke(app, ["domains", "check", str(path), "--labels", str(file)])
    assert done.exit_code == 0, done.stderr
    assert "3 consents, 3 labels" in done.stdout
    assert "1 labels name a profile that is not in the export" in " ".join(done.stderr.split())
    assert file.stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(app, ["domains", "check", str(path), "--labels", str(path)])
    assert (again.exit_code, "is there already" in " ".join(again.stderr.split())) == (2, True), again.output
    report = CliRunner().invoke(app, ["labels", "report", str(file), "--json"])
    assert report.exit_code == 0, report.stderr
    told = json.loads(report.stdout)
    assert (told["matches"], told["noMatches"], told["namesRight"]["of"]) == (7, 9, 2)
