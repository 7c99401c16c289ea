"""Signing in and out: by a bearer token, or by the one-time link that `serve --dev` prints.

The token travels once, in a form, and is not kept. Whoever guesses is slowed down as at the APIs.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from earwitness.access.access import Access
from earwitness.access.caller import Caller
from earwitness.console.forms import own_form
from earwitness.console.guard import PLAIN_HEADERS, Cookie, Hosts
from earwitness.console.sessions import LINK_GOOD, SIGNED_IN, OneTimeLink, Session, Sessions
from earwitness.errors import Forbidden, Unauthorized
from earwitness.rest.context import RestContext
from earwitness.store.records import Scope
from earwitness.store.store import Unit
from earwitness.wire.exchange import Principal
from earwitness.wire.wrong_credentials import WrongCredentials

REGION_OF_SIGN_INS = "us-east-1"
"""In whose audit trail sign-ins are: they belong to none, and AWS's CloudTrail has those of its console there."""

_PLACE = re.compile(r"/console/[\w\-./?=&%+]{0,1000}", re.ASCII)

_USED = "the link was used already; it signs in once. Sign in with a bearer token"


class ShowPage(Protocol):
    """Makes a page for whoever has not signed in."""

    # `Any`: whatever templates show.
    def __call__(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Return it."""
        ...


class SignIn:
    """The pages and forms of signing in. Lives on the event loop."""

    def __init__(
        self,
        rest: RestContext,
        access: Access,
        sessions: Sessions,
        hosts: Hosts,
        *,
        wrong_credentials: WrongCredentials,
        new_request_id: Callable[[], str],
        monotonic: Callable[[], float],
        show: ShowPage,
    ) -> None:
        """By the seconds of `monotonic` whoever guesses is slowed down."""
        self._rest = rest
        self._access = access
        self._sessions = sessions
        self._hosts = hosts
        self._wrong_credentials = wrong_credentials
        self._new_request_id = new_request_id
        self._monotonic = monotonic
        self._show = show

    def asked_for(self, request: Request) -> Response:
        """Return where somebody goes who asks for a page without a session.

        Browsers send no strict cookie when somebody comes from another site; a page of ours that loads itself again is
        asked for with it.
        """
        place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.headers.get("sec-fetch-site") == "cross-site":
            return self._show(request, "again.html", {"place": place})
        query = "" if place in ("/console", "/console/") else f"?{_next(place)}"
        response = RedirectResponse(f"/console/sign-in{query}", 303, {**PLAIN_HEADERS, "Cache-Control": "no-store"})
        cookie = Cookie.of(request, self._hosts)
        if cookie.name in request.cookies:
            response.headers.append("set-cookie", cookie.forget())
        return response

    async def page(self, request: Request) -> Response:
        """Show the form, or why nobody signs in here."""
        return self._form(request, place=request.query_params.get("next", ""))

    async def by_token(self, request: Request) -> Response:
        """Sign in with the token of the form."""
        self._hosts.require_private(request)
        form = await own_form(request, self._hosts)
        place, token = form.get("next", ""), form.get("token", "").strip()
        try:
            principal = await self._shown(request, token)
        except Unauthorized as error:
            await self._hold_back(request)
            return self._form(request, place=place, fault=str(error), status=401)
        return await self._begun(request, principal, place)

    async def of_token_in_header(self, request: Request) -> Principal:
        """Return who shows a bearer token in a header. Raise Unauthorized."""
        scheme, _, token = request.headers["authorization"].strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("pages take bearer tokens only; send `Authorization: Bearer TOKEN`")
        try:
            return await self._shown(request, token.strip())
        except Unauthorized:
            await self._hold_back(request)
            raise

    async def link_page(self, request: Request) -> Response:
        """Show one button: what looks at links before people do, signs nobody in."""
        self._require_here(request)
        self._sessions.open_link(request.path_params["sealed"])
        return self._show(request, "link.html", {"minutes": LINK_GOOD.seconds // 60})

    async def by_link(self, request: Request) -> Response:
        """Sign in with a one-time link, which is used up."""
        self._require_here(request)
        await own_form(request, self._hosts)
        try:
            link = self._sessions.open_link(request.path_params["sealed"])
            principal = await self._rest.run_in_thread(lambda: self._use(link))
        except Unauthorized as error:
            await self._hold_back(request)
            return self._form(request, place="", fault=str(error), status=401)
        return await self._begun(request, principal, "")

    def holder(self, session: Session) -> Principal:
        """Return whose session it is. Raise Unauthorized when it was ended, or its token revoked."""
        if self._rest.store.ended_sessions.among({(session.account_id, session.session_id)}):
            raise Unauthorized("somebody signed out of this session; sign in again")
        return self._access.holder(session.account_id, session.token_id)

    async def out(self, request: Request) -> Response:
        """End the session on every node, whoever else has its cookie, and forget it in this browser."""
        await own_form(request, self._hosts)
        with suppress(Unauthorized):  # it was over already
            session = self._sessions.open(request.cookies.get(Cookie.of(request, self._hosts).name, ""))
            principal = await self._rest.run_in_thread(lambda: self.holder(session))
            await self._rest.run_in_thread(lambda: self._end(session, principal))
        response = RedirectResponse("/console/sign-in", 303, {**PLAIN_HEADERS, "Cache-Control": "no-store"})
        response.headers.append("set-cookie", Cookie.of(request, self._hosts).forget())
        return response

    def _form(self, request: Request, *, place: str, fault: str = "", status: int = 200) -> Response:
        try:
            self._hosts.require_private(request)
        except Forbidden as error:
            return self._show(request, "sign_in.html", {"place": "", "fault": str(error), "is_open": False}, 403)
        return self._show(request, "sign_in.html", {"place": _own(place), "fault": fault, "is_open": True}, status)

    async def _shown(self, request: Request, token: str) -> Principal:
        client = _client(request)
        with self._wrong_credentials.place_of(client, now_seconds=self._monotonic()):
            return await self._rest.run_in_thread(lambda: self._access.bearer(token))

    async def _hold_back(self, request: Request) -> None:
        client = _client(request)
        seconds = self._wrong_credentials.failed(client, now_seconds=self._monotonic())
        await self._wrong_credentials.hold_back(client, seconds)

    async def _begun(self, request: Request, principal: Principal, place: str) -> Response:
        """Begin a session: always a new one, whatever the browser had."""
        session = self._sessions.begin(account_id=principal.account_id, token_id=principal.key_id)
        caller = self._caller(principal, "ConsoleSignIn")
        await self._rest.run_in_thread(lambda: self._rest.store.write(lambda unit: caller.record(unit, "")))
        response = RedirectResponse(_own(place) or "/console/", 303, {**PLAIN_HEADERS, "Cache-Control": "no-store"})
        cookie = Cookie.of(request, self._hosts)
        header = cookie.set(self._sessions.seal(session), seconds=int(SIGNED_IN.total_seconds()))
        response.headers.append("set-cookie", header)
        return response

    def _end(self, session: Session, principal: Principal) -> None:
        caller = self._caller(principal, "ConsoleSignOut")

        def work(unit: Unit) -> None:
            if unit.ended_sessions.end(session.account_id, session.session_id):
                caller.record(unit, "")

        self._rest.store.write(work)

    def _caller(self, principal: Principal, operation: str) -> Caller:
        return Caller(
            principal=principal,
            region=REGION_OF_SIGN_INS,
            operation=operation,
            request_id=self._new_request_id(),
            endpoint="",
        )

    def _use(self, link: OneTimeLink) -> Principal:
        """Use a link up, on whichever node. Raise Unauthorized when it was used before."""
        principal = self._access.holder(link.account_id, link.token_id)
        scope = Scope(account_id=link.account_id, region=REGION_OF_SIGN_INS)

        def claim(unit: Unit) -> bool:
            return unit.idempotency.claim(
                scope, operation="ConsoleLink", token=link.link_id, request=b"", reference=link.link_id
            ).is_new

        if not self._rest.store.write(claim):
            raise Unauthorized(_USED)
        return principal

    def _require_here(self, request: Request) -> None:
        if not self._hosts.is_here(request):
            raise Forbidden("one-time links work on the machine of the service only; sign in with a bearer token")


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _next(place: str) -> str:
    return urlencode({"next": place})


def _own(place: str) -> str:
    """Return a path of the console, "" for anything else: a link must not lead elsewhere by way of our sign-in."""
    return place if _PLACE.fullmatch(place) else ""
