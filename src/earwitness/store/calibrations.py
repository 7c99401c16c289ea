"""The calibrations that domains have had. The latest version is in use; going back is a new version.

A domain without any version, and one whose latest has no document, is searched by the service's own calibration.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime

from earwitness.errors import Conflict, NotFound
from earwitness.store.calibration_schema import calibration_versions
from earwitness.store.domains import DomainWriter
from earwitness.store.hot_reads import StoredRow
from earwitness.store.records import Scope
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, scope_of, select_in_scope

VERSIONS_MAX = 20
"""Versions that are kept of one domain; the oldest go first."""

DOCUMENT_BYTES_MAX = 65_536
"""Of one calibration as it is kept. Those that are shipped have 5 KB."""

_NUMBER = calibration_versions.c.number


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationVersion:
    """What a domain was searched by from a time on."""

    #: Counts up within the domain.
    number: int
    #: As answers name it; None for the service's own.
    calibration_id: str | None
    #: What it was fitted for: encoder, band and compensation. None for the service's own.
    encoder_id: str | None
    #: The key that installed it, or went back to it.
    key_id: str
    created_at: datetime
    #: The calibration as JSON; None for the service's own.
    document: bytes | None = field(repr=False)


class CalibrationReader(Reader):
    """What can be read of calibrations."""

    def current(self, scope: Scope, domain_id: str) -> CalibrationVersion | None:
        """Return the version that is in use; None when there never was one: the service's own is in use."""
        theirs = select_in_scope(calibration_versions, scope, domain_id=domain_id)
        return self._one(self._version, theirs.order_by(_NUMBER.desc()).limit(1))

    def versions(self, scope: Scope, domain_id: str) -> tuple[CalibrationVersion, ...]:
        """Return all versions that are kept, the latest first; that one is in use."""
        theirs = select_in_scope(calibration_versions, scope, domain_id=domain_id).order_by(_NUMBER.desc())
        return tuple(self._version(row) for row in self._session.rows(theirs))

    def _version(self, row: StoredRow) -> CalibrationVersion:
        document = None
        if row["document_ciphertext"] is not None:
            scope, domain_id = scope_of(row), row["domain_id"]
            key = self._require_domain_key(scope, domain_id)
            document = RowSeal(key, calibration_versions, scope, domain_id, str(row["number"])).open(
                row, "document_ciphertext"
            )
        return record(CalibrationVersion, row, document=document)


class CalibrationWriter(Writer, CalibrationReader):
    """What can be changed of calibrations. Each change locks the domain first: two at once come one after the other."""

    def install(
        self,
        scope: Scope,
        domain_id: str,
        *,
        calibration_id: str,
        encoder_id: str,
        document: bytes,
        key_id: str,
        seen: int | None = None,
    ) -> CalibrationVersion:
        """Return the version that is in use from now on; what is in use already stays as it is.

        `seen` is the number of the version that whoever decides this has looked at, 0 for none. Raise Conflict when
        another is in use by now, NotFound without the domain.
        """
        before = self._locked(scope, domain_id, seen)
        return self._append(scope, domain_id, before, calibration_id, encoder_id, document, key_id=key_id)

    def use_service(
        self, scope: Scope, domain_id: str, *, key_id: str, seen: int | None = None
    ) -> CalibrationVersion | None:
        """Go back to the service's own calibration; errors as of `install`. None where no other ever was in use."""
        before = self._locked(scope, domain_id, seen)
        return None if before is None else self._append(scope, domain_id, before, None, None, None, key_id=key_id)

    def use_again(
        self, scope: Scope, domain_id: str, calibration_id: str, *, key_id: str, seen: int | None = None
    ) -> CalibrationVersion | None:
        """Go back to a calibration of an earlier version; errors as of `install`. None when there is no such."""
        before = self._locked(scope, domain_id, seen)
        for one in self.versions(scope, domain_id):
            if one.calibration_id == calibration_id:
                again = one.calibration_id, one.encoder_id, one.document
                return self._append(scope, domain_id, before, *again, key_id=key_id)
        return None

    def _locked(self, scope: Scope, domain_id: str, seen: int | None) -> CalibrationVersion | None:
        """Return the version in use, which nobody else changes before this unit ends."""
        if DomainWriter(self._writing).lock(scope, domain_id) is None:
            raise NotFound("the voice profile domain does not exist, or was deleted; look at its id")
        before = self.current(scope, domain_id)
        if seen is not None and seen != (0 if before is None else before.number):
            raise Conflict("another calibration was installed meanwhile; look at what is in use now, and decide again")
        return before

    def _append(
        self,
        scope: Scope,
        domain_id: str,
        before: CalibrationVersion | None,
        calibration_id: str | None,
        encoder_id: str | None,
        document: bytes | None,
        *,
        key_id: str,
    ) -> CalibrationVersion:
        """Have a calibration be used from now on; `before` is the version in use, and locked."""
        if before is not None and before.calibration_id == calibration_id:
            return before
        made = CalibrationVersion(
            number=1 if before is None else before.number + 1,
            calibration_id=calibration_id,
            encoder_id=encoder_id,
            key_id=key_id,
            created_at=self._now,
            document=document,
        )
        key = self._require_domain_key(scope, domain_id)
        seal = RowSeal(key, calibration_versions, scope, domain_id, str(made.number)).seal(document_ciphertext=document)
        self._insert(calibration_versions, made, **asdict(scope), domain_id=domain_id, **seal)
        theirs = in_scope(calibration_versions, scope, domain_id=domain_id)
        self._delete(calibration_versions, theirs, made.number - VERSIONS_MAX >= _NUMBER)
        return made
