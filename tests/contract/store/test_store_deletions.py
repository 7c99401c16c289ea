"""Deletions: each is written down with the change that made it, named by digests, and numbered once for the ledgers."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from search_examples import end, enrol, with_voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain, add_pipeline, add_profile, add_stream

from earwitness.errors import NotFound
from earwitness.store.deletion_records import BackupRecord, Deletion
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit
from earwitness.tasks.expire import expire
from earwitness.voice.deletion import DeletionKind, DeletionReason
from earwitness.voice.line import Codec

ACCOUNT = Scope(account_id=MINE.account_id, region="")


def _audit(unit: Unit, key_id: str = "AK1") -> None:
    unit.audit.append(MINE, key_id=key_id, operation="Delete", resource_arn="a", outcome="done", request_id="")


def _all(store: Store, scope: Scope = MINE) -> list[Deletion]:
    return list(store.deletions.list(scope, limit=100).items)[::-1]


def _kinds(store: Store, scope: Scope = MINE) -> list[DeletionKind]:
    return [item.kind for each in _all(store, scope) for item in each.items]


def _chained(entry: Deletion, before: bytes) -> bytes:
    return f"{entry.position}:{len(before)}".encode()


def test_a_profile_that_is_deleted_is_written_down_with_all_that_went_with_it(store: Store) -> None:
    task = with_voiceprint(store)
    profile = enrol(store, task)
    (voiceprint,) = store.profile_voiceprints.list(MINE, profile.profile_id)

    def delete(unit: Unit) -> None:
        unit.profiles.delete(MINE, profile.profile_id)
        _audit(unit)

    store.write(delete)
    (written,) = _all(store)
    assert (written.who, written.why, written.request_id) == ("AK1", DeletionReason.REQUESTED, written.deletion_id)
    of = store.digest_of
    assert {(item.kind, item.identity_digest, item.voiceprints) for item in written.items} == {
        (DeletionKind.TASK_VOICEPRINT, of(MINE, DeletionKind.TASK_VOICEPRINT, task.task_id), 0),
        (
            DeletionKind.VOICEPRINT,
            of(MINE, DeletionKind.VOICEPRINT, profile.profile_id, voiceprint.voiceprint_id),
            0,
        ),
        (DeletionKind.PROFILE, of(MINE, DeletionKind.PROFILE, profile.profile_id), 1),
    }
    assert store.deletions.of_thing(MINE, of(MINE, DeletionKind.PROFILE, profile.profile_id)) == (written,)
    assert store.deletions.get(MINE, written.deletion_id) == written


def test_what_is_deleted_says_which_key_was_destroyed(store: Store) -> None:
    domain = store.write(add_domain)
    stream = store.write(lambda unit: add_stream(unit, "calls"))
    key_id = store.stream_key(MINE, stream).key_id
    assert len(key_id) == 16
    store.write(lambda unit: add_profile(unit, domain.domain_id))
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    store.write(lambda unit: unit.streams.delete(MINE, stream.arn))
    of_domain, of_stream = (item for each in _all(store) for item in each.items)
    assert of_domain.kind is DeletionKind.DOMAIN
    assert of_domain.destroyed_key_id is not None
    assert of_stream.destroyed_key_id == key_id != of_domain.destroyed_key_id
    assert of_stream.identity_digest == store.digest_of(MINE, DeletionKind.STREAM, stream.arn)


def test_nothing_is_written_of_a_deletion_that_was_undone_or_found_nothing(store: Store) -> None:
    domain = store.write(add_domain)

    def undone(unit: Unit) -> None:
        unit.domains.delete(MINE, domain.domain_id)
        raise NotFound("undone")

    with pytest.raises(NotFound):
        store.write(undone)
    assert store.write(lambda unit: unit.domains.delete(MINE, "vpd-none")) is False
    assert store.write(lambda unit: unit.profiles.delete(MINE, "vp-none")) is False
    assert _all(store) == []


def test_expiry_is_written_down_as_such_for_each_account(store: Store, clock: Clock) -> None:
    for scope in (MINE, OTHERS[0]):
        end(store, with_voiceprint(store, scope=scope))
    clock.advance(timedelta(days=8))
    expire(store, now=clock.now)
    for scope in (MINE, OTHERS[0]):
        written = _all(store, scope)
        assert {(each.who, each.why) for each in written} == {("expiry", DeletionReason.EXPIRED)}
        assert set(_kinds(store, scope)) == {DeletionKind.TASK_VOICEPRINT, DeletionKind.TASK}
    assert _all(store, OTHERS[1]) == []


def test_every_kind_of_thing_is_written_down_when_it_is_deleted(store: Store, clock: Clock) -> None:
    domain = store.write(add_domain)
    key = store.write(
        lambda unit: unit.access_keys.create(
            key_id="AKIA", account_id=MINE.account_id, role="admin", name="n", secret="s" * 40
        )
    )
    store.write(
        lambda unit: unit.bearer_tokens.create(
            token="t" * 40, token_id="t" * 3, account_id=MINE.account_id, role="admin", name="n"
        )
    )
    pipeline = store.write(add_pipeline)

    def work(unit: Unit) -> None:
        unit.lines.lock(MINE, domain.domain_id)
        unit.lines.vote(
            MINE,
            domain.domain_id,
            Codec.PCM,
            encoder_id="e",
            vector=b"v",
            net_speech_seconds=10.0,
            profile_id=None,
            task_id=None,
        )
        unit.lines.forget_votes(MINE, domain.domain_id, Codec.PCM)
        unit.pipelines.delete(MINE, pipeline.pipeline_id)
        unit.access_keys.delete(MINE.account_id, key.key_id)
        unit.bearer_tokens.revoke(MINE.account_id, "ttt")

    store.write(work)
    assert _kinds(store) == [DeletionKind.VOTE, DeletionKind.PIPELINE]
    assert _kinds(store, ACCOUNT) == [DeletionKind.ACCESS_KEY, DeletionKind.BEARER_TOKEN]


def test_a_request_of_several_transactions_is_found_as_one(store: Store) -> None:
    profiles = [enrol(store, with_voiceprint(store)) for _ in range(2)]
    for profile in profiles:

        def withdraw(unit: Unit, profile_id: str = profile.profile_id) -> None:
            unit.deletions.because(DeletionReason.CONSENT_WITHDRAWN, who="AK7", request_id="withdrawal-1")
            unit.profiles.delete(MINE, profile_id)

        store.write(withdraw)
    found = store.deletions.of_request(MINE, "withdrawal-1")
    assert [(each.who, each.why) for each in found] == [("AK7", DeletionReason.CONSENT_WITHDRAWN)] * 2
    assert store.deletions.of_request(OTHERS[0], "withdrawal-1") == ()


def test_an_identity_is_told_apart_by_account_region_kind_and_parts(store: Store) -> None:
    of = store.digest_of
    digests = {
        of(MINE, DeletionKind.PROFILE, "ab"),
        of(MINE, DeletionKind.PROFILE, "a", "b"),
        of(MINE, DeletionKind.DOMAIN, "ab"),
        *(of(other, DeletionKind.PROFILE, "ab") for other in OTHERS),
    }
    assert len(digests) == 5
    assert of(MINE, DeletionKind.PROFILE, "ab") in digests


def test_places_in_the_ledger_are_given_once_and_without_gaps(store: Store) -> None:
    for _ in range(7):
        domain = store.write(add_domain)
        store.write(lambda unit, domain=domain: unit.domains.delete(MINE, domain.domain_id))
    assert (store.deletions.head(), store.deletions.waiting()) == ((0, b""), 7)
    start = threading.Barrier(3)

    def number() -> int:
        start.wait(10)
        return store.write(lambda unit: unit.deletions.number(_chained, limit=3))

    with ThreadPoolExecutor(3) as pool:
        given = [future.result(30) for future in [pool.submit(number) for _ in range(3)]]
    assert sorted(given) == [1, 3, 3]
    entries = store.deletions.behind(0, limit=100)
    assert [entry.position for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.entry_digest for entry in entries] == [b"1:0", *(f"{n}:3".encode() for n in range(2, 8))]
    assert (store.deletions.head(), store.deletions.waiting()) == ((7, b"7:3"), 0)
    assert [entry.position for entry in store.deletions.behind(5, limit=1)] == [6]


def test_deletions_are_forgotten_when_no_backup_is_older(store: Store, clock: Clock) -> None:
    def delete_one() -> None:
        domain = store.write(add_domain)
        store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))

    delete_one()
    backup = BackupRecord(
        backup_id="b1",
        place="/backups",
        created_at=clock(),
        expires_at=clock() + timedelta(days=35),
        with_media=True,
        position=1,
        deleted_at=None,
    )
    store.write(lambda unit: unit.backups.add(backup))
    delete_one()
    delete_one()
    clock.advance(timedelta(days=100))

    def purge() -> int:
        return store.write(lambda unit: unit.deletions.purge(before=unit.now, limit=10))

    assert purge() == 0  # none has a place in the ledger
    store.write(lambda unit: unit.deletions.number(_chained, limit=10))
    assert purge() == 1  # the other two came after the backup
    assert store.backups.holding(clock()) == (backup,)
    assert store.write(lambda unit: unit.backups.set_deleted("b1"))
    assert store.backups.holding(clock()) == ()
    assert purge() == 1  # the ledger goes on from the last one
    assert store.deletions.head()[0] == 3
    assert _kinds(store) == [DeletionKind.DOMAIN]


def test_withdrawals_are_never_forgotten(store: Store, clock: Clock) -> None:
    """Who withdrew after a backup that was restored, and had nothing in it, is refused by the deletion alone."""
    store.write(lambda unit: unit.deletions.note(MINE, DeletionKind.SUBJECT, "aa"))
    for _ in range(2):
        domain = store.write(add_domain)
        store.write(lambda unit, domain=domain: unit.domains.delete(MINE, domain.domain_id))
    store.write(lambda unit: unit.deletions.number(_chained, limit=10))
    clock.advance(timedelta(days=4000))
    assert store.write(lambda unit: unit.deletions.purge(before=unit.now, limit=10)) == 1
    assert _kinds(store) == [DeletionKind.SUBJECT, DeletionKind.DOMAIN]


def test_a_secret_that_came_later_is_not_the_one_that_was_destroyed(store: Store) -> None:
    """A rotated access key is deleted with its first secret: a backup with the second one keeps it."""
    store.write(
        lambda unit: unit.access_keys.create(
            key_id="AKIA", account_id=MINE.account_id, role="admin", name="n", secret="s" * 40
        )
    )
    store.write(lambda unit: unit.access_keys.rotate(MINE.account_id, "AKIA", secret="u" * 40))
    store.write(lambda unit: unit.access_keys.delete(MINE.account_id, "AKIA"))
    first, second = (item.identity_digest for each in _all(store, ACCOUNT) for item in each.items)
    assert first != second


def test_what_is_written_names_nobody(store: Store) -> None:
    profile = enrol(store, with_voiceprint(store))
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    assert profile.profile_id not in repr(_all(store))
