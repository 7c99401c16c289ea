"""Voiceprints of another encoder: found, changed where they are, and never brought back."""

import sqlite3
from pathlib import Path

import pytest
from search_examples import THREE_YEARS, vector, voiceprint
from sqlalchemy import make_url, select
from store_examples import MINE, OTHERS, START, add_domain, add_profile, guid

from earwitness.errors import NotFound
from earwitness.store.job_records import ItemInput
from earwitness.store.records import NewVoiceprint, VoiceProfile
from earwitness.store.reembedding import VoiceprintName
from earwitness.store.schema import profile_voiceprints
from earwitness.store.store import Store
from earwitness.tasks.expire import expire
from earwitness.voice.job import ItemState, JobKind, JobState

SPEECH = b"samples of somebody who speaks" * 9
CONSENT = "form 12"
FORMER, PRESENT = "two-d-1", "two-d-2"


def made(x: float = 1.0, y: float = 0.0) -> NewVoiceprint:
    return NewVoiceprint(encoder_id=PRESENT, vector=vector(x, y), net_speech_seconds=19.5, quality={}, audio=SPEECH)


def add(store: Store, domain_id: str, *, audio: bytes | None = SPEECH) -> tuple[VoiceProfile, VoiceprintName]:
    """A profile of the domain with a voiceprint of the former encoder."""
    profile = store.write(lambda unit: add_profile(unit, domain_id))
    return profile, add_to(store, profile, voiceprint(audio=audio))


def add_to(store: Store, profile: VoiceProfile, voiceprint: NewVoiceprint) -> VoiceprintName:
    voiceprint_id = guid()
    store.write(
        lambda unit: unit.profiles.add_voiceprint(
            MINE, profile.profile_id, voiceprint_id=voiceprint_id, voiceprint=voiceprint,
            expires_at=START + THREE_YEARS, consent_reference=CONSENT,
        )
    )  # fmt: skip
    return VoiceprintName(profile_id=profile.profile_id, voiceprint_id=voiceprint_id)


def replace(store: Store, domain_id: str, name: VoiceprintName) -> bool:
    return store.write(
        lambda unit: unit.reembedding.replace(MINE, domain_id, name, former_encoder_id=FORMER, made=made())
    )


def of_others(store: Store, domain_id: str, *, limit: int = 9) -> tuple[VoiceprintName, ...]:
    return store.reembedding.of_other_encoders(MINE, domain_id, encoder_id=PRESENT, limit=limit)


def test_a_voiceprint_is_changed_where_it_is(store: Store) -> None:
    domain_id = store.write(add_domain).domain_id
    profile, name = add(store, domain_id)
    other = add_to(store, profile, voiceprint(0.0, 1.0, audio=b"other speech"))
    before = {one.voiceprint_id: one for one in store.profile_voiceprints.list(MINE, profile.profile_id)}
    domain = store.domains.get(MINE, domain_id)
    assert domain is not None
    kept = store.reembedding.speech(MINE, domain_id, name)
    assert kept is not None
    assert (kept.encoder_id, kept.audio, kept.quality) == (FORMER, SPEECH, {"snrDb": 21.5})
    assert replace(store, domain_id, name) is True
    after = {one.voiceprint_id: one for one in store.profile_voiceprints.list(MINE, profile.profile_id)}
    changed = after[name.voiceprint_id]
    assert (changed.encoder_id, changed.net_speech_seconds, changed.has_audio) == (PRESENT, 19.5, True)
    was = before[name.voiceprint_id]
    assert (changed.consent_reference, changed.created_at, changed.expires_at) == (
        CONSENT,
        was.created_at,
        was.expires_at,
    )
    assert after[other.voiceprint_id].encoder_id == FORMER
    for one, speech in ((name, SPEECH), (other, b"other speech")):
        assert store.profile_voiceprints.audio(MINE, one.profile_id, one.voiceprint_id) == speech
    changes = store.profile_voiceprints.gallery_changes(MINE, domain_id, since=domain.version, limit=9)
    assert changes is not None
    assert changes.profile_ids == {profile.profile_id}
    found = {(one.voiceprint_id, one.encoder_id, one.vector) for one in changes.entries}
    assert found == {
        (name.voiceprint_id, PRESENT, vector(1.0, 0.0)),
        (other.voiceprint_id, FORMER, vector(0.0, 1.0)),
    }
    assert of_others(store, domain_id) == (other,)
    assert replace(store, domain_id, name) is False  # it is not the former encoder's any more


