"""Calls and what people say of their results: which can be labelled, which are, and one that is drawn at random.

Labels of matches alone say nothing of callers who were missed. So calls are drawn from both, and what is counted rests
on a random sample: ids of tasks are random, and a sample begins at a random one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from earwitness.store.labels import TaskLabel
from earwitness.store.records import Scope, SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.voice.decision import Outcome
from earwitness.voice.label import LABELLED_OUTCOMES, LabelledCall, Picked

LOOKED_AT_MAX = 1_000
"""Tasks whose results one look opens: some 50 ms."""

_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSample:
    """How the calls of a domain ended, as a random sample shows it."""

    #: Calls of the domain that have a result, of every outcome.
    calls: int
    #: Of these, how many are in the sample.
    looked_at: int
    #: In the sample, by whether somebody was named.
    matches: int
    no_matches: int

    def of_all(self, outcome: Outcome) -> int:
        """Return how many calls of the domain ended so: exact where the sample is all of them, else estimated."""
        seen = self.matches if outcome is Outcome.MATCH else self.no_matches
        return round(seen * self.calls / self.looked_at) if self.looked_at else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSurvey(CallSample):
    """A domain's calls, as a random sample shows them, and all that are labelled."""

    #: In the sample, without a label.
    unlabelled: tuple[LabelledCall, ...]
    #: All of the domain, unsure ones too.
    labelled: tuple[LabelledCall, ...]

    def labelled_of(self, outcome: Outcome) -> int:
        """Return how many calls that ended so are labelled; without unsure ones."""
        return sum(one.outcome is outcome and one.is_labelled for one in self.labelled)

    def draw(self, random: Random) -> LabelledCall | None:
        """Return a call that nobody has labelled, as likely a match as no match; None when all of the sample are."""
        by_outcome = [
            [one for one in self.unlabelled if one.outcome is outcome] for outcome in (Outcome.MATCH, Outcome.NO_MATCH)
        ]
        if random.random() < 0.5:
            by_outcome.reverse()
        first, second = by_outcome
        return random.choice(first or second) if first or second else None


def survey(store: Store, scope: Scope, domain_id: str, *, random: Random, limit: int = LOOKED_AT_MAX) -> LabelSurvey:
    """Return what there is to label in a domain, and what is. Raise NotFound without such a domain."""
    sample, calls = _drawn(store, scope, domain_id, random=random, limit=limit)
    labels = store.labels.of_tasks(scope, domain_id, [call.task_id for call in calls])
    return LabelSurvey(
        **asdict(sample),
        unlabelled=tuple(call for call in calls if call.task_id not in labels),
        labelled=labelled_calls(store, scope, domain_id),
    )


def sample_of(store: Store, scope: Scope, domain_id: str, *, random: Random) -> CallSample:
    """Return how the calls of a domain ended; no label is read for that."""
    return _drawn(store, scope, domain_id, random=random, limit=LOOKED_AT_MAX)[0]


def _drawn(
    store: Store, scope: Scope, domain_id: str, *, random: Random, limit: int
) -> tuple[CallSample, list[LabelledCall]]:
    """Return a sample, and the calls in it whose results can be right or wrong. How one ended is sealed, so results
    are opened to count it."""
    drawn = store.labels.searched(scope, domain_id, beyond=f"{random.getrandbits(32):08x}", limit=limit)
    calls = [call for task in drawn if (call := labelled_call(task)) is not None]
    sample = CallSample(
        calls=store.labels.count_searched(scope, domain_id),
        looked_at=len(drawn),
        matches=sum(call.outcome is Outcome.MATCH for call in calls),
        no_matches=sum(call.outcome is Outcome.NO_MATCH for call in calls),
    )
    return sample, calls


def labelled_calls(store: Store, scope: Scope, domain_id: str) -> tuple[LabelledCall, ...]:
    """Return all labelled calls of a domain, with what the searches said. Raise NotFound without such a domain."""
    found, after = list[LabelledCall](), None
    while True:
        page = store.labels.list(scope, domain_id, after=after, limit=_PAGE)
        found += [call for label, task in page.items if (call := labelled_call(task, label)) is not None]
        after = page.next_key
        if after is None:
            return tuple(found)


def labelled_call(task: SpeakerSearchTask, label: TaskLabel | None = None) -> LabelledCall | None:
    """Return the search of a task, with its label; None where there is nothing that could be right or wrong."""
    if task.identification is None:
        return None
    decision: Mapping[str, Any] = task.identification  # `Any`: fields of Decision, as `asdict` gives them
    threshold: Mapping[str, Any] | None = decision["threshold"]
    outcome = Outcome(decision["outcome"])
    if threshold is None or outcome not in LABELLED_OUTCOMES:
        return None
    candidates = decision["candidates"]
    basis: Mapping[str, Any] | None = decision.get("basis")
    return LabelledCall(
        task_id=task.task_id,
        outcome=outcome,
        candidates=tuple((one["profile_id"], one["score"]) for one in candidates),
        probability=candidates[0]["confidence"] if candidates else 0.0,
        threshold=threshold["score"],
        line_margin=threshold.get("line_margin", 0.0),
        strangers_named_percent=threshold["strangers_named_percent"],
        gallery_size=threshold["gallery_size"],
        net_speech_seconds=decision["net_speech_seconds"],
        calibration_id=None if basis is None else basis["calibration_id"],
        spoke=None if label is None else label.spoke,
        profile_id=None if label is None else label.profile_id,
        picked=Picked.CHOSEN if label is None else label.picked,
    )
