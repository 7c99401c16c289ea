"""What is asked and answered about retention. What belongs here: names, types, limits, a sentence for each."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from earwitness.rest.models import Answer, Moment
from earwitness.rest.parameters import Identifier, Limit, PageToken, Parameters, doc

_DomainId: TypeAlias = Annotated[Identifier, doc("The voice profile domain's id.")]
_Hours: TypeAlias = Annotated[int, Meta(ge=0, le=10_000)]
_Days: TypeAlias = Annotated[int, Meta(ge=0, le=10_000)]
ExpiryState: TypeAlias = Literal["well", "overdue", "late", "never"]
_ByKind: TypeAlias = dict[str, int]


class GetRetention(Parameters, kw_only=True):
    """How long a domain keeps what it holds of voices."""

    domain_id: _DomainId


class PutRetention(Parameters, kw_only=True):
    """Tell a domain how long to keep what it holds, and what it holds already; what is left out is as by itself."""

    domain_id: _DomainId
    voiceprint_hours: Annotated[
        _Hours | None,
        doc("Voiceprints of calls, after the call: 1 to 24, with `lookBack` to 168. 24 by itself."),
    ] = None
    results_hours: Annotated[
        _Hours | None, doc("Results and the events that tell them, after the call: 1 to 168, which it is by itself.")
    ] = None
    profile_days: Annotated[
        _Days | None, doc("Voiceprints of profiles, after the last enrolment: 1 to 1,095, which it is by itself.")
    ] = None
    audio_days: Annotated[
        _Days | None,
        doc("Speech behind voiceprints, where it is kept: 0 (not at all) to 1,095. By itself as long as they are."),
    ] = None
    last_contact_days: Annotated[
        _Days | None,
        doc("Profiles that no search named and nobody enrolled again: 1 to 1,095. By itself they are not looked for."),
    ] = None
    look_back: Annotated[
        Literal["true", "false"],
        doc("Keep voiceprints of calls longer than 24 hours, to look for a voice in earlier calls."),
    ] = "false"
    published_name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100)] | None,
        doc("What the published page calls the domain, for the public; without one the page does not name it."),
    ] = None


class ListExpiryRuns(Parameters, kw_only=True):
    """Whether what is past its time was deleted, and what each run found and did, the latest first, for 30 days."""

    limit: Limit = 50
    next_token: PageToken = None


class RetentionAnswer(Answer):
    """How long a domain keeps what it holds of voices."""

    domain_id: str
    voiceprint_hours: _Hours
    results_hours: _Hours
    profile_days: _Days
    audio_days: Annotated[_Days | None, doc("Null: as long as the voiceprint.")]
    last_contact_days: Annotated[_Days | None, doc("Null: profiles without contact are not looked for.")]
    look_back: bool
    published_name: str
    told: Annotated[list[str], doc("The fields that the domain was told; all others are as by themselves.")]
    updated_at: Annotated[Moment | None, doc("When it was told; null for a domain that was told nothing.")]
    key_id: Annotated[str | None, doc("The id of the key that told it.")]


class ExpiryRunAnswer(Answer):
    """One run. Counts are of all accounts, by kind, without those that are 0."""

    run_id: str
    node_id: Annotated[str | None, doc("Null where one process alone serves.")]
    started_at: Moment
    ended_at: Moment
    due: Annotated[_ByKind, doc("Past its time when the run began.")]
    deleted: _ByKind
    overdue: Annotated[_ByKind, doc("Past its time and still there when the run ended.")]


class ExpiryAnswer(Answer):
    """Whether what is past its time was deleted, and the runs that did it."""

    state: Annotated[
        ExpiryState,
        doc("`late`: no run for 15 minutes. `never`: no run is known yet."),
    ]
    advice: Annotated[str | None, doc("What to do, for people; null when it is well.")]
    last_run_at: Moment | None
    runs: list[ExpiryRunAnswer]
    next_token: str | None