def test_those_with_speech_come_first(store: Store) -> None:
    domain_id, elsewhere = (store.write(add_domain).domain_id for _ in range(2))
    without = [add(store, domain_id, audio=None)[1] for _ in range(2)]
    having = [add(store, domain_id)[1] for _ in range(2)]
    add(store, elsewhere)
    found = of_others(store, domain_id)
    assert set(found[:2]) == set(having)
    assert set(found[2:]) == set(without)
    assert of_others(store, domain_id, limit=1) == found[:1]
    for scope in OTHERS:
        assert store.reembedding.of_other_encoders(scope, domain_id, encoder_id=PRESENT, limit=9) == ()
        assert store.reembedding.speech(scope, domain_id, having[0]) is None
    assert store.reembedding.speech(MINE, elsewhere, having[0]) is None
    without_speech = store.reembedding.speech(MINE, domain_id, without[0])
    assert without_speech is not None
    assert without_speech.audio is None


@pytest.mark.parametrize("how", ["the profile", "the voiceprint", "expiry", "the domain"])
def test_what_was_deleted_does_not_come_back(store: Store, how: str) -> None:
    domain_id = store.write(add_domain).domain_id
    profile, name = add(store, domain_id)
    if how == "expiry":
        expire(store, now=START + THREE_YEARS)
    elif how == "the domain":
        store.write(lambda unit: unit.domains.delete(MINE, domain_id))
    elif how == "the profile":
        store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    else:
        store.write(lambda unit: unit.profile_voiceprints.delete(MINE, profile.profile_id, name.voiceprint_id))
    assert store.reembedding.speech(MINE, domain_id, name) is None
    if how == "the domain":
        with pytest.raises(NotFound):
            replace(store, domain_id, name)
    else:
        assert replace(store, domain_id, name) is False
    with store._database.engine.connect() as connection:
        assert connection.execute(select(profile_voiceprints.c.voiceprint_id)).all() == []


def test_the_former_vector_and_deleted_speech_leave_the_files(store: Store, kind: str, url: str) -> None:
    if kind != "sqlite":
        pytest.skip("PostgreSQL looks after its own files")
    domain_id = store.write(add_domain).domain_id
    profile, name = add(store, domain_id)
    path = Path(str(make_url(url).database))

    def sealed() -> tuple[bytes, bytes]:
        with sqlite3.connect(path) as connection:
            return connection.execute("SELECT vector_ciphertext, audio_ciphertext FROM profile_voiceprints").fetchone()

    def lies_there(ciphertext: bytes) -> bool:
        return any(ciphertext[-64:] in file.read_bytes() for file in path.parent.glob(path.name + "*"))

    vector_before, audio = sealed()
    assert lies_there(vector_before)
    assert lies_there(audio)
    assert replace(store, domain_id, name)
    assert not lies_there(vector_before)
    vector_after, audio = sealed()
    assert lies_there(audio)
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    assert not lies_there(audio)
    assert not lies_there(vector_after)


def test_a_job_that_is_made_with_all_its_items(store: Store) -> None:
    domain_id = store.write(add_domain).domain_id
    asked = [ItemInput(name="", profile_id=f"vp-{n}", voiceprint_id=f"p-{n}") for n in range(3)]

    def begin(unit) -> str:
        job, _ = unit.jobs.create(
            MINE, job_id="job-1", kind=JobKind.REEMBED, domain_id=domain_id, domain_arn="arn:d", items=3, key_id="k",
            source={"encoderId": PRESENT},
        )  # fmt: skip
        unit.jobs.put_all(job, asked)
        return job.job_id

    store.write(begin)
    job = store.jobs.open_of(MINE, domain_id, JobKind.REEMBED)
    assert job is not None
    assert (job.job_id, job.source) == ("job-1", {"encoderId": PRESENT})
    assert store.jobs.open_of(MINE, domain_id, JobKind.SEARCH) is None
    assert store.jobs.missing(job, limit=9) == ()
    assert [one.input for one in store.jobs.items(job, limit=9).items] == asked
    for number in (1, 2, 3):
        claimed = store.write(lambda unit: unit.jobs.claim(holder=guid(), after=None))
        assert claimed is not None
        assert (claimed.number, claimed.input, claimed.source) == (number, asked[number - 1], job.source)
        store.write(lambda unit, claimed=claimed: unit.jobs.finish(claimed, {"encoderId": PRESENT}))
    ended = store.jobs.get(MINE, "job-1")
    assert ended is not None
    assert (ended.state, ended.done) == (JobState.DONE, 3)
    assert {one.state for one in store.jobs.items(ended, limit=9).items} == {ItemState.DONE}
    assert store.jobs.open_of(MINE, domain_id, JobKind.REEMBED) is None
