"""What the files of a SQLite database hold, read as bytes, and what of both databases can be read without the key."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from search_examples import add_task, adopted, end, enrol, vector, voiceprint
from sqlalchemy import make_url, select, update
from store_examples import MINE, add_domain, add_pipeline, add_profile, vault

from earwitness.errors import CiphertextRefused
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.repository import key_owner
from earwitness.store.schema import (
    domains,
    events,
    line_votes,
    metadata,
    profile_voiceprints,
    task_voiceprints,
    tasks,
)
from earwitness.store.store import Store, Unit
from earwitness.vault.data_key import SealedPlace
from earwitness.voice.line import Codec

SECRETS = {
    "secret": "AKSECRETvalue/0123456789abcdef",
    "metadata": "metadata-of-a-caller-+493012345",
    "token": "bearer-token-0123456789abcdef012",
    "request token": "client-token-0123456789",
    "request": "request-with-+493055555",
}
HEARD = {
    "vector": vector(0.28, 0.96),
    "mean": vector(0.14, 0.48),
    "audio": b"speech-of-a-caller" * 100,
    "checkpoint": b"91343852333181432392682062607743920146264022017",
    "result": b"vp-of-somebody-with-a-name",
    "body": b"event-about-+493066666",
    "consent": b"consent form of J. Doe",
}


def _write_secrets(store: Store) -> tuple[str, bytes]:
    def work(unit):
        unit.access_keys.create(
            key_id="AKIA", account_id=MINE.account_id, role="admin", name="n", secret=SECRETS["secret"]
        )
        unit.bearer_tokens.create(
            token=SECRETS["token"], token_id="t" * 3, account_id=MINE.account_id, role="admin", name="n"
        )
        unit.idempotency.claim(
            MINE, operation="o", token=SECRETS["request token"], request=SECRETS["request"].encode(), reference="r"
        )
        return add_domain(unit), add_pipeline(unit, metadata={"phone": SECRETS["metadata"]})

    domain, pipeline = store.write(work)
    return pipeline.pipeline_id, domain.wrapped_key


def _files(url: str) -> dict[str, bytes]:
    path = Path(str(make_url(url).database))
    return {file.name: file.read_bytes() for file in path.parent.glob(path.name + "*")}


@pytest.fixture
def sqlite_only(kind: str) -> None:
    if kind != "sqlite":
        pytest.skip("the files of a PostgreSQL server are its own")


@pytest.mark.usefixtures("sqlite_only")
def test_no_secret_is_in_the_files_before_or_after_its_deletion(store: Store, url: str) -> None:
    pipeline_id, _ = _write_secrets(store)
    files = _files(url)
    assert "records.db-wal" in files
    for content in files.values():
        assert not any(secret.encode() in content for secret in SECRETS.values())
    store.write(lambda unit: unit.pipelines.delete(MINE, pipeline_id))
    store.write(lambda unit: unit.access_keys.delete(MINE.account_id, "AKIA"))
    for content in _files(url).values():
        assert not any(secret.encode() in content for secret in SECRETS.values())
        assert pipeline_id.encode() not in content


def test_no_secret_is_in_any_column(store: Store) -> None:
    _write_secrets(store)
    with store._database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    for secret in SECRETS.values():
                        assert secret not in str(value)
                        assert not (isinstance(value, bytes) and secret.encode() in value)


@pytest.mark.usefixtures("sqlite_only")
def test_a_deleted_domains_key_is_in_no_file_any_more(store: Store, url: str) -> None:
    domain = store.write(add_domain)
    profile = store.write(lambda unit: add_profile(unit, domain.domain_id))
    assert any(domain.wrapped_key in content for content in _files(url).values())
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    for content in _files(url).values():
        assert domain.wrapped_key not in content
        assert domain.domain_id.encode() not in content
        assert profile.profile_id.encode() not in content


@pytest.mark.usefixtures("sqlite_only")
def test_a_reader_in_the_way_delays_the_cleaning_and_nothing_else(store: Store, url: str) -> None:
    import sqlite3

    domain = store.write(add_domain)
    reader = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM voice_profile_domains").fetchone()
    assert store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id)) is True
    assert any(domain.wrapped_key in content for content in _files(url).values())
    reader.execute("COMMIT")
    reader.close()
    store.write(add_domain)
    assert not any(domain.wrapped_key in content for content in _files(url).values())


@pytest.mark.usefixtures("sqlite_only")
def test_the_files_are_their_owners_alone(store: Store, url: str) -> None:
    store.write(add_domain)
    path = Path(str(make_url(url).database))
    for file in path.parent.glob(path.name + "*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.usefixtures("sqlite_only")
def test_a_file_with_wider_rights_is_narrowed(url: str) -> None:
    from store_examples import opened

    path = Path(str(make_url(url).database))
    os.chmod(path, 0o644)  # noqa: PTH101
    opened(url).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_sealed_under_a_deleted_domain_is_unreadable(store: Store) -> None:
    domain = store.write(add_domain)
    owner = key_owner(domains, MINE, domain.domain_id)
    place = SealedPlace(account_id=MINE.account_id, table="voiceprints", row_id="v", column="vector")
    sealed = store._vault.key(domain.wrapped_key, owner=owner).seal(b"voiceprint", place)
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    assert store.domains.get(MINE, domain.domain_id) is None
    assert (domain.wrapped_key, owner) not in store._vault._remembered
    again = store.write(lambda unit: add_domain(unit, domain_id=domain.domain_id))
    with pytest.raises(CiphertextRefused):
        vault().key(again.wrapped_key, owner=owner).open(sealed, place)


def _hear(store: Store) -> SpeakerSearchTask:
    """A task with everything that is heard in a call: a checkpoint, results, an event, a profile made of it."""
    domain, pipeline = store.write(add_domain), store.write(add_pipeline)
    task = adopted(store, store.write(lambda unit: add_task(unit, domain.domain_id, pipeline.pipeline_id)))

    def conclude(unit: Unit) -> None:
        result, checkpoint = {"profile": HEARD["result"].decode()}, {"fragment": HEARD["checkpoint"].decode()}
        unit.attempts.conclude_identification(
            MINE, task.task_id, attempt=1, identification=result, checkpoint=checkpoint
        )
        made = replace(voiceprint(0.28, 0.96), audio=HEARD["audio"])
        unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=1, voiceprint=made)
        unit.lines.vote(
            MINE,
            domain.domain_id,
            Codec.PCM,
            encoder_id="two-d-1",
            vector=HEARD["vector"],
            net_speech_seconds=10.0,
            profile_id=None,
            task_id=task.task_id,
        )
        unit.lines.learn(MINE, domain.domain_id, Codec.PCM, encoder_id="two-d-1", mean=HEARD["mean"], voices=10)
        unit.events.append(
            MINE, event_id="e-1", pipeline_id=pipeline.pipeline_id, kind="k", body=HEARD["body"], targets=["arn:q"]
        )

    store.write(conclude)
    return task


def test_nothing_heard_is_in_any_column(store: Store) -> None:
    enrol(store, _hear(store), consent=HEARD["consent"].decode())
    seen = 0
    with store._database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    seen += 1
                    content = value if isinstance(value, bytes) else str(value).encode()
                    assert not any(secret in content for secret in HEARD.values())
    assert seen >= 100


def test_a_deleted_profile_is_named_by_the_audit_trail_alone(store: Store) -> None:
    """In clear; sealed, earlier results and events still hold its opaque id, as docs/service.md says."""
    profile = enrol(store, _hear(store), consent=HEARD["consent"].decode())

    def delete(unit: Unit) -> None:
        assert unit.profiles.delete(MINE, profile.profile_id)
        unit.audit.append(
            MINE, key_id="k", operation="o", resource_arn=profile.arn, outcome="done", request_id="request"
        )

    def naming() -> set[str]:
        with store._database.engine.connect() as connection:
            return {
                table.name
                for table in metadata.sorted_tables
                for row in connection.execute(select(table))
                for value in row
                if profile.profile_id.encode() in (value if isinstance(value, bytes) else str(value).encode())
            }

    assert {"voice_profiles", "profile_voiceprints", "speaker_search_tasks"} <= naming()
    store.write(delete)
    assert naming() == {"audit_entries"}


@pytest.mark.usefixtures("sqlite_only")
def test_nothing_heard_is_in_the_files_and_its_ciphertexts_go_with_it(store: Store, url: str) -> None:
    task = _hear(store)
    profile = enrol(store, task, consent=HEARD["consent"].decode())
    for content in _files(url).values():
        assert not any(secret in content for secret in HEARD.values())
    columns = [
        table.c[name]
        for table in (profile_voiceprints, task_voiceprints)
        for name in ("vector_ciphertext", "audio_ciphertext")
    ] + [line_votes.c.vector_ciphertext]
    with store._database.engine.connect() as connection:
        sealed = [connection.execute(select(column)).scalar_one() for column in columns]
    together = b"".join(_files(url).values())
    assert all(ciphertext[:200] in together for ciphertext in sealed)
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    for content in _files(url).values():
        assert not any(ciphertext[:200] in content for ciphertext in sealed)
        assert profile.profile_id.encode() not in content


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize(
    "by", ["expiry", "voiceprint purge", "task purge", "event purge", "domain", "vote purge", "line reset"]
)
def test_what_is_deleted_is_in_no_file(store: Store, url: str, by: str) -> None:
    task = _hear(store)
    if by == "expiry":
        enrol(store, task)
    elif by == "event purge":
        (claimed,) = store.write(lambda unit: unit.deliveries.claim(until=unit.now, limit=1))
        store.write(lambda unit: unit.deliveries.record_delivered(claimed))
    end(store, task)
    table, column = {
        "expiry": (profile_voiceprints, "vector_ciphertext"),
        "event purge": (events, "body_ciphertext"),
        "task purge": (tasks, "identification_ciphertext"),
        "domain": (tasks, "identification_ciphertext"),
        "vote purge": (line_votes, "vector_ciphertext"),
        "line reset": (line_votes, "vector_ciphertext"),
    }.get(by, (task_voiceprints, "vector_ciphertext"))
    with store._database.engine.connect() as connection:
        sealed = connection.execute(select(table.c[column])).scalar_one()
    assert any(sealed in content for content in _files(url).values())
    late = timedelta(days=4 * 365)
    deletions: dict[str, Callable[[Unit], object]] = {
        "expiry": lambda unit: unit.profile_voiceprints.expire(expired_before=unit.now + late, limit=9),
        "voiceprint purge": lambda unit: unit.task_voiceprints.purge(kept_until=unit.now + late, limit=9),
        "task purge": lambda unit: unit.tasks.purge(ended_before=unit.now + late, limit=9),
        "event purge": lambda unit: unit.events.purge(created_before=unit.now + late, limit=9),
        "domain": lambda unit: unit.domains.delete(MINE, task.domain_id),
        "vote purge": lambda unit: unit.lines.purge_votes(cast_before=unit.now + late, limit=9),
        "line reset": lambda unit: unit.lines.reset(MINE, task.domain_id, Codec.PCM, key_id="k"),
    }
    assert store.write(deletions[by])
    assert not any(sealed in content for content in _files(url).values())


def test_a_ciphertext_moved_to_another_row_does_not_open(store: Store) -> None:
    first, second = (enrol(store, _hear_in(store, channel_id)) for channel_id in (0, 1))
    mine = profile_voiceprints.c.profile_id == first.profile_id
    with store._database.engine.connect() as connection, connection.begin():
        moved = connection.execute(select(profile_voiceprints.c.vector_ciphertext).where(mine)).scalar_one()
        connection.execute(update(profile_voiceprints).where(~mine).values(vector_ciphertext=moved))
    assert store.profile_voiceprints.gallery_page(MINE, first.domain_id, limit=9) is not None
    with pytest.raises(CiphertextRefused):
        store.profile_voiceprints.gallery_page(MINE, second.domain_id, limit=9)


def _hear_in(store: Store, channel_id: int) -> SpeakerSearchTask:
    domain = store.write(add_domain)
    task = adopted(store, store.write(lambda unit: add_task(unit, domain.domain_id, channel_id=channel_id)))
    return store.write(
        lambda unit: unit.attempts.conclude_voiceprint(MINE, task.task_id, attempt=1, voiceprint=voiceprint())
    )


def test_records_of_what_was_heard_do_not_show_it(store: Store) -> None:
    task = _hear(store)
    enrol(store, task, consent=HEARD["consent"].decode())
    gallery = store.profile_voiceprints.gallery_page(MINE, task.domain_id, limit=9)
    shown = repr(
        (
            store.tasks.get(MINE, task.task_id),
            store.task_voiceprints.get(MINE, task.task_id),
            store.profile_voiceprints.list(
                MINE, store.profiles.list(MINE, task.domain_id, limit=1).items[0].profile_id
            ),
            gallery,
            store.events.get(MINE, "e-1"),
            store.lines.votes(MINE, task.domain_id, Codec.PCM),
            store.lines.versions(MINE, task.domain_id),
            store.write(lambda unit: unit.deliveries.claim(until=unit.now, limit=9)),
        )
    )
    assert gallery is not None
    assert gallery.page.items[0].vector == HEARD["vector"]
    for secret in HEARD.values():
        assert secret.decode("latin-1") not in shown
        assert repr(secret)[2:20] not in shown
