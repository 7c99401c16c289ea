"""The JSON API as an ASGI application, made of the table of routes."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route as Mounted
from starlette.types import ASGIApp

from earwitness.access.paging import Pages
from earwitness.engine.turns import Turns
from earwitness.rest.answering import Answering
from earwitness.rest.auth import Credentials, FindKey
from earwitness.rest.routes import PREFIX, ROUTES
from earwitness.rest.tools import RestLimits, Tools
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.tasks.lag import Lags
from earwitness.tasks.notices import Notices
from earwitness.threads import RunInThread
from earwitness.voice.band import Band
from earwitness.wire.buckets import Throttle
from earwitness.wire.shares import Shares

if TYPE_CHECKING:  # heavy, as tools.py says
    from earwitness.engine.engine import Engine
    from earwitness.tasks.galleries import Galleries


def build_rest(
    *,
    store: Store,
    find_key: FindKey,
    engine_of: "Callable[[Band], Engine]",
    galleries: "Callable[[], Galleries]",
    run: RunInThread,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    events_changed: Notices,
    lags: Lags,
    turns: Turns,
    use_of: Callable[[Scope], Mapping[str, tuple[int, int]]],
    limits: RestLimits,
    throttle: Throttle,
    keep_audio: bool,
    on_domain_deleted: Callable[[], None],
    media_refusal: Callable[[], str | None] = lambda: None,
    monotonic: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """The application. It answers paths under PREFIX; `Tools` and `RestLimits` say what each argument is.

    `find_key` gives the access key of an id, None when it is unknown or disabled; by the seconds of `monotonic` wrong
    credentials are slowed down, and calls counted by `throttle`.
    """
    tools = Tools(
        store=store,
        engine_of=engine_of,
        galleries=galleries,
        run=run,
        clock=clock,
        new_id=new_id,
        events_changed=events_changed,
        lags=lags,
        pages=Pages(store.token_key),
        limits=limits,
        on_domain_deleted=on_domain_deleted,
        keep_audio=keep_audio,
        media_refusal=media_refusal,
        waits=Shares(
            limits.waits_at_once_max,
            refusal="too many requests of this account wait for events; ask without `wait`, or wait in fewer places",
        ),
        recordings=Shares(
            limits.recordings_at_once_max,
            refusal="as many recordings of this account are listened to as may be; wait and try again",
        ),
        turns=turns,
        use_of=use_of,
    )
    credentials = Credentials(
        store,
        find_key=find_key,
        clock=clock,
        skew_seconds_max=limits.skew_seconds_max,
        token_characters_min=limits.token_characters_min,
    )
    answering = Answering(tools, credentials, throttle=throttle, monotonic=monotonic)
    mounted = [Mounted(PREFIX + route.path, answering.endpoint(route), methods=[route.method]) for route in ROUTES]
    application = Starlette(routes=mounted, exception_handlers={HTTPException: answering.unrouted})
    application.router.redirect_slashes = False  # a redirect would lose the signature
    return application
