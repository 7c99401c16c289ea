"""Backups of these records, and the places where a ledger of deletions is kept."""

from datetime import datetime

from sqlalchemy import select

from earwitness.store.deletion_records import BackupRecord, LedgerPlace
from earwitness.store.deletion_schema import backups, ledger_places
from earwitness.store.hot_reads import StoredRow
from earwitness.store.repository import Reader, Writer, record

_IS_THERE = backups.c.deleted_at.is_(None)


class BackupReader(Reader):
    """What can be read of backups."""

    def list(self) -> tuple[BackupRecord, ...]:
        """Return all that were made, those that were deleted too, oldest first."""
        rows = self._session.rows(select(backups).order_by(backups.c.created_at, backups.c.backup_id))
        return tuple(_backup(row) for row in rows)

    def holding(self, before: datetime) -> tuple[BackupRecord, ...]:
        """Return those which are there and were made before this time: they hold what was deleted then.

        Certificates name them, and when the last of them expires.
        """
        older = select(backups).where(_IS_THERE, backups.c.created_at <= before)
        rows = self._session.rows(older.order_by(backups.c.created_at, backups.c.backup_id))
        return tuple(_backup(row) for row in rows)

    def oldest(self) -> BackupRecord | None:
        """Return the oldest that is there, or None."""
        return self._one(_backup, select(backups).where(_IS_THERE).order_by(backups.c.created_at).limit(1))

    def places(self) -> tuple[LedgerPlace, ...]:
        """Return all places where a ledger is kept."""
        return tuple(
            record(LedgerPlace, row)
            for row in self._session.rows(select(ledger_places).order_by(ledger_places.c.place))
        )


class BackupWriter(Writer, BackupReader):
    """What can be changed of backups."""

    def add(self, backup: BackupRecord) -> None:
        """Keep that a backup was made, or is about to be: one that may exist is counted as one that does."""
        self._insert(backups, backup, with_media=int(backup.with_media))

    def set_deleted(self, backup_id: str) -> bool:
        """Note that a backup is no longer there; False when it was not."""
        return self._update(backups, backups.c.backup_id == backup_id, _IS_THERE, deleted_at=self._now) == 1

    def forget(self, *, deleted_before: datetime) -> int:
        """Remove what is noted of backups that were deleted before this time; return how many there were."""
        return self._delete(backups, backups.c.deleted_at < deleted_before)

    def add_place(self, place: str, *, ledger: str) -> str:
        """Keep a ledger at a place from now on, and return its name; where one is kept already, that stays as it is.

        `ledger` is its name unless there are others of these records, which all have one.
        """
        known = self.places()
        name = known[0].ledger if known else ledger
        row = {"place": place, "ledger": name, "position": 0, "created_at": self._now}
        self._writing.session.insert_new(ledger_places, row)
        return name

    def begin_ledger(self, ledger: str) -> None:
        """Begin a ledger of another name at all places, because these records do not know how the former goes on."""
        self._update(ledger_places, ledger=ledger, position=0, told_at=None)

    def told(self, place: str, *, position: int) -> None:
        """Note that the ledger at a place has everything up to a position."""
        values = {"position": position, "told_at": self._now, "last_error": None}
        self._update(ledger_places, ledger_places.c.place == place, **values)

    def not_told(self, place: str, *, reason: str) -> None:
        """Note why nothing could be written at a place."""
        self._update(ledger_places, ledger_places.c.place == place, last_error=reason)

    def remove_place(self, place: str) -> bool:
        """Keep no ledger at a place any more; False when none was kept there."""
        return self._delete(ledger_places, ledger_places.c.place == place) == 1


def _backup(row: StoredRow) -> BackupRecord:
    return record(BackupRecord, row, with_media=bool(row["with_media"]))
