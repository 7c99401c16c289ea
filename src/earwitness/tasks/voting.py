"""What a search does to the line that it was made on: it is watched, and a new voice of good quality is a vote.

Everything is written in the transaction that writes the answer of the search, so that a search votes once or never,
whatever is killed or tried again. The domain is locked first: two that vote at once see each other, and no vote of a
profile is written beside its deletion.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from earwitness.engine.engine import Engine, Voice
from earwitness.engine.gallery import Gallery
from earwitness.engine.line import PastMean, a_day_before, is_due, is_new, learn, may_vote
from earwitness.engine.monitor import NO_SCORES, StrangerScores, health
from earwitness.engine.space import Line, Space
from earwitness.metrics.reported import TaskMetrics
from earwitness.store.audit_records import SERVICE
from earwitness.store.records import LineMonitor, LineVersion, LineVote, VoiceProfileDomain
from earwitness.store.store import Store, Unit
from earwitness.tasks.calibrations import calibration_of
from earwitness.tasks.callers import KEPT as CALLERS_KEPT
from earwitness.tasks.callers import WRITTEN_WITHIN, RecentCallers
from earwitness.tasks.galleries import Galleries
from earwitness.tasks.lines import LineName, advice
from earwitness.voice.decision import Decision, Outcome
from earwitness.voice.embedding import Embedding, Vector
from earwitness.voice.line import VOICES_MAX, LineChange, LineHealth, LineLearning
from earwitness.voice.speech import NetSpeech

LEARN_LINE = "LearnLine"
"""The operation of the audit trail when a line has a new version that nobody asked for."""

_log = logging.getLogger("earwitness.lines")


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """A search that was made, as the line learns from it."""

    line: LineName
    decision: Decision
    gallery: Gallery
    #: The voice, where there was one.
    voice: Embedding | None
    #: Whether it may vote: alone, long enough, in good audio.
    may_vote: bool
    #: The task that heard it, if one did.
    task_id: str | None
    #: What the subject of a recording is found by, where one was named.
    subject_digest: bytes | None
    #: Of voiceprints that did not match, shape (n,).
    others: NDArray[np.float32]
    #: Between the last callers of the line.
    callers_mean: float | None

    @property
    def profile_id(self) -> str | None:
        """Whom the search named."""
        return self.decision.candidates[0].profile_id if self.decision.outcome is Outcome.MATCH else None

    @property
    def named(self) -> list[str]:
        """All whom it named, of several voices too; in one order, so that two searches do not wait for each other."""
        answers = (self.decision, *self.decision.voices)
        return sorted({one.candidates[0].profile_id for one in answers if one.outcome is Outcome.MATCH})


@dataclass(frozen=True, kw_only=True)
class LineNews:
    """What became of a line by a search, to be told once it is written."""

    line: LineName
    #: The version that was learnt.
    learnt: LineVersion | None = None
    #: Whether the line is well; None unless that has changed.
    health: LineHealth | None = None
    #: What to do.
    advice: str | None = None

    def tell(self) -> None:
        """Write it to the log."""
        line = {"domain_id": self.line.domain_id, "codec": self.line.codec.value}
        if self.learnt is not None:
            extra = {**line, "version": self.learnt.number, "voices": self.learnt.voices}
            _log.info("a line was learnt from further voices", extra=extra)
        if self.health is LineHealth.OFF:
            _log.warning("a line is off", extra={**line, "reason": self.advice})
        elif self.health is LineHealth.WELL:
            _log.info("a line is well", extra=line)


class Lines:
    """The lines of all domains, for whoever searches. Safe to use from several threads."""

    def __init__(self, store: Store, *, default: LineLearning, metrics: TaskMetrics | None = None) -> None:
        """Domains that were not told learn as `default` says."""
        self._store = store
        self._default = default
        self._galleries = Galleries(store, metrics=metrics)
        self._callers = RecentCallers()

    def gallery(self, line: LineName, engine: Engine) -> Gallery:
        """Return the domain's voices on a line as they are now, with the calibration that the domain has now.

        Raise NotFound when the domain is deleted.
        """
        version, monitor = self._store.lines.current(*line), self._store.lines.monitor(*line)
        if version is not None and version.why is not LineChange.LEARNT:
            self._callers.forget(before=version.created_at, line=line)  # a reset: what was watched counts no more
        installed = self._store.calibrations.current(line.scope, line.domain_id)
        calibrated = engine.space.calibrated(calibration_of(installed, engine.space.calibration))
        space = calibrated.on(_line(version, monitor, engine.space))
        return self._galleries.get(line.scope, line.domain_id, space=space)

    def searched(
        self,
        line: LineName,
        voices: Sequence[Voice],
        speech: NetSpeech,
        gallery: Gallery,
        decision: Decision,
        *,
        task_id: str | None,
        at: datetime,
        subject_digest: bytes | None = None,
    ) -> Searched:
        """Return what a search for the voices in some speech says of the line. It computes; it writes nothing."""
        voice = voices[0].embedding if len(voices) == 1 else None
        found = Searched(
            line=line,
            decision=decision,
            gallery=gallery,
            voice=voice,
            may_vote=may_vote(speech, voices=len(voices)),
            task_id=task_id,
            subject_digest=subject_digest,
            others=np.zeros(0, np.float32),
            callers_mean=None,
        )
        if voice is None or not found.may_vote:
            return found
        mean = self._callers.hear(
            line, voice, space=gallery.space, profile_id=found.profile_id, enrolled=gallery, at=at
        )
        return replace(found, others=gallery.scores_of_others(voice, _likely(decision, gallery)), callers_mean=mean)

    def write(self, unit: Unit, searched: Searched) -> LineNews | None:
        """Write what a search says of its line; tell the news behind it. It comes before the unit locks anything else.

        None when a profile in the answer was deleted since: write nothing more in this unit, and search again.
        Raise NotFound when the domain was deleted.
        """
        line = searched.line
        domain = unit.lines.lock(line.scope, line.domain_id)
        if _is_outdated(unit, searched, domain):
            return None
        for profile_id in searched.named:
            unit.retention.contacted(line.scope, line.domain_id, profile_id)
        if searched.voice is None or not searched.may_vote:
            return LineNews(line=line)
        current, before = unit.lines.current(*line), unit.lines.monitor(*line)
        self._remember_subject(unit, searched, searched.voice)
        space = searched.gallery.space.on(_line(current, None, searched.gallery.space))
        after, learnt = _watched(before, searched, at=unit.now), None
        if space.line.voices < VOICES_MAX and self._learning(unit, line) is LineLearning.ON:
            since = None if current is None else current.created_at
            learnt = _vote(unit, searched, searched.voice, domain, space, since=since)
        if learnt is not None:  # what was measured of the line before counts no more
            after = replace(after, searches=0, voiceprints_mean=None, voiceprints_spread=None, callers_mean=None)
        unit.lines.watch(line.scope, line.domain_id, after)
        if before is not None and before.health is after.health:
            return LineNews(line=line, learnt=learnt)
        told = advice(after.health, space.line.state, self._learning(unit, line), domain_id=line.domain_id)
        return LineNews(line=line, learnt=learnt, health=after.health, advice=told)

    def _remember_subject(self, unit: Unit, searched: Searched, voice: Embedding) -> None:
        """Have the voice in memory go when its subject withdraws. The domain is locked, so a withdrawal came before
        this, and is seen here, or comes behind it, and finds the subject."""
        digest = searched.subject_digest
        if searched.task_id is not None:
            task = unit.consents.speaker_of(searched.line.scope, searched.task_id)
            if task is None:
                return
            digest = task.subject_digest
        self._callers.written(searched.line, voice, subject_digest=digest)

    def _learning(self, unit: Unit, line: LineName) -> LineLearning:
        return unit.lines.learning(line.scope, line.domain_id) or self._default

    def forget_callers(self, *, now: datetime) -> None:
        """Drop from memory the callers whose voices are kept no longer; as long as voiceprints of calls, a day at most.

        This reads the records.
        """
        for line in self._callers.lines():
            kept = min(CALLERS_KEPT, self._store.retention.schedule(line.scope, line.domain_id).voiceprint)
            self._callers.forget(before=now - kept, line=line)
        self._callers.forget_unwritten(before=now - WRITTEN_WITHIN)

    def forget_deleted(self) -> None:
        """Drop from memory the voices that were deleted since the last search, and of subjects that withdrew since."""

        def enrolled(line: LineName, profile_ids: Collection[str]) -> set[str] | None:
            if self._store.domains.get(line.scope, line.domain_id) is None:
                return None
            return self._store.profile_voiceprints.enrolled(line.scope, profile_ids)

        self._callers.forget_deleted(enrolled)
        self._callers.forget_withdrawn(lambda line, digests: self._store.consents.withdrawn_among(line.scope, digests))
        self._galleries.renew()


def _likely(decision: Decision, gallery: Gallery) -> str:
    """Return the profile that the voice is likelier of than not, named or not; empty for a stranger."""
    if not decision.candidates:
        return ""
    nearest, seconds = decision.candidates[0], decision.net_speech_seconds
    return nearest.profile_id if gallery.space.calibration.llr(nearest.score, net_seconds=seconds) > 0.0 else ""


def _is_outdated(unit: Unit, searched: Searched, domain: VoiceProfileDomain) -> bool:
    """Whether a profile in the answer has no voiceprint any more: it was deleted while it was searched for."""
    if domain.version == searched.gallery.version:
        return False
    scope, decision = searched.line.scope, searched.decision
    named = {one.profile_id for answer in (decision, *decision.voices) for one in answer.candidates}
    return named != unit.profile_voiceprints.enrolled(scope, named)


def _vote(
    unit: Unit,
    searched: Searched,
    voice: Embedding,
    domain: VoiceProfileDomain,
    space: Space,
    *,
    since: datetime | None,
) -> LineVersion | None:
    """Let a voice vote, unless it has voted; return the version that is learnt by that, if one is due.

    `since` is when the present version was made, which counts the votes of before.
    """
    kept = [vote for vote in unit.lines.votes(*searched.line) if vote.encoder_id == voice.encoder_id]
    if len(kept) >= VOICES_MAX or not is_new(voice, map(_embedding, kept), space):
        return None
    unit.lines.vote(
        *searched.line,
        encoder_id=voice.encoder_id,
        vector=voice.vector.astype("<f4").tobytes(),
        net_speech_seconds=voice.net_speech_seconds,
        profile_id=searched.profile_id,
        task_id=searched.task_id,
        subject_digest=searched.subject_digest,
        after=since,
    )
    fresh = [*(_embedding(vote) for vote in kept if since is None or vote.created_at > since), voice]
    return _learn(unit, searched, domain, space, fresh) if is_due(space.line, votes=len(fresh)) else None


def _learn(
    unit: Unit, searched: Searched, domain: VoiceProfileDomain, space: Space, votes: Sequence[Embedding]
) -> LineVersion:
    scope, domain_id, codec = searched.line
    past = [_past(version, space) for version in unit.lines.versions(scope, domain_id) if version.codec is codec]
    line = learn(space, votes, moved_from=a_day_before(past, space, now=unit.now))
    if line.mean is None:
        raise ValueError("a line was learnt without a mean")
    learnt = unit.lines.learn(
        *searched.line,
        encoder_id=space.encoder_id,
        mean=line.mean.astype("<f4").tobytes(),
        voices=line.voices,
    )
    if line.voices >= VOICES_MAX:
        unit.lines.forget_votes(*searched.line)
    unit.audit.append(
        scope,
        key_id=SERVICE,
        operation=LEARN_LINE,
        resource_arn=domain.arn,
        outcome="done",
        request_id="",
    )
    return learnt


def _watched(before: LineMonitor | None, searched: Searched, *, at: datetime) -> LineMonitor:
    """Return a line's monitor after a search."""
    scores = NO_SCORES
    if before is not None and before.voiceprints_mean is not None and before.voiceprints_spread is not None:
        mean, spread = before.voiceprints_mean, before.voiceprints_spread
        scores = StrangerScores(searches=before.searches, mean=mean, spread=spread)
    scores = scores.after(searched.others) if len(searched.others) else scores
    said = before.health if before is not None else LineHealth.TOO_FEW
    return LineMonitor(
        codec=searched.line.codec,
        searches=scores.searches,
        voiceprints_mean=scores.mean if scores.searches else None,
        voiceprints_spread=scores.spread if scores.searches else None,
        callers_mean=searched.callers_mean,
        health=health(scores, searched.callers_mean, before=said),
        updated_at=at,
    )


def _line(version: LineVersion | None, monitor: LineMonitor | None, space: Space) -> Line:
    """Return a line as searches use it. What another encoder's voices made is of no use to this one's."""
    if version is None:
        return Line(is_off=_is_off(monitor))
    if version.mean is None or version.encoder_id != space.encoder_id:
        return Line(version=version.number, is_off=_is_off(monitor))
    return Line(mean=_mean(version), voices=version.voices, version=version.number, is_off=_is_off(monitor))


def _is_off(monitor: LineMonitor | None) -> bool:
    return monitor is not None and monitor.health is LineHealth.OFF


def _past(version: LineVersion, space: Space) -> PastMean:
    mean = _mean(version) if version.encoder_id == space.encoder_id else None
    return PastMean(created_at=version.created_at, mean=mean, asked_for=version.why is not LineChange.LEARNT)


def _mean(version: LineVersion) -> Vector | None:
    return None if version.mean is None else np.frombuffer(version.mean, "<f4").astype(np.float32)


def _embedding(vote: LineVote) -> Embedding:
    vector = np.frombuffer(vote.vector, "<f4").astype(np.float32)
    return Embedding(vector=vector, encoder_id=vote.encoder_id, net_speech_seconds=vote.net_speech_seconds)
