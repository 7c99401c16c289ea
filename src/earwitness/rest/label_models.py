"""What is answered about labels."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

from earwitness.rest.models import Answer, TaskStreamAnswer, ThresholdAnswer
from earwitness.rest.parameters import doc
from earwitness.voice.decision import Outcome
from earwitness.voice.label import Picked, Spoke

_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]


class LabelAnswer(Answer):
    """Who spoke in a call, by somebody's word."""

    task_id: str
    domain_id: str
    spoke: Spoke
    profile_id: Annotated[str | None, doc("Who it was, or was not.")]
    picked: Picked
    key_id: Annotated[str, doc("The key or token that labelled it last.")]
    created_at: Annotated[_Moment, doc("When it was labelled first.")]
    updated_at: Annotated[_Moment, doc("When it was labelled last.")]


class SearchedCandidateAnswer(Answer):
    """A profile and its score in a search."""

    profile_id: str
    score: float


class SearchedCallAnswer(Answer):
    """A search, as it can be right or wrong."""

    task_id: str
    outcome: Outcome
    named: Annotated[str | None, doc("The profile that the search named.")]
    candidates: Annotated[list[SearchedCandidateAnswer], doc("At most ten, the closest first.")]
    probability: Annotated[float, doc("Of the first candidate: that it is this profile; 0 without one.")]
    threshold: Annotated[float, doc("The score from which on somebody is named.")]
    line_margin: Annotated[float, doc("How much of it is there only because the line is not known.")]
    strangers_named_percent: float
    gallery_size: _Count
    net_speech_seconds: float
    calibration_id: str | None


class HeardCallAnswer(Answer):
    """A call whose voice is like the one that is searched for."""

    task_id: str
    heard_at: Annotated[_Moment, doc("When its voiceprint was made.")]
    score: Annotated[float, doc("Cosine, -1 to 1.")]
    likelihood_ratio: Annotated[float, doc("How many times likelier one person is than two.")]
    false_match_rate: Annotated[float, doc("Share of pairs of different persons that score at least this high.")]
    strangers_expected: Annotated[
        float, doc("How many of the calls that were looked at would score so high if all of them were of strangers.")
    ]
    is_match: Annotated[bool, doc("Whether it reaches the threshold for its speech.")]


class LookBackAnswer(Answer):
    """Where a voice was heard."""

    domain_id: str
    calls: Annotated[list[HeardCallAnswer], doc("Matches, the most alike first; then at most ten that are none.")]
    looked_at: Annotated[_Count, doc("Calls that were compared: the latest 20,000 at most.")]
    kept: Annotated[_Count, doc("Calls whose voiceprint is kept.")]
    of_other_encoder: Annotated[_Count, doc("Calls that were not compared: another encoder made their voiceprints.")]
    threshold: ThresholdAnswer
    net_speech_seconds: float


class LabelledCallAnswer(SearchedCallAnswer):
    """A labelled call: what the search said, and who spoke."""

    label: LabelAnswer
    is_right: Annotated[bool | None, doc("Null where the label does not say.")]
    stream: TaskStreamAnswer
    started_at: _Moment | None
    ended_at: _Moment | None


class LabelledCallsAnswer(Answer):
    """A page of labelled calls."""

    calls: list[LabelledCallAnswer]
    next_token: Annotated[str | None, doc("Give it back as `nextToken` for what follows; null on the last page.")]


class UnlabelledAnswer(Answer):
    """What there is to label in a domain."""

    domain_id: str
    calls: Annotated[_Count, doc("Calls of the domain that have a result, of every outcome.")]
    looked_at: Annotated[_Count, doc("Of these, a random sample that was looked at.")]
    matches: Annotated[_Count, doc("Calls that named somebody; estimated where not all were looked at.")]
    no_matches: Annotated[_Count, doc("Calls that named nobody; estimated alike.")]
    labelled_matches: Annotated[_Count, doc("Of the matches, how many are labelled; without unsure ones.")]
    labelled_no_matches: Annotated[_Count, doc("Of the others, how many are.")]
    advice: Annotated[str | None, doc("What cannot be concluded from these labels, and what to do; null when nothing.")]
    call: Annotated[SearchedCallAnswer | None, doc("Null when all that were looked at are labelled.")]


class ShareAnswer(Answer):
    """How many of some calls are so."""

    count: _Count
    of: _Count
    percent: Annotated[float | None, doc("Null of nothing.")]
    interval: Annotated[list[float], doc("95 %, in per cent; calls are counted, not callers.")]


class EstimatedRateAnswer(Answer):
    """A rate over all calls of a domain."""

    percent: float
    interval: Annotated[list[float], doc("95 %, in per cent; calls are counted, not callers.")]


class ProbabilityBinAnswer(Answer):
    """Labelled matches whose stated probability lies in a range."""

    low: float
    high: float
    stated_percent: Annotated[float, doc("Mean of what was stated.")]
    right: Annotated[ShareAnswer, doc("Of these, whose name was right.")]


class LabelReportAnswer(Answer):
    """How often searches were right, as labels say."""

    domain_id: str
    matches: Annotated[_Count, doc("Calls that named somebody, labelled or not; estimated in a large domain.")]
    no_matches: Annotated[_Count, doc("Calls that named nobody, alike.")]
    names_right: Annotated[ShareAnswer, doc("Of the labelled matches, whose name was right.")]
    missed: Annotated[ShareAnswer, doc("Of the labelled calls without a match, those of somebody who is enrolled.")]
    found: Annotated[
        EstimatedRateAnswer | None,
        doc(
            "Of all calls of enrolled callers, those given the right name; null of none, or unless both kinds are "
            "labelled."
        ),
    ]
    strangers_named: Annotated[EstimatedRateAnswer | None, doc("Of all other calls, those given a name; null alike.")]
    probabilities: list[ProbabilityBinAnswer]
    unsure: Annotated[_Count, doc("Labels that say nothing.")]
    cautions: Annotated[list[str], doc("What cannot be concluded, and what to do.")]
