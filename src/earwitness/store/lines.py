"""What domains learn of their lines: votes for a while, versions for good, and how strangers have scored lately.

Every change locks the domain first, as all changes of voiceprints do, so two that vote at once see each other, and a
vote never outlives the deletion of its profile.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select

from earwitness.errors import NotFound
from earwitness.store.domains import DomainWriter
from earwitness.store.hot_reads import StoredRow
from earwitness.store.records import LineMonitor, LineVersion, LineVote, Scope, VoiceProfileDomain
from earwitness.store.repository import Reader, RowSeal, Writer, in_scope, record, scope_of, select_in_scope
from earwitness.store.schema import (
    line_monitors,
    line_switches,
    line_versions,
    line_votes,
    profile_voiceprints,
    profiles,
    tasks,
)
from earwitness.voice.deletion import DeletionKind
from earwitness.voice.line import Codec, LineChange, LineHealth, LineLearning

_NUMBER = line_versions.c.number


class LineReader(Reader):
    """What can be read of lines."""

    def learning(self, scope: Scope, domain_id: str) -> LineLearning | None:
        """Return whether the domain was told to learn its lines; None when it was not told, or does not exist."""
        row = self._session.row(select_in_scope(line_switches, scope, domain_id=domain_id))
        return None if row is None else row["learning"]

    def current(self, scope: Scope, domain_id: str, codec: Codec) -> LineVersion | None:
        """Return the latest version of a line; None when there never was one."""
        theirs = select_in_scope(line_versions, scope, domain_id=domain_id, codec=codec)
        return self._one(self._version, theirs.order_by(_NUMBER.desc()).limit(1))

    def version(self, scope: Scope, domain_id: str, codec: Codec, number: int) -> LineVersion | None:
        """Return a version of a line, or None."""
        chosen = select_in_scope(line_versions, scope, domain_id=domain_id, codec=codec, number=number)
        return self._one(self._version, chosen)

    def versions(self, scope: Scope, domain_id: str) -> tuple[LineVersion, ...]:
        """Return all versions of the lines of a domain, by codec, the latest first."""
        theirs = select_in_scope(line_versions, scope, domain_id=domain_id)
        rows = self._session.rows(theirs.order_by(line_versions.c.codec, _NUMBER.desc()))
        return tuple(self._version(row) for row in rows)

    def votes(self, scope: Scope, domain_id: str, codec: Codec) -> tuple[LineVote, ...]:
        """Return the voices that voted on a line and are kept, oldest first; its present version counts the first."""
        rows = self._session.rows(
            select_in_scope(line_votes, scope, domain_id=domain_id, codec=codec).order_by(line_votes.c.number)
        )
        if not rows:
            return ()
        key = self._require_domain_key(scope, domain_id)

        def vote(row: StoredRow) -> LineVote:
            seal = RowSeal(key, line_votes, scope, domain_id, codec, str(row["number"]))
            return record(LineVote, row, vector=seal.open(row, "vector_ciphertext"))

        return tuple(vote(row) for row in rows)

    def vote_counts(self, scope: Scope, domain_id: str) -> dict[Codec, int]:
        """Return how many votes the lines of a domain have at present; of lines without any, nothing."""
        codec = line_votes.c.codec
        counted = select(codec, func.count().label("votes")).where(in_scope(line_votes, scope, domain_id=domain_id))
        return {row["codec"]: row["votes"] for row in self._session.rows(counted.group_by(codec))}

    def codecs(self, scope: Scope, domain_id: str) -> set[Codec]:
        """Return the lines of a domain: whatever was learnt or watched of them."""
        return {
            row["codec"]
            for table in (line_votes, line_versions, line_monitors)
            for row in self._session.rows(
                select(table.c.codec).where(in_scope(table, scope, domain_id=domain_id)).distinct()
            )
        }

    def monitor(self, scope: Scope, domain_id: str, codec: Codec) -> LineMonitor | None:
        """Return how strangers have scored on a line lately; None before the first search."""
        row = self._session.row(select_in_scope(line_monitors, scope, domain_id=domain_id, codec=codec))
        return None if row is None else record(LineMonitor, row)

    def monitors(self, scope: Scope, domain_id: str) -> tuple[LineMonitor, ...]:
        """Return the same for all lines of a domain, by codec."""
        theirs = select_in_scope(line_monitors, scope, domain_id=domain_id).order_by(line_monitors.c.codec)
        return tuple(record(LineMonitor, row) for row in self._session.rows(theirs))

    def health(self, scope: Scope, domain_ids: Sequence[str]) -> dict[str, LineHealth]:
        """Return whether the lines of domains are well: off where one of them is; nothing before the first search."""
        theirs = in_scope(line_monitors, scope) & line_monitors.c.domain_id.in_(domain_ids)
        rows = self._session.rows(select(line_monitors.c.domain_id, line_monitors.c.health).where(theirs))
        found: dict[str, set[LineHealth]] = {}
        for row in rows:
            found.setdefault(row["domain_id"], set()).add(LineHealth(row["health"]))
        worst_first = (LineHealth.OFF, LineHealth.WELL, LineHealth.TOO_FEW)
        return {domain_id: next(one for one in worst_first if one in said) for domain_id, said in found.items()}

    def encoders(self, scope: Scope, domain_id: str) -> dict[str, int]:
        """Return how many voiceprints of profiles a domain has, by what made them."""
        made_by = profile_voiceprints.c.encoder_id
        theirs = in_scope(profile_voiceprints, scope, domain_id=domain_id)
        counted = select(made_by, func.count().label("voiceprints")).where(theirs).group_by(made_by)
        return {row["encoder_id"]: row["voiceprints"] for row in self._session.rows(counted)}

    def _version(self, row: StoredRow) -> LineVersion:
        return record(LineVersion, row, mean=self._mean(row))

    def _mean(self, row: StoredRow) -> bytes | None:
        if row["mean_ciphertext"] is None:
            return None
        scope, domain_id = scope_of(row), row["domain_id"]
        key = self._require_domain_key(scope, domain_id)
        seal = RowSeal(key, line_versions, scope, domain_id, row["codec"], str(row["number"]))
        return seal.open(row, "mean_ciphertext")


class LineWriter(Writer, LineReader):
    """What can be changed of lines. `lock` comes first."""

    def lock(self, scope: Scope, domain_id: str) -> VoiceProfileDomain:
        """Return the domain, which nobody else changes before this unit ends; raise NotFound when there is none.

        Lock it before a task of it, as a deletion does, so that no two wait for each other.
        """
        domain = DomainWriter(self._writing).lock(scope, domain_id)
        if domain is None:
            raise NotFound("the voice profile domain does not exist, or was deleted; look at its id")
        return domain

    def switch(self, scope: Scope, domain_id: str, learning: LineLearning) -> None:
        """Tell the domain whether to learn its lines. Off deletes the votes; what was learnt stays in use."""
        theirs = in_scope(line_switches, scope, domain_id=domain_id)
        self._delete(line_switches, theirs)
        row = {"domain_id": domain_id, "learning": learning, "updated_at": self._now}
        self._writing.session.insert_new(line_switches, {**asdict(scope), **row})
        if learning is LineLearning.OFF:
            self._forget(scope, domain_id)

    def vote(
        self,
        scope: Scope,
        domain_id: str,
        codec: Codec,
        *,
        encoder_id: str,
        vector: bytes,
        net_speech_seconds: float,
        profile_id: str | None,
        task_id: str | None,
        subject_digest: bytes | None = None,
        after: datetime | None = None,
    ) -> None:
        """Keep a voice that the line is learnt from. Not that of a profile that was deleted since it was found.

        `after` is when the present version of the line was learnt. The vote is dated after it, although this unit may
        have begun before it and waited for the domain: votes are counted since the present version.
        """
        if profile_id is not None and not self._count(profiles, in_scope(profiles, scope, profile_id=profile_id)):
            return
        line = {"domain_id": domain_id, "codec": codec}
        row = self._session.row(
            select(func.max(line_votes.c.number).label("number")).where(in_scope(line_votes, scope, **line))
        )
        number = 1 if row is None or row["number"] is None else row["number"] + 1
        seal = RowSeal(self._require_domain_key(scope, domain_id), line_votes, scope, domain_id, codec, str(number))
        values = {
            **asdict(scope),
            **line,
            "number": number,
            "encoder_id": encoder_id,
            "net_speech_seconds": net_speech_seconds,
            "profile_id": profile_id,
            "task_id": task_id,
            "subject_digest": subject_digest,
            "created_at": self._now if after is None else max(self._now, after + timedelta(milliseconds=1)),
            **seal.seal(vector_ciphertext=vector),
        }
        self._writing.session.insert_new(line_votes, values)

    def learn(
        self, scope: Scope, domain_id: str, codec: Codec, *, encoder_id: str, mean: bytes, voices: int
    ) -> LineVersion:
        """Return the version that the line has from now on. Votes stay, so that nobody who voted votes again."""
        return self._append(scope, domain_id, codec, LineChange.LEARNT, encoder_id=encoder_id, mean=mean, voices=voices)

    def reset(self, scope: Scope, domain_id: str, codec: Codec, *, key_id: str) -> LineVersion:
        """Return a version without a mean, from which the line is learnt anew. Votes and what was watched are gone."""
        self._begin_anew(scope, domain_id, codec)
        return self._append(scope, domain_id, codec, LineChange.RESET, key_id=key_id)

    def revert(self, scope: Scope, domain_id: str, codec: Codec, number: int, *, key_id: str) -> LineVersion | None:
        """Return a version with the mean of an earlier one; None when there is no such. Votes are gone."""
        earlier = self.version(scope, domain_id, codec, number)
        if earlier is None:
            return None
        self._begin_anew(scope, domain_id, codec)
        return self._append(
            scope,
            domain_id,
            codec,
            LineChange.REVERTED,
            encoder_id=earlier.encoder_id,
            mean=earlier.mean,
            voices=earlier.voices,
            reverted_to=number,
            key_id=key_id,
        )

    def watch(self, scope: Scope, domain_id: str, monitor: LineMonitor) -> None:
        """Keep how strangers have scored on a line, in place of what was kept before."""
        kept = in_scope(line_monitors, scope, domain_id=domain_id, codec=monitor.codec)
        if not self._update(line_monitors, kept, **asdict(monitor)):
            self._insert(line_monitors, monitor, **asdict(scope), domain_id=domain_id)

    def forget_votes(self, scope: Scope, domain_id: str, codec: Codec) -> None:
        """Delete the votes of a line, from the files as well."""
        self._forget(scope, domain_id, line_votes.c.codec == codec)

    def forget_profile(self, scope: Scope, domain_id: str, profile_id: str) -> None:
        """Delete the votes of the voice of a profile: whom a search named so, and whose task it was made from."""
        made_from = select(profile_voiceprints.c.source_task_id).where(
            in_scope(profile_voiceprints, scope, profile_id=profile_id),
            profile_voiceprints.c.source_task_id.is_not(None),
        )
        created = select(tasks.c.task_id).where(in_scope(tasks, scope, domain_id=domain_id, profile_id=profile_id))
        votes = line_votes.c
        theirs = or_(votes.profile_id == profile_id, votes.task_id.in_(made_from), votes.task_id.in_(created))
        self._forget(scope, domain_id, theirs)

    def purge_votes(self, *, cast_before: datetime, limit: int) -> int:
        """Delete at most `limit` votes of all accounts that were cast by this time or an earlier one, the oldest first.

        Return how many there were.
        """
        votes = line_votes.c
        key = votes.account_id, votes.region, votes.domain_id, votes.codec, votes.number
        due = select(*key).where(votes.created_at <= cast_before).order_by(votes.created_at).limit(limit)
        rows = self._session.rows(due.with_for_update(skip_locked=True))
        for row in rows:
            one = {column.name: row[column.name] for column in key[2:]}
            self._delete(line_votes, in_scope(line_votes, scope_of(row), **one))
            self._note_vote(scope_of(row), row["domain_id"], row)
        if rows:
            self._writing.session.scrub()
        return len(rows)

    def _append(
        self,
        scope: Scope,
        domain_id: str,
        codec: Codec,
        why: LineChange,
        *,
        encoder_id: str | None = None,
        mean: bytes | None = None,
        voices: int = 0,
        reverted_to: int | None = None,
        key_id: str | None = None,
    ) -> LineVersion:
        before = self.current(scope, domain_id, codec)
        made = LineVersion(
            codec=codec,
            number=1 if before is None else before.number + 1,
            why=why,
            voices=voices,
            encoder_id=encoder_id,
            reverted_to=reverted_to,
            key_id=key_id,
            created_at=self._now,
            mean=mean,
        )
        key = self._require_domain_key(scope, domain_id)
        seal = RowSeal(key, line_versions, scope, domain_id, codec, str(made.number)).seal(mean_ciphertext=mean)
        self._insert(line_versions, made, **asdict(scope), domain_id=domain_id, **seal)
        return made

    def _begin_anew(self, scope: Scope, domain_id: str, codec: Codec) -> None:
        self.forget_votes(scope, domain_id, codec)
        self._delete(line_monitors, in_scope(line_monitors, scope, domain_id=domain_id, codec=codec))

    def _forget(self, scope: Scope, domain_id: str, *which: ColumnElement[bool]) -> int:
        """Delete votes of a domain, from the files as well; return how many."""
        theirs = delete(line_votes).where(in_scope(line_votes, scope, domain_id=domain_id), *which)
        gone = self._writing.session.taken(theirs.returning(line_votes.c.codec, line_votes.c.number))
        for row in gone:
            self._note_vote(scope, domain_id, row)
        if gone:
            self._writing.session.scrub()
        return len(gone)

    def _note_vote(self, scope: Scope, domain_id: str, row: StoredRow) -> None:
        # A number may be given again once the last ones are gone: in a backup, it is of the vote that was there then,
        # which is gone too when a later one of its number is.
        self._writing.note_deleted(scope, DeletionKind.VOTE, domain_id, row["codec"], str(row["number"]))
