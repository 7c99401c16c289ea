"""Consents: recorded for a subject in a domain, required by domains, looked at wherever a voice is searched or kept.

A subject is found by a keyed digest of its reference. Whoever looks whether a subject has consented, and whoever
withdraws, lock the subject first, before any domain: so nothing begins for a subject beside its withdrawal.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import uuid4

from sqlalchemy import ColumnElement, select

from earwitness.errors import BadRequest, ConsentMissing, LimitExceeded, NotFound
from earwitness.store.columns import from_json, to_json
from earwitness.store.consent_schema import consent_rules, consents, withdrawn_subjects
from earwitness.store.deletions import DeletionReader, identity_digest
from earwitness.store.hot_reads import StoredRow
from earwitness.store.records import Scope, VoiceProfile
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, select_in_scope
from earwitness.store.schema import profiles, tasks
from earwitness.vault.data_key import DataKey
from earwitness.voice.consent import (
    TEXT_CHARACTERS_MAX,
    CarriedConsent,
    ConsentRequirement,
    ConsentTerms,
    ConsentUse,
    needs_consent,
)
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.task_status import StopReason

CONSENTS_MAX = 100
"""Of one subject in one domain: a new one with each version of the text, for many years."""

_IDS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """A consent, or the evidence reference of an enrolment."""

    consent_id: str
    domain_id: str
    #: The profile that it was given for; None for one that was recorded by itself.
    profile_id: str | None
    terms: ConsentTerms = field(repr=False)
    created_at: datetime


def subject_digest(key: DataKey, scope: Scope, subject: str) -> bytes:
    """Return what a subject is found by: equal for equal references of an account and Region."""
    return key.digest("\0".join(("subject of a consent", scope.account_id, scope.region, subject)).encode())


def consent_terms(key: DataKey, scope: Scope, row: StoredRow) -> ConsentTerms:
    """Return what is sealed in a row that has the columns of a consent. Raise CiphertextRefused for a damaged one."""
    seal = RowSeal(key, consents, scope, row["domain_id"], row["consent_id"])
    return ConsentTerms.of_document(from_json(seal.open(row, "terms_ciphertext").decode()))


@dataclass(frozen=True, slots=True)
class TaskSpeaker:
    """For whom a task was started."""

    #: What the subject is found by; None when the task named none.
    subject_digest: bytes | None


class ConsentReader(Reader):
    """What can be read of consents."""

    def requirement(self, scope: Scope, domain_id: str) -> ConsentRequirement:
        """Return what needs a consent in a domain."""
        return self.requirements(scope, [domain_id]).get(domain_id, ConsentRequirement.NONE)

    def requirements(self, scope: Scope, domain_ids: Sequence[str]) -> dict[str, ConsentRequirement]:
        """Return the same for several domains; of those that were told nothing, nothing."""
        columns = consent_rules.c
        chosen = in_scope(consent_rules, scope) & columns.domain_id.in_(domain_ids)
        rows = self._session.rows(select(columns.domain_id, columns.required).where(chosen))
        return {row["domain_id"]: row["required"] for row in rows}

    def of_subject(self, scope: Scope, digest: bytes) -> tuple[Consent, ...]:
        """Return the consents of a subject in all domains, oldest first."""
        return self._consents(scope, consents.c.subject_digest == digest)

    def of_profile(self, scope: Scope, profile_id: str) -> tuple[Consent, ...]:
        """Return the consents that were given for a profile, and those of its subject in its domain; oldest first."""
        row = self._session.row(select_in_scope(profiles, scope, profile_id=profile_id))
        if row is None:
            return ()
        theirs: ColumnElement[bool] = consents.c.profile_id == profile_id
        if row["subject_digest"] is not None:
            of_subject = (consents.c.subject_digest == row["subject_digest"]) & consents.c.profile_id.is_(None)
            theirs |= of_subject & (consents.c.domain_id == row["domain_id"])
        return self._consents(scope, theirs)

    def withdrawn_at(self, scope: Scope, digest: bytes) -> datetime | None:
        """Return when a subject withdrew its consents last; None when it never did."""
        row = self._session.row(select_in_scope(withdrawn_subjects, scope, subject_digest=digest))
        return None if row is None else row["withdrawn_at"]

    def withdrawn_among(self, scope: Scope, digests: Collection[bytes]) -> set[bytes]:
        """Return those of these subjects that ever withdrew their consents."""
        column = withdrawn_subjects.c.subject_digest
        rows = self._session.rows(
            select(column).where(in_scope(withdrawn_subjects, scope), column.in_(sorted(digests)))
        )
        return {row["subject_digest"] for row in rows}

    def speaker_of(self, scope: Scope, task_id: str) -> TaskSpeaker | None:
        """Return for whom a task was started; None when it is gone, or was stopped by a withdrawal."""
        columns = tasks.c.subject_digest, tasks.c.stop_reason
        row = self._session.row(select(*columns).where(in_scope(tasks, scope, task_id=task_id)))
        if row is None or row["stop_reason"] == StopReason.CONSENT_WITHDRAWN:
            return None
        return TaskSpeaker(subject_digest=row["subject_digest"])

    def _consents(self, scope: Scope, *chosen: ColumnElement[bool]) -> tuple[Consent, ...]:
        order = consents.c.created_at, consents.c.consent_id
        rows = self._session.rows(select(consents).where(in_scope(consents, scope), *chosen).order_by(*order))
        return tuple(self._consent(scope, row) for row in rows)

    def _consent(self, scope: Scope, row: StoredRow) -> Consent:
        terms = consent_terms(self._require_domain_key(scope, row["domain_id"]), scope, row)
        return record(Consent, row, terms=terms)


class ConsentWriter(Writer, ConsentReader):
    """What can be changed of consents."""

    def withdrawn_at(self, scope: Scope, digest: bytes) -> datetime | None:
        """Return when a subject withdrew its consents last; by the deletions too, for a backup that was restored: of a
        subject of which nothing came back with it, a withdrawal made after the backup is known by them alone."""
        known = identity_digest(self._writing.digest_key, scope, DeletionKind.SUBJECT, (digest.hex(),))
        found = DeletionReader(self._session, self._vault).of_thing(scope, known)
        noted = super().withdrawn_at(scope, digest)
        return max((*(one.created_at for one in found), *(() if noted is None else (noted,))), default=None)

    def require_by(self, scope: Scope, domain_id: str, required: ConsentRequirement) -> None:
        """Say what needs a consent in a domain, from now on. Raise NotFound without the domain."""
        self._require_domain_key(scope, domain_id, lock=True)
        self._delete(consent_rules, in_scope(consent_rules, scope, domain_id=domain_id))
        row = {"domain_id": domain_id, "required": required, "updated_at": self._now}
        self._writing.session.insert_new(consent_rules, {**asdict(scope), **row})

    def record(
        self,
        scope: Scope,
        domain_id: str,
        terms: ConsentTerms,
        *,
        profile_id: str | None = None,
        consent_id: str | None = None,
    ) -> Consent:
        """Keep a complete consent, or return the one that says the same; link a profile that it is for to its subject.
        A new one gets an id that nobody has, or the one that is given.

        Raise BadRequest when something is missing or out of its limits; ConsentMissing when the subject has withdrawn
        since it was given; LimitExceeded when there are CONSENTS_MAX already; NotFound without the domain or profile.
        """
        terms = terms.checked(now=self._now)
        if terms.subject is None or terms.given_at is None or terms.missing:
            raise BadRequest(f"the consent lacks its {', '.join(terms.missing)}; a consent has all of them")
        digest = self.lock(scope, terms.subject)
        withdrawn_at = self.withdrawn_at(scope, digest)
        if withdrawn_at is not None and terms.given_at <= withdrawn_at:
            raise ConsentMissing(
                "the person has withdrawn since this consent was given; only one that is given after that counts"
            )
        self._require_domain_key(scope, domain_id, lock=True)
        if profile_id is not None:
            self._link(scope, domain_id, profile_id, digest)
        before = [one for one in self.of_subject(scope, digest) if one.domain_id == domain_id]
        same = next((one for one in before if one.terms == terms), None)
        if same is not None:
            return same
        if len(before) >= CONSENTS_MAX:
            raise LimitExceeded(f"there are {CONSENTS_MAX} consents of this person in the domain, which is the most")
        return self._keep(scope, domain_id, terms, digest=digest, profile_id=None, consent_id=consent_id)

    def delete_ids(self, scope: Scope, domain_id: str, consent_ids: Collection[str]) -> None:
        """Delete those of these consents that a domain has, from the files as well."""
        chosen, ids = in_scope(consents, scope, domain_id=domain_id), sorted(consent_ids)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            if self._delete(consents, chosen, consents.c.consent_id.in_(ids[start : start + _IDS_AT_ONCE])):
                self._writing.session.scrub()

    def keep_reference(self, scope: Scope, profile: VoiceProfile, evidence: str) -> str:
        """Keep the evidence reference of an enrolment with its profile; return the id of the consent that has it.

        Raise BadRequest when it is too long.
        """
        terms = ConsentTerms(evidence=evidence)
        if len(evidence) > TEXT_CHARACTERS_MAX:
            raise BadRequest(f"a consent reference has at most {TEXT_CHARACTERS_MAX} characters; give a shorter one")
        return self._keep(scope, profile.domain_id, terms, digest=None, profile_id=profile.profile_id).consent_id

    def lock(self, scope: Scope, subject: str) -> bytes:
        """Return what a subject is found by; nobody else looks at its consents before this unit ends."""
        digest = subject_digest(self._writing.digest_key, scope, subject)
        self.lock_digest(digest)
        return digest

    def lock_digest(self, digest: bytes) -> None:
        """Let nobody else look at a subject's consents before this unit ends. It comes before the lock of a domain."""
        self._writing.session.lock(f"consents of {digest.hex()}")

    def take(self, scope: Scope, domain_id: str, carried: CarriedConsent, *, use: ConsentUse) -> bytes | None:
        """Record the consent that comes with a request, if it is complete, and require what the domain does.

        Return what the subject is found by; None when none was named. Raise as `record` and `require` do, and
        BadRequest for what says more than a subject and less than a consent, NotFound for an id of none.
        """
        terms = carried.terms
        if carried.consent_id is not None:
            return self._subject_of(scope, domain_id, carried.consent_id)
        if terms.subject is None:
            if terms != ConsentTerms():
                raise BadRequest("a consent names its subject; add it, or leave the rest out")
            self.require(scope, domain_id, None, use=use)
            return None
        if terms.is_complete:
            self.record(scope, domain_id, terms)
        elif terms != ConsentTerms(subject=terms.subject):
            raise BadRequest(
                f"the consent lacks its {', '.join(terms.missing)}; give all of it, or the subject of a recorded one"
            )
        digest = self.lock(scope, str(terms.checked(now=self._now).subject))
        self.require(scope, domain_id, digest, use=use)
        return digest

    def require(self, scope: Scope, domain_id: str, digest: bytes | None, *, use: ConsentUse) -> None:
        """Raise ConsentMissing when a domain needs a consent for this and the locked subject has none there, or when it
        has withdrawn and has not consented anew."""
        required = self.requirement(scope, domain_id)
        if digest is None:
            if needs_consent(required, use):
                raise ConsentMissing(_NO_SUBJECT[use])
            return
        withdrawn_at = self.withdrawn_at(scope, digest)
        if withdrawn_at is None and not needs_consent(required, use):
            return
        given = consents.c.given_at.is_not(None), consents.c.subject_digest == digest
        if self._count(consents, in_scope(consents, scope, domain_id=domain_id), *given):
            return
        if withdrawn_at is not None:
            raise ConsentMissing(
                f"the person has withdrawn the consent ({withdrawn_at:%Y-%m-%d}); nothing is searched or enrolled "
                "until a new one is recorded in this domain (`earwitness consent record`)"
            )
        raise ConsentMissing(
            f"the domain requires a consent for each {use.value} and none of this person is recorded in it: record it "
            "with `earwitness consent record`, or send all of it with the request"
        )

    def subject_of_task(self, scope: Scope, task_id: str) -> bytes | None:
        """Return what the subject of a task is found by, locked; None when the task named none, or is not there."""
        row = self._session.row(select(tasks.c.subject_digest).where(in_scope(tasks, scope, task_id=task_id)))
        digest = None if row is None else row["subject_digest"]
        if digest is not None:
            self.lock_digest(digest)
        return digest

    def require_same(self, scope: Scope, profile_id: str, digest: bytes | None) -> None:
        """Let a profile be of a subject from now on, if one is given. Raise BadRequest when it is another's."""
        if digest is None:
            return
        chosen = in_scope(profiles, scope, profile_id=profile_id)
        row = self._session.row(select(profiles.c.subject_digest).where(chosen))
        if row is not None and row["subject_digest"] not in (None, digest):
            raise BadRequest("the voice profile is of another subject; choose the subject's own, or make a new one")
        self._update(profiles, chosen, subject_digest=digest)

    def _subject_of(self, scope: Scope, domain_id: str, consent_id: str) -> bytes:
        """Return what the subject of a recorded consent is found by, locked. Raise NotFound when there is none."""
        chosen = select_in_scope(consents, scope, domain_id=domain_id, consent_id=consent_id)
        row = self._session.row(chosen)
        if row is not None and row["given_at"] is not None:
            self.lock_digest(row["subject_digest"])
            if self._session.row(chosen) is not None:  # it may have been withdrawn before the lock was had
                return row["subject_digest"]
        raise NotFound("the domain has no consent of this id, or it was withdrawn; record one and give its id")

    def _link(self, scope: Scope, domain_id: str, profile_id: str, digest: bytes) -> None:
        if not self._count(profiles, in_scope(profiles, scope, domain_id=domain_id, profile_id=profile_id)):
            raise NotFound("the domain has no voice profile of this id; look at its id")
        self.require_same(scope, profile_id, digest)

    def _keep(
        self,
        scope: Scope,
        domain_id: str,
        terms: ConsentTerms,
        *,
        digest: bytes | None,
        profile_id: str | None,
        consent_id: str | None = None,
    ) -> Consent:
        kept = Consent(
            consent_id=consent_id or f"consent-{uuid4()}",
            domain_id=domain_id,
            profile_id=profile_id,
            terms=terms,
            created_at=self._now,
        )
        seal = RowSeal(self._require_domain_key(scope, domain_id), consents, scope, domain_id, kept.consent_id)
        self._insert(
            consents,
            kept,
            **asdict(scope),
            subject_digest=digest,
            given_at=terms.given_at if terms.is_complete else None,
            **seal.seal(terms_ciphertext=to_json(terms.as_document()).encode()),
        )
        return kept


_NO_SUBJECT = {
    ConsentUse.SEARCH: "the domain requires a consent for each search and the request names no subject: give "
    "`earwitness:consent:subject` in the pipeline's MediaInsightsRuntimeMetadata, the parameter subject of the "
    "JSON API, or --subject of the command",
    ConsentUse.ENROLMENT: "the domain requires a consent for each enrolment and none names a subject: give "
    "`earwitness:consent:subject` in the MediaInsightsRuntimeMetadata of the pipeline whose task heard the voice, "
    "the parameter subject of the JSON API, or --subject of the command",
}
