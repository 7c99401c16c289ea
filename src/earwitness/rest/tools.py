"""What handlers work with: the rooms below, handed in once, and the request in hand."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeAlias

from earwitness.access.caller import Caller
from earwitness.access.paging import Pages
from earwitness.engine.turns import Turns
from earwitness.errors import NotFound
from earwitness.rest.auth import TOKEN_CHARACTERS_MIN
from earwitness.rest.parameters import Values
from earwitness.store.records import Scope, VoiceProfileDomain
from earwitness.store.store import Store
from earwitness.tasks.lag import Lags
from earwitness.tasks.notices import Notices
from earwitness.threads import RunInThread
from earwitness.voice.band import Band
from earwitness.wire.shares import Shares

if TYPE_CHECKING:  # heavy: the service answers before it has loaded any of it
    from earwitness.engine.engine import Engine
    from earwitness.tasks.galleries import Galleries

Document: TypeAlias = dict[str, Any]
"""A JSON object as it is answered. `Any`: whatever JSON can hold."""


_TO_URL, _FROM_URL = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")
"""Tokens stand in queries, where a plus sign would be a blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestLimits:
    """What one request, and all of them together, may take."""

    recording_bytes_max: int = 50_000_000
    """Of a recording that is uploaded: 50 minutes of telephone audio as 16-bit PCM; 20 s of speech are enough."""

    recording_seconds_max: float = 120.0
    """Until a recording has arrived: 3.3 Mbit/s for the largest."""

    body_seconds_max: float = 30.0
    """Until any other body has arrived."""

    recordings_at_once_max: int = 8
    """Recordings that are listened to at one time; one account gets half of these slots at most. Twice as many may be
    received at one time, of which one address gets half."""

    decoded_seconds_max: float = 3_600.0
    """Of a recording. A megabyte of compressed silence holds ten hours."""

    waits_at_once_max: int = 500
    """Requests that wait for events at one time; each is a connection."""

    delayed_at_once_max: int = 200
    """Answers to wrong credentials that are held back at one time, those of one address half of them at most; one more
    is given at once, and its connection closed."""

    suspects_at_once_max: int = 100
    """Credentials that are looked up at one time for addresses that sent wrong ones before, half of them for one."""

    token_characters_min: int = TOKEN_CHARACTERS_MIN
    """Shorter bearer tokens are not looked up."""

    skew_seconds_max: float = 300.0
    """How far the time of a signed request may be from ours."""

    profiles_per_domain_max: int | None = 20_000
    """Voice profiles that one domain may hold; None for no limit."""

    domains_max: int | None = None
    """Voice profile domains that one account may hold in a Region; None for no limit."""

    profile_kept: timedelta = timedelta(days=3 * 365)
    """How long a profile lasts unless it is enrolled again: three years, as at AWS (va-data-retention)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Shared by all handlers. No field changes."""

    store: Store
    """The records."""

    engine_of: "Callable[[Band], Engine]"
    """The engine of a band; the first call opens its models and takes a second."""

    galleries: "Callable[[], Galleries]"
    """Gives domains' voices in memory."""

    run: RunInThread
    """Off the event loop with what waits or computes."""

    clock: Callable[[], datetime]
    """The time in UTC."""

    new_id: Callable[[], str]
    """A new UUID."""

    events_changed: Notices
    """Notified whenever events were written."""

    lags: Lags
    """How far behind their streams the tasks of this process are."""

    pages: Pages
    """Tokens that say where a list goes on."""

    limits: RestLimits
    """What requests may take."""

    on_domain_deleted: Callable[[], None]
    """Tells running tasks to look whether it was their domain."""

    keep_audio: bool
    """Whether the speech that a voiceprint is made of is kept, sealed beside it."""

    media_refusal: Callable[[], str | None]
    """Why media are refused for want of room; None when they are taken. It looks at the disk."""

    waits: Shares
    """For requests that wait for events, by account."""

    use_of: "Callable[[Scope], Mapping[str, tuple[int, int]]]"
    """What is used of tasks, media connections and quotas, and the most of each, by name. Reads the records."""

    recordings: Shares
    """For recordings that are listened to, by account."""

    turns: Turns
    """For what computes; calls in progress go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that was authenticated, authorised and parsed."""

    caller: Caller
    """Who asks for what."""

    values: Values
    """The parameters of path and query."""

    recording: Path | None = None
    """The recording in the body, for routes that take one; it is gone when the request is answered."""

    abandoned: Event = field(default_factory=Event)
    """Set when nobody waits for the answer any more: the client has gone, or the service stops."""

    @property
    def scope(self) -> Scope:
        """Whose records the call is about; it reaches no others."""
        return self.caller.scope


Handler: TypeAlias = Callable[[Tools, Call], Awaitable[Document]]
"""A route's work: the document to answer with, or an error of ours."""


def paged(
    tools: Tools, call: Call, read: "Callable[[tuple[int | str, ...] | None, int], Any]", *, about: str
) -> tuple[tuple[Any, ...], str | None]:
    """The items that `limit` and `nextToken` ask for, and the token of what follows. `Any`: the records' type.

    `about` is what the list is filtered by; a token opens for the same list only.
    """
    params: Document = {"MaxResults": call.values["limit"]}
    if call.values["nextToken"] is not None:
        params["NextToken"] = call.values["nextToken"].translate(_FROM_URL)
    found, following = tools.pages.read(call.caller, params, read, about=about)
    token = following.get("NextToken")
    return found, None if token is None else token.translate(_TO_URL)


def time_of(time: datetime | None) -> str | None:
    """A time as RFC 3339 in UTC, with microseconds; None stays None."""
    return None if time is None else f"{time:%FT%T.%fZ}"


def domain_of(tools: Tools, call: Call) -> VoiceProfileDomain:
    """The domain that the path names. NotFound when the account has none of that id there."""
    domain = tools.store.domains.get(call.scope, call.values["domainId"])
    if domain is None:
        raise NotFound("the voice profile domain does not exist; look at its id and the Region")
    return domain
