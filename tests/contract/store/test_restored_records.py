"""Records that come back from a backup: all that was there, and nothing of what was deleted since."""

import shutil
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from restored_examples import backup_of, copied, keeper_of, order_for, reopened, restored
from search_examples import end, enrol, voiceprint, with_voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain, add_pipeline, add_profile, add_stream, guid, vault

from earwitness.errors import (
    BackupInvalid,
    InstallationIncomplete,
    MasterKeyInvalid,
    RestoreRefused,
    StoreError,
)
from earwitness.store.records import Scope
from earwitness.store.redoing import kinds_in_order
from earwitness.store.store import Store, Unit, open_store
from earwitness.vault.master_key import MasterKey
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.job import JobKind
from earwitness.voice.line import Codec

ACCOUNT = Scope(account_id=MINE.account_id, region="")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def _everything(unit: Unit) -> dict[DeletionKind, tuple[Scope, str]]:
    """One thing of each kind that can be made without a task."""
    domain, spare = add_domain(unit), add_domain(unit)
    profile = add_profile(unit, domain.domain_id)
    unit.profiles.add_voiceprint(
        MINE, profile.profile_id, voiceprint_id="vp-1", voiceprint=voiceprint(), expires_at=profile.expires_at
    )
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
    unit.access_keys.create(key_id="AKIA", account_id=MINE.account_id, role="admin", name="n", secret="s" * 40)
    unit.bearer_tokens.create(token="t" * 40, token_id="t" * 3, account_id=MINE.account_id, role="admin", name="n")
    job, _ = unit.jobs.create(
        MINE,
        job_id=guid(),
        kind=JobKind.EXPORT,
        domain_id=domain.domain_id,
        domain_arn=domain.arn,
        items=1,
        key_id="k",
    )
    return {
        DeletionKind.DOMAIN: (MINE, spare.domain_id),
        DeletionKind.PROFILE: (MINE, profile.profile_id),
        DeletionKind.VOTE: (MINE, domain.domain_id),
        DeletionKind.PIPELINE: (MINE, add_pipeline(unit).pipeline_id),
        DeletionKind.STREAM: (MINE, add_stream(unit, "calls").arn),
        DeletionKind.JOB: (MINE, job.job_id),
    }


def _deleted_again(unit: Unit, made: dict[DeletionKind, tuple[Scope, str]]) -> None:
    unit.audit.append(MINE, key_id="AK9", operation="o", resource_arn="a", outcome="done", request_id="")
    unit.domains.delete(MINE, made[DeletionKind.DOMAIN][1])
    unit.profiles.delete(MINE, made[DeletionKind.PROFILE][1])
    unit.lines.forget_votes(MINE, made[DeletionKind.VOTE][1], Codec.PCM)
    unit.pipelines.delete(MINE, made[DeletionKind.PIPELINE][1])
    unit.streams.delete(MINE, made[DeletionKind.STREAM][1])
    unit.access_keys.delete(MINE.account_id, "AKIA")
    unit.bearer_tokens.revoke(MINE.account_id, "ttt")


def _alive(store: Store, made: dict[DeletionKind, tuple[Scope, str]]) -> set[DeletionKind]:
    """Which of them are there."""
    token = store.bearer_tokens.get(MINE.account_id, "ttt")
    found = {
        DeletionKind.DOMAIN: store.domains.get(MINE, made[DeletionKind.DOMAIN][1]),
        DeletionKind.PROFILE: store.profiles.get(MINE, made[DeletionKind.PROFILE][1]),
        DeletionKind.VOICEPRINT: store.profile_voiceprints.list(MINE, made[DeletionKind.PROFILE][1]),
        DeletionKind.VOTE: store.lines.votes(MINE, made[DeletionKind.VOTE][1], Codec.PCM),
        DeletionKind.PIPELINE: store.pipelines.get(MINE, made[DeletionKind.PIPELINE][1]),
        DeletionKind.STREAM: store.streams.get(MINE, made[DeletionKind.STREAM][1]),
        DeletionKind.ACCESS_KEY: store.access_keys.get("AKIA"),
        DeletionKind.BEARER_TOKEN: token is not None and token.state == "enabled",
        DeletionKind.JOB: store.jobs.get(MINE, made[DeletionKind.JOB][1]),
    }
    return {kind for kind, value in found.items() if value}


