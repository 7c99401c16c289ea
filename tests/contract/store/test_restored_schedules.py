"""Retention schedules that were told after a backup are told again when it is restored."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from restored_examples import backup_of, keeper_of, order_for, reopened, restored
from search_examples import end, with_voiceprint
from store_examples import MINE, OTHERS, Clock, add_domain

from earwitness.backup.documents import BackupManifest, LedgerHead, read_head, signed_head
from earwitness.errors import BackupInvalid
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.voice.retention import RetentionSchedule

LONG, SHORT = RetentionSchedule(results_hours=100, published_name="the line"), RetentionSchedule(results_hours=24)


def told(store: Store, domain_id: str, schedule: RetentionSchedule, scope: Scope = MINE) -> None:
    store.write(lambda unit: unit.retention.put(scope, domain_id, schedule, key_id="AKIA"))


def _head(place: Path, manifest: BackupManifest) -> tuple[Path, LedgerHead]:
    file = place / "ledger" / manifest.ledger / "head.json"
    return file, read_head(file.read_bytes(), key=None)


def test_what_was_told_after_the_backup_is_told_again(
    store: Store, url: str, target: str, clock: Clock, tmp_path: Path
) -> None:
    changed, new, same, gone, hidden = (store.write(add_domain).domain_id for _ in range(5))
    theirs = store.write(lambda unit: add_domain(unit, OTHERS[0], domain_id=changed)).domain_id
    for domain_id in (changed, same, gone, hidden):
        told(store, domain_id, LONG)
    told(store, theirs, LONG, OTHERS[0])
    place = tmp_path / "backups"
    manifest = backup_of(store, url, place, clock)
    told(store, changed, replace(SHORT, published_name="a new name"))
    for domain_id in (new, gone, hidden):
        told(store, domain_id, SHORT)
    store.write(lambda unit: unit.domains.delete(MINE, gone))
    later = store.write(add_domain).domain_id  # lost with its schedule
    told(store, later, SHORT)
    clock.advance(timedelta(minutes=2))
    keeper_of(store, clock).look()
    file, _ = _head(place, manifest)
    assert not any(one in file.read_text("ascii") for one in (changed, new, same, "the line", "a new name"))
    before = store.retention.get(MINE, same)
    done = restored(place, order_for(target, tmp_path / "new"), clock)
    assert done.schedules == 3
    with reopened(target, clock) as again:
        schedule = again.retention.schedule(MINE, changed)
        assert (schedule.results_hours, schedule.published_name) == (24, "the line")
        assert again.retention.schedule(MINE, new) == SHORT
        assert again.retention.schedule(MINE, hidden) == SHORT  # a name that was taken off stays off
        assert again.retention.get(MINE, same) == before
        assert again.retention.schedule(OTHERS[0], theirs) == LONG
        assert {one.domain_id for one in again.retention.list_everywhere()} == {changed, new, same, hidden}


def test_what_is_past_its_time_by_a_newer_schedule_is_gone(
    store: Store, url: str, target: str, clock: Clock, tmp_path: Path
) -> None:
    task = end(store, with_voiceprint(store))
    place = tmp_path / "backups"
    backup_of(store, url, place, clock)
    told(store, task.domain_id, RetentionSchedule(results_hours=1))
    clock.advance(timedelta(minutes=2))
    keeper_of(store, clock).look()
    clock.advance(timedelta(hours=2))
    restored(place, order_for(target, tmp_path / "new"), clock)
    with reopened(target, clock) as again:
        assert again.tasks.get(MINE, task.task_id) is None


def test_a_head_without_schedules_is_read_and_a_changed_one_refused(
    store: Store, url: str, target: str, clock: Clock, tmp_path: Path
) -> None:
    domain_id = store.write(add_domain).domain_id
    told(store, domain_id, LONG)
    place = tmp_path / "backups"
    manifest = backup_of(store, url, place, clock)
    told(store, domain_id, SHORT)
    clock.advance(timedelta(minutes=2))
    keeper_of(store, clock).look()
    file, head = _head(place, manifest)
    assert [one.results_hours for one in head.schedules] == [24]
    document = json.loads(file.read_bytes())
    document["schedules"][0]["resultsHours"] = 168
    file.write_text(json.dumps(document), encoding="ascii")
    with pytest.raises(BackupInvalid, match="changed"):
        read_head(file.read_bytes(), key=None)
    former = LedgerHead(position=head.position, digest=head.digest, told_at=head.told_at, public_key=head.public_key)
    file.write_bytes(signed_head(former, store.signer()))
    assert restored(place, order_for(target, tmp_path / "new"), clock).schedules == 0
    with reopened(target, clock) as again:
        assert again.retention.schedule(MINE, domain_id) == LONG
