"""The published schedule at /retention: how long this service keeps what it holds of voices, for anybody to read.

It is made of the settings and schedules in force, and names no account, person or id: a domain stands there only under
the name that an administrator gave it for this page.
"""

import asyncio
import html
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from earwitness.errors import StoreUnavailable
from earwitness.rest.retention import expiry_state
from earwitness.store.retention import StoredSchedule
from earwitness.store.store import Store
from earwitness.threads import RunInThread
from earwitness.voice.retention import DEFAULT_SCHEDULE, RetentionSchedule

PATHS = ("/retention", "/retention.json")

FRESH = timedelta(minutes=1)
"""How old the page may be: anybody may ask, and the records are read once a minute at most."""

Published: TypeAlias = dict[str, Any]
"""The document. `Any`: whatever JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """What the settings say of retention."""

    keeps_enrolment_audio: bool
    #: Days after which backups that this service makes are deleted.
    backup_days_max: float


def published(store: Store, facts: ServiceFacts, *, now: datetime) -> Published:
    """Return the schedule in force. Raise StoreUnavailable."""
    told = store.retention.list_everywhere()
    latest = store.retention.runs(limit=1).items
    state, _ = expiry_state(latest[0] if latest else None, now=now)
    alike = store.retention.count_domains() > len(told)
    return {
        "madeAt": f"{now:%FT%H:%M:%SZ}",
        "service": _rows([one.schedule for one in told], facts, with_default=alike or not told),
        "domains": [_domain(one, facts) for one in told if one.schedule.published_name],
        "others": [{"what": what, "kept": kept} for what, kept in (*_OTHERS, _backups(facts))],
        "expiry": {
            "everySeconds": 60,
            "lastRunAt": f"{latest[0].started_at:%FT%H:%M:%SZ}" if latest else None,
            "state": state,
        },
    }


_OTHERS = (
    (
        "Calls as the phone system named them: who called whom, when",
        "7 days after the end of the call, encrypted",
    ),
    ("Audio of calls", "As long as its stream was told to keep it; without that, five minutes"),
    ("Recordings that were sent to be searched or enrolled", "Until there is a result; the result for 7 days"),
    ("An export of a domain", "Until it was fetched and deleted, 24 hours at most"),
    ("A mean of ten voices or more, from which no single one can be read", "Until its domain is deleted"),
    ("Consents of those who are enrolled", "Until the voiceprint, the domain or the consent itself is deleted"),
    ("Whether somebody said that a result was right or wrong", "As long as the result"),
    (
        "What was deleted, when and by whom, without names",
        "At least as long as a backup from before is there",
    ),
    ("Who changed, read or was refused what: ids, no names", "One year"),
)
"""What no schedule changes, in words for the public."""


def _backups(facts: ServiceFacts) -> tuple[str, str]:
    days = f"{facts.backup_days_max:g} days"
    return "Backups of all this; what was deleted is deleted again when one is put back", f"{days} at most, encrypted"


def _rows(schedules: Sequence[RetentionSchedule], facts: ServiceFacts, *, with_default: bool) -> list[Published]:
    """Return what is kept, and for how long at most by any domain."""
    all_of = [*schedules, *([DEFAULT_SCHEDULE] if with_default else [])]
    probes = max(one.voiceprint for one in all_of)
    look_back = any(one.look_back for one in all_of)
    audio = [one.profile if one.audio is None else one.audio for one in all_of]
    contact = [one.last_contact for one in all_of]
    rows: list[tuple[str, str, timedelta | None, str]] = [
        (
            "voiceprint",
            "The voiceprint of a caller, made to find out who it is"
            + (", and to look for the voice in earlier calls" if look_back else ""),
            probes,
            "after the call",
        ),
        ("results", "What came of a call: who was found, and how sure", max(one.results for one in all_of), "after it"),
        (
            "profile",
            "The voiceprints of somebody who is enrolled, until they are deleted on request",
            max(one.profile for one in all_of),
            "after the last enrolment",
        ),
        (
            "audio",
            "The speech that a voiceprint was made of",
            max(audio) if facts.keeps_enrolment_audio else timedelta(0),
            "after it was recorded",
        ),
    ]
    lasting = [one for one in contact if one is not None]
    if len(lasting) == len(contact):
        since = "after the person was last recognised or enrolled"
        rows.append(("lastContact", "Somebody who is enrolled and does not call any more", max(lasting), since))
    return [
        {"kind": kind, "what": what, "atMostHours": kept // timedelta(hours=1), "kept": _words(kept, after)}
        for kind, what, kept, after in rows
        if kept is not None
    ]


def _domain(told: StoredSchedule, facts: ServiceFacts) -> Published:
    return {
        "name": told.schedule.published_name,
        "since": f"{told.updated_at:%F}",
        "rows": _rows([told.schedule], facts, with_default=False),
    }


def _words(kept: timedelta, after: str) -> str:
    if not kept:
        return "not kept"
    hours = kept // timedelta(hours=1)
    if hours == 24 * 1_095:
        return f"3 years at most, {after}"
    number, unit = (hours // 24, "day") if hours % 24 == 0 and hours > 24 else (hours, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'} at most, {after}"


class RetentionPage:
    """Answers anybody, as a page and as JSON. Lives on the event loop."""

    def __init__(
        self, store: Store, facts: ServiceFacts, *, clock: Callable[[], datetime], run_in_thread: RunInThread
    ) -> None:
        self._store = store
        self._facts = facts
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._made: tuple[datetime, Published] | None = None
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await (await self._answer(Request(scope)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("use GET", 405, headers={"Allow": "GET, HEAD"})
        try:
            document = await self._fresh()
        except StoreUnavailable:
            return PlainTextResponse("the records do not answer; ask again in a minute", 503, {"Retry-After": "60"})
        accepted = request.headers.get("accept", "")
        if request.url.path.endswith(".json") or ("json" in accepted and "html" not in accepted):
            return JSONResponse(document, headers=_HEADERS)
        return HTMLResponse(_page(document), headers=_HEADERS)

    async def _fresh(self) -> Published:
        """Return the document; one makes it while all others wait for that one."""
        async with self._turn:
            now = self._clock()
            if self._made is None or not timedelta(0) <= now - self._made[0] < FRESH:
                made = await self._run_in_thread(lambda: published(self._store, self._facts, now=now))
                self._made = (now, made)
            return self._made[1]


_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;"
    "border-bottom:1px solid #8886}th[scope=row]{font-weight:normal}"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "max-age=60",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def _page(document: Published) -> str:
    named = "".join(
        f"<section><h2>{html.escape(one['name'])}</h2><p>In force since {one['since']}.</p>"
        f"{_table(one['rows'])}</section>"
        for one in document["domains"]
    )
    ran = document["expiry"]["lastRunAt"]
    last = f"The last run began {ran.replace('T', ' ').removesuffix('Z')} UTC." if ran else "No run is known yet."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>How long voices are kept</title><style>{_STYLE}</style></head><body><main>"
        "<h1>How long voices are kept</h1>"
        "<p>A voice is biometric data. This is what this service keeps of voices, and for how long at most. All of "
        "it is encrypted. After that time it is deleted, not hidden; on request it is deleted at once.</p>"
        f"{_table(document['service'])}{named}"
        f"<section><h2>What else is kept</h2>{_table(document['others'])}</section>"
        f"<p>What is past its time is deleted every minute. {last}</p>"
        f"<p>Made of the settings in force on {document['madeAt'].replace('T', ' ').removesuffix('Z')} UTC; the same "
        '<a href="/retention.json">for programs</a>.</p></main></body></html>'
    )


def _table(rows: Sequence[Published]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{html.escape(row["what"])}</th><td>{html.escape(row["kept"])}</td></tr>' for row in rows
    )
    head = '<tr><th scope="col">What</th><th scope="col">How long</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{cells}</tbody></table>"
