"""What imports have left that did not come to their end: marks of domains, and deleting what is marked.

A domain has the tag IMPORTING until the last batch is written: which archive, which run, and whether the domain was
there before. Only what an import has written is deleted; a voice that was enrolled meanwhile stays.
"""

from collections.abc import Callable, Set
from functools import partial
from typing import TypeAlias
from uuid import UUID, uuid5

from earwitness.errors import Conflict
from earwitness.store.records import PageKey, Scope, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.tasks.judged_archive import IMPORTING, Judged

INTO = " into"
"""At the end of the mark of a domain that was there before the import."""

PROFILES_AT_ONCE = 100

WRITER = "earwitness domains import"

GiveTurn: TypeAlias = Callable[[], object]
"""Called between batches, for others to have their turn."""


def archive_mark(judged: Judged) -> str:
    """Return how marks of imports of this archive begin."""
    return judged.digest[:32]


def new_profile_id(profile_id: str, judged: Judged, domain: VoiceProfileDomain) -> str:
    """Return the new id of a profile of the export in a domain: always the same, so that what an import has written can
    be told from what was enrolled meanwhile."""
    return f"vp-{uuid5(UUID(archive_mark(judged)), f'{domain.domain_id} {profile_id}')}"


def imported_consent_id(consent_id: str, judged: Judged, *, has_new_ids: bool) -> str:
    """Return the id that a consent of the export gets: its own, or a new one, which is always the same for this export,
    so that what an import has left can be told from what was there before."""
    return f"consent-{uuid5(UUID(archive_mark(judged)), consent_id)}" if has_new_ids else consent_id


def require_mark(unit: Unit, scope: Scope, domain: VoiceProfileDomain, mark: str) -> None:
    """Lock the domain. Raise Conflict where it is not marked as this run's any more."""
    if unit.domains.lock(scope, domain.domain_id) is None or _mark_of(unit, scope, domain) != mark:
        raise Conflict(
            "the domain was deleted, or another import of this file began meanwhile and has deleted what this one had "
            "written; see what that one says before you begin again"
        )


def _mark_of(unit: Unit, scope: Scope, domain: VoiceProfileDomain) -> str | None:
    return unit.tags.list(scope, domain.arn).get(IMPORTING)


class Leftovers:
    """What imports of an archive have written that did not come to their end: of this run, or of one that was killed.

    It goes in batches, as it came, so that a service beside it has its turn.
    """

    def __init__(self, store: Store, judged: Judged, scope: Scope) -> None:
        self._store, self._judged, self._scope = store, judged, scope

    def delete(self, pause: GiveTurn) -> None:
        """Delete what is left of former imports of this archive."""
        after = None
        while True:
            page = self._store.domains.list(self._scope, after=after, limit=100)
            for domain in page.items:
                mark = self._store.tags.list(self._scope, domain.arn).get(IMPORTING, "")
                if mark.startswith(archive_mark(self._judged)):
                    self.undo(domain, mark, pause)
            after = page.next_key
            if after is None:
                return

    def undo(self, domain: VoiceProfileDomain, mark: str, pause: GiveTurn) -> None:
        """Delete what a run has written, and the domain that it made unless there is more in it by now; nothing where
        another run has marked the domain."""
        if not mark.endswith(INTO) and self._store.write(lambda unit: self._delete_domain(unit, domain, mark)):
            return
        ours, after = self._ids(domain), None
        while True:
            batch = partial(self._delete_profiles, domain=domain, mark=mark, ours=ours, after=after)
            after = self._store.write(batch)
            if after is None:
                break
            pause()
        self._store.write(lambda unit: self._release(unit, domain, mark))

    def _ids(self, domain: VoiceProfileDomain) -> Set[str]:
        """Return the ids that imports of this archive give to profiles in a domain."""
        own = self._judged.profiles
        return own | {new_profile_id(one, self._judged, domain) for one in own}

    def _delete_domain(self, unit: Unit, domain: VoiceProfileDomain, mark: str) -> bool:
        """Delete a domain that an import made; False when somebody has enrolled a voice in it."""
        if not self._holds(unit, domain, mark):
            return True
        ours, after = self._ids(domain), None
        while True:
            page = unit.profiles.list(self._scope, domain.domain_id, after=after, limit=1_000)
            if any(one.profile_id not in ours for one in page.items):
                return False
            after = page.next_key
            if after is None:
                break
        unit.domains.delete(self._scope, domain.domain_id)
        audit_import(unit, self._scope, "ImportDomain", domain.arn, "undone")
        return True

    def _delete_profiles(
        self, unit: Unit, *, domain: VoiceProfileDomain, mark: str, ours: Set[str], after: PageKey | None
    ) -> PageKey | None:
        """Delete those of a page of profiles that an import has written; return where the next page begins."""
        if not self._holds(unit, domain, mark):
            return None
        page = unit.profiles.list(self._scope, domain.domain_id, after=after, limit=PROFILES_AT_ONCE)
        for profile in page.items:
            if profile.profile_id in ours:
                unit.profiles.delete(self._scope, profile.profile_id)
        return page.next_key

    def _release(self, unit: Unit, domain: VoiceProfileDomain, mark: str) -> None:
        """Delete the consents that an import has recorded; those that were there before stay. Then the domain is as it
        was."""
        if not self._holds(unit, domain, mark):
            return
        ids = {imported_consent_id(one, self._judged, has_new_ids=True) for one in self._judged.consents}
        if not mark.endswith(INTO):
            ids |= self._judged.consents
        unit.consents.delete_ids(self._scope, domain.domain_id, ids)
        unit.tags.remove(self._scope, domain.arn, [IMPORTING])
        audit_import(unit, self._scope, "ImportDomain", domain.arn, "undone")

    def _holds(self, unit: Unit, domain: VoiceProfileDomain, mark: str) -> bool:
        """Lock the domain; return whether it is there and marked so."""
        is_there = unit.domains.lock(self._scope, domain.domain_id) is not None
        return is_there and _mark_of(unit, self._scope, domain) == mark


def audit_import(unit: Unit, scope: Scope, operation: str, arn: str, outcome: str) -> None:
    unit.audit.append(scope, key_id=WRITER, operation=operation, resource_arn=arn, outcome=outcome, request_id="")
