"""Exports: what is read for them, and their parts, which are kept a day and no longer."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from search_examples import THREE_YEARS, vector, voiceprint
from sqlalchemy import make_url, select, update
from store_examples import MINE, OTHERS, START, Clock, add_domain, add_profile, guid

from earwitness.errors import AttemptSuperseded, NotFound
from earwitness.store.exports import Span
from earwitness.store.job_records import ClaimedItem, ItemInput, Job
from earwitness.store.job_schema import job_parts
from earwitness.store.records import VoiceProfile
from earwitness.store.schema import profile_voiceprints
from earwitness.store.store import Store
from earwitness.tasks.expire import expire
from earwitness.voice.job import JobKind, JobState, PartKind

PART = b"what is in a part of an export" * 50_000
"""Two pieces."""


def add_voice(store: Store, domain_id: str) -> VoiceProfile:
    profile = store.write(lambda unit: add_profile(unit, domain_id))
    store.write(
        lambda unit: unit.profiles.add_voiceprint(
            MINE, profile.profile_id, voiceprint_id=guid(), voiceprint=voiceprint(audio=b"speech"),
            expires_at=START + THREE_YEARS, consent_reference="form 12",
        )
    )  # fmt: skip
    renewed = store.profiles.get(MINE, profile.profile_id)
    assert renewed is not None
    return renewed


def begin(store: Store, *, parts: int = 1, domain_id: str = "") -> Job:
    domain_id = domain_id or store.write(add_domain).domain_id

    def write(unit) -> Job:
        job, _ = unit.jobs.create(
            MINE, job_id=f"job-{guid()}", kind=JobKind.EXPORT, domain_id=domain_id, domain_arn="arn:d", items=parts,
            key_id="k", source={"recipient": None, "audio": False},
        )  # fmt: skip
        unit.jobs.put_all(job, [ItemInput(name="", part=PartKind.DOMAIN)] * parts)
        return job

    return store.write(write)


def claim(store: Store, *, lease_seconds: float = 60.0) -> ClaimedItem:
    found = store.write(lambda unit: unit.jobs.claim(holder=guid(), after=None, lease_seconds=lease_seconds))
    assert found is not None
    return found


def put(store: Store, claimed: ClaimedItem, content: bytes = PART) -> None:
    def write(unit) -> None:
        unit.exports.put_part(claimed, content)
        unit.jobs.finish(claimed, {"bytes": len(content)})

    store.write(write)


def pieces(store: Store) -> int:
    with store._database.engine.connect() as connection:
        return len(connection.execute(select(job_parts.c.piece)).all())


def test_spans_hold_what_is_there_when_they_are_read(store: Store) -> None:
    domain_id = store.write(add_domain).domain_id
    voices = sorted((add_voice(store, domain_id) for _ in range(4)), key=lambda one: one.profile_id)
    add_voice(store, store.write(add_domain).domain_id)
    keys = store.exports.profile_keys(MINE, domain_id)
    assert keys == tuple((one.profile_id,) for one in voices)
    store.write(lambda unit: unit.tags.set(MINE, voices[1].arn, {"team": "north"}, limit=9))
    span = Span(first=keys[1], last=keys[2])
    found = store.exports.profiles(MINE, domain_id, span)
    assert [(one.profile, one.tags) for one in found] == [(voices[1], {"team": "north"}), (voices[2], {})]
    prints = store.exports.voiceprint_keys(MINE, domain_id)
    assert [key[0] for key in prints] == [one.profile_id for one in voices]
    span = Span(first=prints[1], last=prints[3])
    (first, *_) = read = store.exports.voiceprints(MINE, domain_id, span, audio=True)
    assert [(one.profile_id, one.voiceprint_id) for one in read] == list(prints[1:])
    assert (first.vector, first.consent_reference, first.audio, first.encoder_id) == (
        vector(),
        "form 12",
        b"speech",
        "two-d-1",
    )
    assert all(one.audio is None for one in store.exports.voiceprints(MINE, domain_id, span, audio=False))
    assert store.write(lambda unit: unit.profiles.delete(MINE, voices[2].profile_id))
    assert len(store.exports.voiceprints(MINE, domain_id, span, audio=False)) == 2
    assert store.exports.voiceprint_keys(MINE, domain_id, span) == (prints[1], prints[3])
    for scope in OTHERS:
        assert store.exports.profile_keys(scope, domain_id) == store.exports.voiceprint_keys(scope, domain_id) == ()


def test_a_damaged_voiceprint_does_not_hide_the_others(store: Store) -> None:
    domain_id = store.write(add_domain).domain_id
    damaged, _ = (add_voice(store, domain_id) for _ in range(2))
    with store._database.engine.begin() as connection:
        chosen = update(profile_voiceprints).where(profile_voiceprints.c.profile_id == damaged.profile_id)
        connection.execute(chosen.values(vector_ciphertext=b"damaged"))
    keys = store.exports.voiceprint_keys(MINE, domain_id)
    found = store.exports.voiceprints(MINE, domain_id, Span(first=keys[0], last=keys[-1]), audio=True)
    assert {one.profile_id: one.vector is None for one in found}[damaged.profile_id] is True
    assert sum(one.vector is None for one in found) == 1


def test_a_part_is_kept_until_it_is_deleted(store: Store) -> None:
    job = begin(store, parts=2)
    assert store.exports.kept_of(MINE, job.domain_id) is None
    put(store, claim(store))
    assert store.exports.kept_of(MINE, job.domain_id) is None  # it is not complete
    put(store, claim(store), b"small")
    assert store.exports.kept_of(MINE, job.domain_id) == job.job_id
    assert (store.exports.part(job, 1), store.exports.part(job, 2)) == (PART, b"small")
    assert store.exports.part(job, 3) is None
    assert pieces(store) == 3
    for scope in OTHERS:
        assert store.exports.kept_of(scope, job.domain_id) is None
    while store.write(lambda unit: unit.exports.delete_parts(MINE, job.job_id)):
        pass
    assert (pieces(store), store.exports.has_parts(job), store.exports.part(job, 1)) == (0, False, None)
    assert store.exports.kept_of(MINE, job.domain_id) is None


def test_whoever_lost_a_part_writes_nothing(store: Store) -> None:
    job = begin(store)
    slow = claim(store, lease_seconds=-1.0)
    fast = claim(store)
    with pytest.raises(AttemptSuperseded):
        put(store, slow, b"of the slow one")
    assert pieces(store) == 0
    put(store, fast, b"of the fast one")
    assert store.exports.part(job, 1) == b"of the fast one"


@pytest.mark.parametrize("how", ["a day", "cancelled", "the domain"])
def test_parts_go_by_themselves(store: Store, clock: Clock, how: str) -> None:
    job = begin(store, parts=2 if how == "cancelled" else 1)
    put(store, claim(store))
    assert expire(store, now=clock.now)["pieces of exports"] == 0
    if how == "a day":
        clock.advance(timedelta(days=1))
    elif how == "cancelled":
        store.write(lambda unit: unit.jobs.cancel(MINE, job.job_id))
    else:
        store.write(lambda unit: unit.domains.delete(MINE, job.domain_id))
        with pytest.raises(NotFound):
            store.exports.part(job, 1)
    assert expire(store, now=clock.now)["pieces of exports"] == 2
    assert pieces(store) == 0
    ended = store.jobs.get(MINE, job.job_id)
    assert ended is not None
    assert ended.state is not JobState.OPEN


def test_parts_are_sealed_and_leave_the_files(store: Store, kind: str, url: str) -> None:
    if kind != "sqlite":
        pytest.skip("PostgreSQL looks after its own files")
    job = begin(store)
    put(store, claim(store))
    path = Path(str(make_url(url).database))

    def lies_there(content: bytes) -> bool:
        return any(content in file.read_bytes() for file in path.parent.glob(path.name + "*"))

    with sqlite3.connect(path) as connection:
        (sealed,) = connection.execute("SELECT piece_ciphertext FROM job_parts ORDER BY piece").fetchone()
    assert lies_there(sealed[:100])
    assert not lies_there(PART[:100])
    store.write(lambda unit: unit.exports.delete_parts(MINE, job.job_id))
    assert not lies_there(sealed[:100])
