"""The chain over the audit trail, and everything that somebody with the database alone can do to it."""

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text, update
from store_examples import MINE, OTHERS, Clock, add_domain, opened

from earwitness.audit.checkpoints import AuditCheckpoint, ReadCheckpoint, checkpoint_line, read_checkpoints
from earwitness.audit.folder import AuditFolder
from earwitness.audit.keeping import KEY_USE, AuditKeeping
from earwitness.audit.verify import AuditVerdict, verify_records
from earwitness.errors import BadRequest
from earwitness.progress import not_shown
from earwitness.store import migrate
from earwitness.store.audit_records import SERVICE, AuditFilter
from earwitness.store.audit_schema import audit_chains, audit_entries
from earwitness.store.records import Scope
from earwitness.store.store import WAIT_SECONDS_MAX, Store, Unit, _open_database, migrate_store

ENTRIES = 30


def append(unit: Unit, name: str = "SearchRecording", *, scope: Scope = MINE, outcome: str = "done") -> None:
    unit.audit.append(
        scope, key_id="AKIA", operation=name, resource_arn="arn:é", outcome=outcome, request_id=f"r-{name}"
    )


def fill(store: Store, count: int = ENTRIES) -> None:
    for number in range(count):
        store.write(lambda unit, number=number: append(unit, f"Operation{number}"))
    seal(store)


def seal(store: Store, node: str = "") -> None:
    while store.write(lambda unit: unit.audit.seal(node, limit=7)):
        pass


def checkpoint(store: Store, clock: Clock) -> ReadCheckpoint:
    head = store.audit.head("")
    assert head is not None
    made = AuditCheckpoint(node="", number=head[0], digest=head[1], time=clock())
    return ReadCheckpoint(where="a checkpoint", checkpoint=made)


def verify(store: Store, *checkpoints: ReadCheckpoint, files: Sequence[Path] = ()) -> AuditVerdict:
    return verify_records(store, files, checkpoints, store.signer().public, not_shown)


def tamper(store: Store, *statements: object) -> None:
    with store._database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement) if isinstance(statement, str) else statement)  # pyright: ignore


def test_entries_follow_from_each_other(store: Store, clock: Clock) -> None:
    fill(store)
    verdict = verify(store, checkpoint(store, clock))
    assert (verdict.is_whole, verdict.entries, verdict.chains, verdict.unsealed) == (True, ENTRIES, 1, 0)
    numbers = [entry.number for entry in store.audit.list(MINE, limit=99).items]
    assert numbers == list(range(ENTRIES, 0, -1))


def test_a_unit_that_fails_takes_no_place(store: Store, clock: Clock) -> None:
    def fail(unit: Unit) -> None:
        append(unit)
        raise KeyError("in the middle")

    fill(store, 3)
    with pytest.raises(KeyError):
        store.write(fail)
    fill(store, 3)
    assert verify(store, checkpoint(store, clock)).entries == 6
    assert verify(store, checkpoint(store, clock)).is_whole


