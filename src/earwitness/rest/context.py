"""What handlers work with: the rooms below, handed in once, and the request in hand."""

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from random import Random, SystemRandom
from threading import Event
from typing import Any, Generic, TypeAlias, TypeVar

from earwitness.access.caller import Caller
from earwitness.access.paging import Pages
from earwitness.errors import NotFound
from earwitness.rest.models import Answer, OpenApi
from earwitness.rest.parameters import Parameters
from earwitness.store.records import Page, PageKey, RecordT, Scope
from earwitness.store.store import Store
from earwitness.tasks.kept_media import KeptMedia
from earwitness.tasks.lag import Lags
from earwitness.tasks.notices import Notices
from earwitness.tasks.recordings import RecordingWork
from earwitness.threads import RunInThread
from earwitness.voice.connector import DoorStatus
from earwitness.voice.line import LineLearning
from earwitness.wire.shares import Shares

_AnswerT = TypeVar("_AnswerT", bound=Answer)
_ParametersT_co = TypeVar("_ParametersT_co", bound=Parameters, covariant=True)

_TO_URL, _FROM_URL = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")
"""Tokens stand in queries, where a plus sign would be a blank."""


NO_RECORDING = Path(os.devnull)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestLimits:
    """What one request, and all of them together, may take."""

    #: Of a recording that is uploaded: 50 minutes of telephone audio as 16-bit PCM; 20 s of speech are enough.
    recording_bytes_max: int = 50_000_000
    #: Until a recording has arrived: 3.3 Mbit/s for the largest.
    recording_seconds_max: float = 120.0
    #: Until any other body has arrived.
    body_seconds_max: float = 30.0
    #: Recordings that are listened to at one time; one account gets half of these slots at most. Twice as many may be
    #: received at one time, of which one address gets half.
    recordings_at_once_max: int = 8
    #: Requests that wait for events at one time; each is a connection.
    waits_at_once_max: int = 500
    #: Voice profile domains that one account may hold in a Region; None for no limit.
    domains_max: int | None = None
    #: Jobs of an account and Region that have not ended; None for no limit.
    open_jobs_max: int | None = 100
    #: Bytes of recordings of jobs that wait, of an account and Region.
    job_bytes_max: int = 2**30


@dataclass(frozen=True, kw_only=True)
class RestContext:
    """What all handlers share. No field changes."""

    store: Store
    #: Searches and enrols with recordings.
    recordings: RecordingWork
    #: Reads what is kept of streams.
    kept_media: KeptMedia
    #: Tells those who work on jobs that there is something to do.
    jobs_changed: Callable[[], None]
    run_in_thread: RunInThread
    #: Returns the time in UTC.
    clock: Callable[[], datetime]
    #: Returns a new UUID.
    new_id: Callable[[], str]
    #: Notified whenever events were written.
    events_changed: Notices
    #: How far behind their streams the tasks of this process are.
    lags: Lags
    limits: RestLimits
    #: Tells running tasks to look whether it was their domain.
    on_domain_deleted: Callable[[], None]
    #: Whether domains learn their lines that were not told.
    line_learning: LineLearning
    #: Returns why media are refused for want of room, None when they are taken. It looks at the disk.
    media_refusal: Callable[[], str | None]
    #: Returns what the doors of this process do, as far as an account may know.
    doors: Callable[[str], Sequence[DoorStatus]]
    #: Returns what is used of tasks, media connections and quotas, and the most of each, by name. Reads the records.
    use_of: Callable[[Scope], Mapping[str, tuple[int, int]]]
    #: Draws the calls that are offered to be labelled.
    random: Random = field(default_factory=SystemRandom)

    @cached_property
    def pages(self) -> Pages:
        """Tokens that say where a list goes on."""
        return Pages(self.store.token_key)

    @cached_property
    def waits(self) -> Shares:
        """Requests that wait for events, by account."""
        refusal = "too many requests of this account wait for events; ask without `wait`, or wait in fewer places"
        return Shares(self.limits.waits_at_once_max, refusal=refusal)

    @cached_property
    def recording_places(self) -> Shares:
        """Recordings that are listened to, by account."""
        refusal = "as many recordings of this account are listened to as may be; wait and try again"
        return Shares(self.limits.recordings_at_once_max, refusal=refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCall(Generic[_ParametersT_co]):
    """One request that was authenticated, authorised and parsed."""

    #: Who asks for what.
    caller: Caller
    #: The parameters of path and query.
    params: _ParametersT_co
    #: The recording in the body, empty for routes that take none; it is gone when the request is answered.
    recording: Path = NO_RECORDING
    #: The body of a route that takes JSON, not looked at yet; empty for others.
    body: bytes = b""
    #: Raises Unauthorized when the key was disabled since the call began; for those that wait.
    require_key: Callable[[], None] = lambda: None
    #: Set when nobody waits for the answer any more: the client has gone, or the service stops.
    abandoned: Event = field(default_factory=Event)

    @property
    def scope(self) -> Scope:
        """Whose records the call is about; it reaches no others."""
        return self.caller.scope


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """An answer that is a file, made while it is sent."""

    name: str
    media_type: str
    #: In bytes.
    length: int
    #: Its content. Asked for in a thread, and by one at a time; what it raises breaks the connection off.
    blocks: Iterator[bytes]
    #: Who gets it, for as long as its key may be used.
    caller: Caller


# `Any`: each handler takes the parameters of its own operation.
RestHandler: TypeAlias = Callable[[RestContext, RestCall[Any]], Answer | FileAnswer | OpenApi | Awaitable[Answer]]
"""Does a route's work and returns its answer, or raises an error of ours. Called in a thread; an answer that has to be
waited for is awaited on the event loop."""


def answer_of(kind: type[_AnswerT], record: object, **more: Any) -> _AnswerT:  # `Any`: whatever the fields are
    """Return an answer whose fields are given, or else have the value that the record has under the same name."""
    return kind(**{name: getattr(record, name) for name in kind.__struct_fields__ if name not in more}, **more)


def paged(
    context: RestContext,
    call: RestCall[Any],
    read: Callable[[PageKey | None, int], Page[RecordT]],
    *,
    about: str,
) -> tuple[Sequence[RecordT], str | None]:
    """Return the items that `limit` and `nextToken` ask for, and the token of what follows.

    `about` is what the list is filtered by; a token opens for the same list only.
    """
    token: str | None = call.params.next_token
    asked = {"MaxResults": call.params.limit, "NextToken": token and token.translate(_FROM_URL)}
    found, following = context.pages.read(call.caller, asked, read, about=about)
    token = following.get("NextToken")
    return found, token and token.translate(_TO_URL)


def there(record: RecordT | None, otherwise: str) -> RecordT:
    """Return the record. Raise NotFound, which says `otherwise`, when there is none."""
    if record is None:
        raise NotFound(otherwise)
    return record