def test_records_come_back_as_they_were(store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path):
    made = store.write(_everything)
    everything = _alive(store, made)
    assert len(everything) == 9
    profile = enrol(store, with_voiceprint(store), consent="form 7")
    gallery = store.profile_voiceprints.gallery_page(MINE, profile.domain_id, limit=10)
    manifest = backup_of(store, url, place, clock)
    assert manifest.counts["voice_profiles"] == 2
    done = restored(place, order_for(target, tmp_path / "new"), clock)
    assert (done.deletions, done.deleted_again) == (0, 0)
    with reopened(target, clock) as again:
        assert _alive(again, made) == everything
        assert again.profile_voiceprints.gallery_page(MINE, profile.domain_id, limit=10) == gallery
        assert again.profiles.get(MINE, profile.profile_id) == profile
        assert again.signer().public.text == store.signer().public.text
        again.write(add_domain)  # numbers go on behind those of the backup
        again.write(_audited)


def _audited(unit: Unit) -> None:
    unit.audit.append(MINE, key_id="AK9", operation="o", resource_arn="a", outcome="done", request_id="")


def test_what_was_deleted_after_the_backup_is_deleted_again(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    made = store.write(_everything)
    kept = store.write(add_domain)
    backup_of(store, url, place, clock)
    store.write(lambda unit: _deleted_again(unit, made))
    keeper_of(store, clock).look()
    done = restored(place, order_for(target, tmp_path / "new"), clock)
    assert done.deletions == 2  # one of the Region, one of the account
    with reopened(target, clock) as again:
        assert _alive(again, made) == {DeletionKind.JOB}
        assert again.domains.get(MINE, kept.domain_id) is not None
        assert again.deletions.list(MINE, limit=9) == store.deletions.list(MINE, limit=9)
        assert again.deletions.list(ACCOUNT, limit=9) == store.deletions.list(ACCOUNT, limit=9)
        assert again.deletions.head() == store.deletions.head()


def test_results_of_tasks_stay_deleted(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    kept, gone, told = (end(store, with_voiceprint(store)) for _ in range(3))
    backup_of(store, url, place, clock)
    store.write(lambda unit: unit.pipelines.delete(MINE, gone.pipeline_id))
    profile = enrol(store, told)
    store.write(lambda unit: unit.profiles.delete(MINE, profile.profile_id))
    keeper_of(store, clock).look()
    restored(place, order_for(target, tmp_path / "new"), clock)
    with reopened(target, clock) as again:
        assert again.tasks.get(MINE, gone.task_id) is None
        assert again.task_voiceprints.get(MINE, told.task_id) is None
        assert again.tasks.get(MINE, told.task_id) is not None
        assert again.task_voiceprints.get(MINE, kept.task_id) is not None


def test_what_expired_since_the_backup_is_gone_when_it_is_back(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    task = end(store, with_voiceprint(store))
    backup_of(store, url, place, clock)
    clock.advance(timedelta(days=2))
    restored(place, order_for(target, tmp_path / "new"), clock)
    with reopened(target, clock) as again:
        assert again.task_voiceprints.get(MINE, task.task_id) is None
        assert again.tasks.get(MINE, task.task_id) is not None


def test_the_ledger_goes_on_where_it_was(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    """Deletions before the backup, after it, and after the restore are one ledger; a second restore uses it."""
    domains = [store.write(add_domain) for _ in range(3)]
    store.write(lambda unit: unit.domains.delete(MINE, domains[0].domain_id))
    first = backup_of(store, url, place, clock)
    store.write(lambda unit: unit.domains.delete(MINE, domains[1].domain_id))
    keeper_of(store, clock).look()
    restored(place, order_for(target, tmp_path / "new"), clock)
    with reopened(target, clock) as again:
        again.write(lambda unit: unit.domains.delete(MINE, domains[2].domain_id))
        keeper_of(again, clock).look()
        assert again.deletions.head()[0] == 3
        second = backup_of(again, target, place, clock)
    assert (first.ledger, first.ledger_position, second.ledger_position) == (second.ledger, 1, 3)
    (tmp_path / "third").mkdir()
    other = target if target.startswith("postgresql") else f"sqlite:///{tmp_path / 'third' / 'records.db'}"
    if other == target:
        with psycopg.connect(target, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    done = restored(place, order_for(other, tmp_path / "third"), clock, backup_id=first.backup_id)
    assert (done.deletions, done.deleted_again) == (2, 2)
    with reopened(other, clock) as again:
        assert again.domains.list(MINE, limit=10).items == ()


def test_a_restore_without_a_newer_ledger_is_refused(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    domain = store.write(add_domain)
    backup_of(store, url, place, clock)
    old = copied(place, tmp_path / "old")
    backup_of(store, url, place, clock)
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    keeper_of(store, clock).look()
    shutil.rmtree(place / "ledger")
    shutil.copytree(old / "ledger", place / "ledger")  # the second backup beside a ledger that is older
    order = order_for(target, tmp_path / "new")
    with pytest.raises(RestoreRefused, match="--accept-resurrection"):
        restored(place, order, clock)
    done = restored(place, order_for(target, tmp_path / "new", accept_resurrection=True), clock)
    assert done.deleted_again == 0
    with reopened(target, clock) as again:
        assert again.domains.get(MINE, domain.domain_id) is not None
        names = {one.ledger for one in again.backups.places()}
        assert names != {one.ledger for one in store.backups.places()}  # nobody mixes up the two
        again.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
        keeper_of(again, clock).look()
        assert again.backups.places()[0].position == again.deletions.head()[0] == 1


def test_a_ledger_at_a_second_place_will_do(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    from earwitness.backup.places import FolderPlace

    domain = store.write(add_domain)
    manifest = backup_of(store, url, place, clock)
    store.write(lambda unit: unit.domains.delete(MINE, domain.domain_id))
    second = tmp_path / "second"
    keeper_of(store, clock, second_place=str(second)).look()
    for file in (place / "ledger" / manifest.ledger).iterdir():
        file.unlink()
    with pytest.raises(RestoreRefused):
        restored(place, order_for(target, tmp_path / "new"), clock)
    restored(place, order_for(target, tmp_path / "new", ledgers=(FolderPlace(second),)), clock)
    with reopened(target, clock) as again:
        assert again.domains.get(MINE, domain.domain_id) is None


def test_a_wrong_or_missing_master_key_is_refused_and_nothing_is_there(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    store.write(add_domain)
    backup_of(store, url, place, clock)
    wrong = order_for(target, tmp_path / "new", vault=lambda: vault(MasterKey(key=bytes(32))))
    with pytest.raises(MasterKeyInvalid, match="another master key"):
        restored(place, wrong, clock)
    with pytest.raises(MasterKeyInvalid, match="no master key"):
        restored(place, order_for(target, tmp_path / "new", vault=lambda: None), clock)
    if target.startswith("sqlite"):
        assert list((tmp_path / "new").iterdir()) == []
    else:
        with pytest.raises(StoreError, match="cut short"):
            open_store(target, vault=vault(), clock=clock)
    restored(place, order_for(target, tmp_path / "new"), clock)  # with the right one, over what was left


def test_a_manifest_of_other_records_is_refused(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    """Whoever has another installation can sign a manifest over our parts; our records tell that it was not us."""
    import msgspec

    from earwitness.backup.documents import read_manifest, signed_head, signed_manifest
    from earwitness.backup.ledger import read_ledger
    from earwitness.backup.places import FolderPlace
    from earwitness.vault.data_key import DataKey
    from earwitness.vault.signing import Signer

    manifest = backup_of(store, url, place, clock)
    other = Signer(DataKey(bytes(32)))
    path = place / "backups" / manifest.backup_id / "manifest.json"
    foreign = msgspec.structs.replace(read_manifest(path.read_bytes(), key=None), public_key=other.public.text)
    path.write_bytes(signed_manifest(foreign, other))
    ledger = read_ledger(FolderPlace(place), manifest.ledger, key=None)
    assert ledger is not None
    head = msgspec.structs.replace(ledger.head, public_key=other.public.text)
    (place / "ledger" / manifest.ledger / "head.json").write_bytes(signed_head(head, other))
    with pytest.raises(BackupInvalid, match="other records"):
        restored(place, order_for(target, tmp_path / "new"), clock)


def test_every_kind_of_deletion_can_be_done_again() -> None:
    assert set(kinds_in_order()) == set(DeletionKind)


def test_a_database_with_anything_in_it_is_left_alone(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    if target.startswith("sqlite"):
        pytest.skip("a file is looked at before (tests/backup)")
    backup_of(store, url, place, clock)
    with reopened(target, clock) as other:
        domain = other.write(add_domain)
        with pytest.raises(InstallationIncomplete, match="not empty"):
            restored(place, order_for(target, tmp_path / "new"), clock)
        assert other.domains.get(MINE, domain.domain_id) == domain


def test_other_accounts_keep_what_has_the_same_name(
    store: Store, url: str, target: str, place: Path, clock: Clock, tmp_path: Path
) -> None:
    mine = store.write(lambda unit: add_domain(unit, MINE, domain_id="vpd-same"))
    theirs = store.write(lambda unit: add_domain(unit, OTHERS[0], domain_id="vpd-same"))
    backup_of(store, url, place, clock)
    store.write(lambda unit: unit.domains.delete(MINE, mine.domain_id))
    keeper_of(store, clock).look()
    restored(place, order_for(target, tmp_path / "new"), clock)
    with reopened(target, clock) as again:
        assert again.domains.get(MINE, "vpd-same") is None
        assert again.domains.get(OTHERS[0], "vpd-same") == theirs
