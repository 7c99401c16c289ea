"""The ledger of deletions at a place: entries that hang on each other by their hashes, and a head that is signed.

    ledger/NAME/000000000001-000000000007.jsonl     entries by their positions, never changed
    ledger/NAME/head.json                           how far it goes, when that was so, and the retention schedules
                                                    of domains then; written every minute

The name is that of the records, so that several installations may have their backups at one place. An entry says what
was deleted by keyed digests, so the ledger tells nobody who was known here. Entries that are missing, changed, doubled
or in another order do not fit their hashes; entries that were cut off at the end do not reach the head; and a head that
was put back with an old ledger says an old time.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from earwitness.backup.documents import (
    LedgerEntry,
    LedgerHead,
    LedgerItem,
    LedgerSchedule,
    decode,
    encode,
    entry_with,
    read_head,
    signed_head,
    time_of,
    time_text,
)
from earwitness.backup.places import Place
from earwitness.errors import BackupInvalid
from earwitness.store.deletion_records import Deletion
from earwitness.store.store import Store
from earwitness.vault.signing import PublicKey, Signer
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.retention import RetentionSchedule

ENTRIES_AT_ONCE = 1_000
_IN_HEADS = tuple(one.name for one in fields(RetentionSchedule) if one.name != "published_name")
_FILE = re.compile(r"ledger/[A-Za-z0-9-]+/(\d{12})-(\d{12})\.jsonl")


@dataclass(frozen=True)
class ReadLedger:
    """A ledger whose head was proved; its entries are proved while they are read."""

    place: Place
    name: str
    head: LedgerHead

    @property
    def told_at(self) -> datetime:
        """Return the time up to which it has all deletions."""
        return time_of(self.head.told_at)

    def entries(self, *, behind: int) -> Iterator[LedgerEntry]:
        """Yield the entries behind a position up to the head, in their order.

        Raise BackupInvalid when any is missing or was changed. The place may have more than the head says, when the
        service was killed before it wrote the next one; these count too.
        """
        last, digest = behind, None
        for name, first, end in self._files():
            if end <= behind and end != self.head.position:
                continue
            if first > last + 1:
                raise self._altered(f"entries {last + 1} to {first - 1} are missing")
            for entry in self._read(name, first, end):
                if entry.position == self.head.position and entry.digest != self.head.digest:
                    raise self._altered("its last entry is not the one that its head names")
                if entry.position <= last:
                    continue
                if digest is not None and entry.before != digest:
                    raise self._altered(f"entry {entry.position} does not follow the one before")
                last, digest = entry.position, entry.digest
                yield entry
        if last < self.head.position:
            raise self._altered(f"it ends at entry {last}, and its head says {self.head.position}")

    def _files(self) -> list[tuple[str, int, int]]:
        found = [(name, _FILE.fullmatch(name)) for name in self.place.names(f"ledger/{self.name}/")]
        return sorted(
            ((name, int(match[1]), int(match[2])) for name, match in found if match), key=lambda one: (one[1], one[2])
        )

    def _read(self, name: str, first: int, end: int) -> Iterator[LedgerEntry]:
        lines = self.place.get(name).splitlines()
        if len(lines) != end - first + 1:
            raise self._altered(f"{name} has {len(lines)} entries")
        for position, line in enumerate(lines, start=first):
            entry = decode(line, LedgerEntry)
            if entry.position != position or entry.digest != _digest_of(entry):
                raise self._altered(f"entry {position} was changed")
            yield entry

    def _altered(self, how: str) -> BackupInvalid:
        return BackupInvalid(
            f"the ledger of deletions at {self.place.address} was altered or cut: {how}; use that of another place"
        )


def read_ledger(place: Place, name: str, *, key: PublicKey | None) -> ReadLedger | None:
    """Return the ledger of this name at a place; None where there is none.

    Raise BackupInvalid when its head was altered or is of other records than this key's, and BackupPlaceUnavailable.
    """
    file = f"ledger/{name}/head.json"
    if file not in place.names(file):
        return None
    return ReadLedger(place, name, read_head(place.get(file), key=key))


def entry_of(deletion: Deletion, before: bytes) -> LedgerEntry:
    """Return the entry of a deletion that has its position."""
    entry = LedgerEntry(
        position=deletion.position or 0,
        account_id=deletion.scope.account_id,
        region=deletion.scope.region,
        deletion_id=deletion.deletion_id,
        request_id=deletion.request_id,
        who=deletion.who,
        why=deletion.why,
        created_at=time_text(deletion.created_at),
        items=tuple(
            LedgerItem(
                kind=item.kind,
                digest=item.identity_digest.hex(),
                destroyed_key_id=item.destroyed_key_id,
                voiceprints=item.voiceprints,
            )
            for item in deletion.items
        ),
        before=before.hex(),
    )
    return entry_with(entry, digest=_digest_of(entry))


def entry_digest(deletion: Deletion, before: bytes) -> bytes:
    """Return the digest of a deletion's entry, which the records keep."""
    return bytes.fromhex(entry_of(deletion, before).digest)


def write_entries(place: Place, name: str, deletions: Sequence[Deletion], *, before: bytes) -> None:
    """Write entries, all positions of which follow each other, as one file; the same ones give the same file."""
    lines: list[bytes] = []
    for deletion in deletions:
        lines.append(encode(entry_of(deletion, before)) + b"\n")
        before = deletion.entry_digest or b""
    first, last = deletions[0].position, deletions[-1].position
    place.put(f"ledger/{name}/{first:012}-{last:012}.jsonl", b"".join(lines))


def schedules_of(store: Store) -> tuple[LedgerSchedule, ...]:
    """Return the retention schedules of all domains as a head has them: without what the domains are called."""
    return tuple(
        LedgerSchedule(
            domain=store.digest_of(told.scope, DeletionKind.DOMAIN, told.domain_id).hex(),
            updated_at=time_text(told.updated_at),
            is_published=bool(told.schedule.published_name),
            **{name: getattr(told.schedule, name) for name in _IN_HEADS},
        )
        for told in store.retention.list_everywhere()
    )


def schedule_of(told: LedgerSchedule, *, published_name: str) -> RetentionSchedule:
    """Return what a domain was told, with what it is called in the records."""
    return RetentionSchedule(published_name=published_name, **{name: getattr(told, name) for name in _IN_HEADS})


def write_head(
    place: Place,
    name: str,
    signer: Signer,
    *,
    position: int,
    digest: bytes,
    told_at: datetime,
    schedules: tuple[LedgerSchedule, ...],
) -> None:
    """Write how far the ledger at a place goes, and what domains were told of retention until then."""
    head = LedgerHead(
        position=position,
        digest=digest.hex(),
        told_at=time_text(told_at),
        public_key=signer.public.text,
        schedules=schedules,
    )
    place.put(f"ledger/{name}/head.json", signed_head(head, signer))


def _digest_of(entry: LedgerEntry) -> str:
    return hashlib.sha256(encode(entry_with(entry, digest=""))).hexdigest()