def test_writers_and_sealers_at_once_make_one_chain(store: Store, open_again, clock: Clock) -> None:
    stores = [store, open_again(), open_again()]
    threads = [threading.Thread(target=fill, args=(one, 20)) for one in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seal(store)
    verdict = verify(store, checkpoint(store, clock))
    assert (verdict.problems, verdict.entries) == ([], 120)


REMOVED = delete(audit_entries).where(audit_entries.c.number == 12)
CHANGED = update(audit_entries).where(audit_entries.c.number == 12).values(key_id="somebody else")
SWAPPED = [
    update(audit_entries).where(audit_entries.c.number == 12).values(number=1_000),
    update(audit_entries).where(audit_entries.c.number == 13).values(number=12),
    update(audit_entries).where(audit_entries.c.number == 1_000).values(number=13),
]
COLUMNS = "account_id, region, key_id, operation, resource_arn, outcome, request_id, time, node, number, digest"
DOUBLED = [
    "DROP INDEX audit_entries_by_chain",
    f"INSERT INTO audit_entries ({COLUMNS}) SELECT {COLUMNS} FROM audit_entries WHERE number = 12",  # noqa: S608
]
CUT_OFF = delete(audit_entries).where(audit_entries.c.number > ENTRIES - 10)
FORGOTTEN = update(audit_entries).where(audit_entries.c.number == 12).values(number=None, digest=None)
BEGINNING = [
    delete(audit_entries).where(audit_entries.c.number <= 12),
    update(audit_chains).values(start_number=12, start_digest=b"d" * 32),
]
GENESIS = update(audit_chains).values(start_digest=b"d" * 32)


@pytest.mark.parametrize(
    ("done", "number", "says"),
    [
        ([REMOVED], 12, "entry 12 is missing"),
        ([CHANGED], 12, "entry 12 was changed"),
        (SWAPPED, 12, "entry 12 was changed, or put in another place"),
        (DOUBLED, 12, "entry 12 is there twice"),
        ([CUT_OFF], ENTRIES - 9, f"entries {ENTRIES - 9} to {ENTRIES} are missing at the end"),
        ([FORGOTTEN], 12, "entry 12 is missing"),
        (BEGINNING, 1, "no signed statement says that they had expired"),
        ([GENESIS], 1, "beginning of the chain was changed"),
        ([delete(audit_entries), delete(audit_chains)], 1, "the chain of the records themselves is missing"),
    ],
    ids=["removed", "changed", "swapped", "doubled", "cut off", "forgotten", "beginning", "genesis", "all"],
)
def test_what_the_database_alone_can_do_is_named(
    store: Store, clock: Clock, done: list[object], number: int, says: str
) -> None:
    fill(store)
    known = checkpoint(store, clock)
    tamper(store, *done)
    verdict = verify(store, known)
    assert not verdict.is_whole
    assert (verdict.problems[0].number, says in verdict.problems[0].says) == (number, True), verdict.problems


def test_a_chain_that_was_made_anew_does_not_fit_its_checkpoints(store: Store, clock: Clock) -> None:
    """Whoever knows how the chain is made can change an entry and every digest after it; not what is elsewhere."""
    fill(store, 10)
    early = checkpoint(store, clock)
    fill(store, 10)
    late = checkpoint(store, clock)
    with store._database.engine.begin() as connection:
        rows = connection.execute(select(audit_entries).order_by(audit_entries.c.number)).mappings().all()
        connection.execute(delete(audit_entries))
        connection.execute(delete(audit_chains))
        kept = [dict(row) for row in rows if row["number"] != 15]
        connection.execute(insert(audit_entries), [{**row, "number": None, "digest": None} for row in kept])
    seal(store)
    assert verify(store).is_whole
    assert verify(store, early).is_whole
    verdict = verify(store, early, late)
    assert [problem.number for problem in verdict.problems] == [20]  # one less than there were
    store.write(append)
    seal(store)
    verdict = verify(store, early, late)
    assert "an entry from 11 to 20 was changed" in verdict.problems[0].says
    assert verdict.problems[0].number == 11


def test_the_chain_of_another_node_is_not_taken(store: Store, clock: Clock) -> None:
    fill(store)
    known = checkpoint(store, clock)
    tamper(store, update(audit_entries).values(node="other"), update(audit_chains).values(node="other"))
    verdict = verify(store, known)
    says = " ".join(problem.says for problem in verdict.problems)
    assert "beginning of the chain was changed" in says and "chain of the records themselves is missing" in says
    assert "entry 1 was changed" in says


def test_expired_entries_are_taken_off_into_files_and_the_chain_goes_on(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    folder = AuditFolder(tmp_path)
    keeping = AuditKeeping(store, folder, keeps_expired=True)
    fill(store)
    assert keeping.checkpoint(clock()) == 1
    assert keeping.expire(clock()) == 0
    clock.advance(timedelta(days=365, hours=1))
    assert keeping.expire(clock()) == 0  # too few, not a day ago
    clock.advance(timedelta(days=1))
    fill(store, 5)
    assert keeping.checkpoint(clock()) == 1
    assert keeping.expire(clock()) == ENTRIES
    assert keeping.expire(clock()) == 0
    key = store.signer().public
    known = list(read_checkpoints(folder.checkpoint_files(), lambda: key))
    verdict = verify(store, *known, files=folder.entry_files())
    assert (verdict.problems, verdict.entries, verdict.files) == ([], ENTRIES + 5, 1)
    assert verify(store, *known).is_whole  # without the files, too
    clock.advance(timedelta(days=367))
    fill(store, 5)
    assert keeping.expire(clock()) == 5
    assert verify(store, files=folder.entry_files()).is_whole
    first = folder.entry_files()[0]
    assert "does not go on" not in str(verify(store, files=folder.entry_files()).problems)
    moved = first.rename(first.with_suffix(".elsewhere"))
    assert verify(store, files=folder.entry_files()).is_whole  # the later one fits the records
    moved.rename(first)
    tamper(store, update(audit_chains).values(cut=None))
    assert "no signed statement" in verify(store).problems[0].says


def test_expired_entries_are_kept_nowhere_without_a_folder(store: Store, clock: Clock, tmp_path: Path) -> None:
    keeping = AuditKeeping(store, AuditFolder(tmp_path), keeps_expired=False)
    fill(store)
    clock.advance(timedelta(days=367))
    store.write(append)
    seal(store)
    assert keeping.expire(clock()) == ENTRIES
    assert list(tmp_path.rglob("*.jsonl")) == []
    verdict = verify(store)
    assert (verdict.is_whole, verdict.entries) == (True, 1)


def test_the_use_of_a_domains_key_is_written_once_an_hour(store: Store, tmp_path: Path) -> None:
    keeping = AuditKeeping(store, AuditFolder(tmp_path), keeps_expired=False)
    domain = store.write(add_domain)
    used = f"{MINE.account_id}/voice_profile_domains/{MINE.region}/{domain.domain_id}"
    keeping.write_key_uses(begins_hour=True)
    for begins_hour, count in ((False, 1), (False, 0), (True, 0), (False, 1)):
        store._vault.uses.note(used)
        store._vault.uses.note(f"{MINE.account_id}/kinesis_streams/{MINE.region}/a-stream")
        assert keeping.write_key_uses(begins_hour=begins_hour) == count
    uses = [one for one in store.audit.list(MINE, limit=9).items if one.operation == KEY_USE]
    assert [(one.resource_arn, one.key_id) for one in uses] == [(domain.arn, SERVICE)] * 2


def test_entries_from_before_there_were_chains_are_counted(empty_url: str, clock: Clock) -> None:
    rows = [
        {
            "account_id": MINE.account_id,
            "region": MINE.region,
            "key_id": "AKIA",
            "operation": "DeleteProfile",
            "resource_arn": "",
            "outcome": "done",
            "request_id": str(number),
            "time": clock(),
        }
        for number in range(3)
    ]
    database = _open_database(empty_url, wait_seconds_max=WAIT_SECONDS_MAX, connections_max=1)
    with closing(database), database.migrating() as connection:
        migrate.make_at(connection, "0013")
        connection.execute(insert(audit_entries).values(rows))
    migrate_store(empty_url)
    with closing(opened(empty_url, clock=clock)) as store:
        fill(store, 4)
        verdict = verify(store)
        assert (verdict.problems, verdict.entries, verdict.without_a_chain) == ([], 4, 3)
        assert [chain.before for chain in store.audit.chains()] == [3]
        tamper(store, update(audit_chains).values(before=2))
        assert "beginning of the chain was changed" in verify(store).problems[0].says
        assert store.write(lambda unit: unit.audit.purge_without_a_chain(before=clock() + timedelta(days=1))) == 3


def test_filters(store: Store, clock: Clock) -> None:
    fill(store, 3)
    store.write(lambda unit: append(unit, "GetProfile", scope=OTHERS[0], outcome="Forbidden"))
    begun = store.audit.list(MINE, limit=1).items[0].time

    def found(**wanted: object) -> list[str]:
        return [one.operation for one in store.audit.search(replace(AuditFilter(), **wanted), limit=9).items]  # pyright: ignore

    assert found(outcome="Forbidden") == ["GetProfile"]
    assert found(operation="Operation1") == ["Operation1"]
    assert found(since=begun) == ["GetProfile", "Operation2"]
    assert found(until=begun) == ["Operation1", "Operation0"]
    assert found(account_id=OTHERS[0].account_id) == ["GetProfile"]
    assert found(key_id="nobody") == found(resource_arn="arn:nothing") == []
    forbidden = store.audit.list(MINE, wanted=AuditFilter(account_id=OTHERS[0].account_id), limit=9)
    assert {one.scope for one in forbidden.items} == {MINE}  # a filter never widens whose entries they are


@pytest.mark.parametrize("hostile", ["\ud800", "a\0b"])
def test_hostile_texts_are_refused(store: Store, hostile: str) -> None:
    with pytest.raises(BadRequest):
        store.write(lambda unit: append(unit, hostile))
    fill(store, 1)
    assert verify(store).is_whole


def test_a_line_of_a_checkpoint_counts_to_the_bit(store: Store, clock: Clock, tmp_path: Path) -> None:
    fill(store, 1)
    known = checkpoint(store, clock).checkpoint
    assert known is not None
    line, path = checkpoint_line(known, store.signer()) + b"\n", tmp_path / "checkpoints.jsonl"
    path.write_bytes(line)
    key = store.signer().public

    def read() -> list[ReadCheckpoint]:
        return list(read_checkpoints([path], lambda: key))

    assert [one.checkpoint for one in read()] == [known]
    for place in range(len(line) - 1):
        changed = bytearray(line)
        changed[place] ^= 1
        path.write_bytes(changed)
        verdict = verify(store, *read())
        assert not verdict.is_whole, changed
    for torn in (line[:-20], line[:1]):
        path.write_bytes(line + torn)
        verdict = verify(store, *read())
        assert (verdict.is_whole, verdict.checkpoints, len(verdict.remarks)) == (True, 1, 1)
