"""Imports while others work on the same records: voices that are enrolled, a second import, a service that writes."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_importing import MINE, NOW, bring, records_in, usual, write
from test_importing_consents import complete, terms

from earwitness.errors import AlreadyExists, Conflict, ConsentMissing, StoreBusy
from earwitness.store.records import VoiceProfileDomain
from earwitness.store.store import Store
from earwitness.tasks import import_leftovers, importing
from earwitness.tasks.judged_archive import IMPORTING
from earwitness.voice.consent import ConsentRequirement

ENROLLED = "vp-enrolled"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """In small batches."""
    monkeypatch.setattr(importing, "_AT_ONCE", 2)
    monkeypatch.setattr(import_leftovers, "PROFILES_AT_ONCE", 2)
    with closing(records_in(tmp_path)) as opened:
        yield opened


@pytest.fixture
def empty(store: Store, tmp_path: Path) -> VoiceProfileDomain:
    return bring(store, write(tmp_path / "none.tar", [usual()[0]])).domain


def enrol(store: Store, domain: VoiceProfileDomain) -> None:
    store.write(
        lambda unit: unit.profiles.create(
            MINE,
            profile_id=ENROLLED,
            domain_id=domain.domain_id,
            arn=f"{domain.arn}/{ENROLLED}",
            expires_at=NOW + timedelta(days=1),
        )
    )


def kill(store: Store, path: Path, *, after: int, **target: Any) -> None:
    """Have an import end in its middle, and undo nothing."""
    real, left = store.write, [after]

    def write_until(work: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(work)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "write", write_until)
        with pytest.raises(KeyboardInterrupt):
            bring(store, path, **target)


def ids(store: Store, domain: VoiceProfileDomain) -> set[str]:
    return {one.profile_id for one in store.profiles.list(MINE, domain.domain_id, limit=99).items}


def consented(store: Store) -> list[str]:
    """Where a subject of the export has consented."""
    return [one.domain_id for one in store.consents.of_subject(MINE, store.subject_digest(MINE, "customer 1"))]


@pytest.mark.parametrize("new_ids", [False, True])
def test_who_was_enrolled_into_what_was_killed_stays(
    store: Store, empty: VoiceProfileDomain, tmp_path: Path, new_ids: bool
) -> None:
    path, target = write(tmp_path / "e.tar", usual(9)), {"domain_id": empty.domain_id, "new_ids": new_ids}
    kill(store, path, after=5, **target)
    assert len(ids(store, empty)) > 4
    enrol(store, empty)
    with pytest.raises(Conflict, match="has profiles already"):
        bring(store, path, **target)
    assert ids(store, empty) == {ENROLLED}
    assert IMPORTING not in store.tags.list(MINE, empty.arn)


def test_a_new_domain_in_which_somebody_was_enrolled_stays(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "e.tar", complete())
    kill(store, path, after=6)
    (half,) = store.domains.list(MINE, limit=9).items
    assert consented(store) == [half.domain_id]
    enrol(store, half)
    done = bring(store, path)
    assert (ids(store, half), len(ids(store, done.domain))) == ({ENROLLED}, 3)
    assert consented(store) == [done.domain.domain_id]
    assert IMPORTING not in store.tags.list(MINE, half.arn)


@pytest.mark.parametrize("into", [False, True])
def test_of_two_imports_of_one_file_the_later_is_whole_and_the_other_told(
    store: Store, empty: VoiceProfileDomain, tmp_path: Path, into: bool
) -> None:
    path, later = write(tmp_path / "e.tar", complete()), []
    target: dict[str, Any] = {"domain_id": empty.domain_id} if into else {}

    def begin_the_later(doing: str, *_: int) -> None:
        if doing == "importing voiceprints" and not later:
            later.append(None)
            later[0] = bring(store, path, **target)

    with pytest.raises(Conflict, match="another import of this file began meanwhile"):
        bring(store, path, progress=begin_the_later, **target)
    (whole,) = later
    assert ids(store, whole.domain) == {"vp-1", "vp-2", "vp-3"}
    assert (whole.profiles, whole.consents, store.domains.count(MINE)) == (3, 3, 1 if into else 2)
    assert consented(store) == [whole.domain.domain_id]
    assert IMPORTING not in store.tags.list(MINE, whole.domain.arn)


def test_why_an_import_failed_is_told_where_undoing_it_fails_too(
    store: Store, empty: VoiceProfileDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = usual(5)
    bring(store, write(tmp_path / "one.tar", usual(1)))
    taken[1][1].reverse()  # the one that is there comes last
    taken[2][1].reverse()
    path = write(tmp_path / "e.tar", taken)
    real = store.write

    def busy_after_a_failure(work: Any) -> Any:
        try:
            return real(work)
        except AlreadyExists:
            monkeypatch.setattr(store, "write", lambda _: (_ for _ in ()).throw(StoreBusy("later")))
            raise

    monkeypatch.setattr(store, "write", busy_after_a_failure)
    with pytest.raises(AlreadyExists, match="--new-ids"):
        bring(store, path, domain_id=empty.domain_id)
    assert len(ids(store, empty)) == 4
    monkeypatch.setattr(store, "write", real)
    assert bring(store, path, domain_id=empty.domain_id, new_ids=True).profiles == 5
    assert len(ids(store, empty)) == 5


def test_others_have_their_turn_between_batches(store: Store, empty: VoiceProfileDomain, tmp_path: Path) -> None:
    path, turns = write(tmp_path / "e.tar", usual(9)), list[int]()
    bring(store, path, pause=lambda: turns.append(len(ids(store, empty))), domain_id=empty.domain_id)
    assert turns == [2, 4, 6, 8, 9, *[9] * 5]
    again = [*usual(9)[1][1], usual(1)[1][1][0] | {"profileId": "vp-0"}]
    turns.clear()
    parts = usual(9)
    parts[1] = (parts[1][0], again, [])
    other = bring(store, write(tmp_path / "none-2.tar", [usual()[0]]), name="other").domain
    with pytest.raises(AlreadyExists):
        bring(store, write(tmp_path / "taken.tar", parts), pause=lambda: turns.append(0), domain_id=other.domain_id)
    assert ids(store, other) == set()


def test_a_domain_that_requires_consent_takes_nobody_without_one(
    store: Store, empty: VoiceProfileDomain, tmp_path: Path
) -> None:
    store.write(lambda unit: unit.consents.require_by(MINE, empty.domain_id, ConsentRequirement.ENROLMENT))
    parts = complete()
    parts[1][1][2]["subject"] = "customer 9"
    path = write(tmp_path / "e.tar", parts)
    with pytest.raises(ConsentMissing, match="of a profile in the export there is none"):
        bring(store, path, domain_id=empty.domain_id)
    assert (ids(store, empty), consented(store)) == (set(), [])
    with pytest.raises(ConsentMissing):
        bring(store, write(tmp_path / "nobody.tar", usual()), domain_id=empty.domain_id)
    store.write(lambda unit: unit.consents.record(MINE, empty.domain_id, terms(9)))
    assert bring(store, path, domain_id=empty.domain_id).profiles == 3
