"""The console as an ASGI application, made of the tables of pages and actions: a request's way to its page.

Every page is HTML, JSON (`.json` behind its path) and, where it changes by itself, an event stream (`.stream`).
"""

import gzip
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from earwitness import __version__
from earwitness.access.access import Access, require_role
from earwitness.access.caller import Caller
from earwitness.console.actions import ACTIONS, UPLOADS, ConsoleAction, ConsoleUpload
from earwitness.console.context import ConsoleCall, Content, Done
from earwitness.console.files import ServedFiles, takes_gzip
from earwitness.console.forms import FORM_LIMIT, own_form
from earwitness.console.guard import PLAIN_HEADERS, Cookie, Hosts, page_headers
from earwitness.console.live import LivePage, LiveViews
from earwitness.console.pages import PAGES, ConsolePage
from earwitness.console.rendering import Templates, address
from earwitness.console.sessions import SIGNED_IN, Session, Sessions
from earwitness.console.sign_in import SignIn
from earwitness.console.uploads import STALE_FORM, ReceivedForm, receive_calls, receive_recording
from earwitness.errors import Forbidden, Throttled, Unauthorized, UnknownOperation
from earwitness.evaluation.background import Evaluations
from earwitness.rest.app import encoded, fault_of
from earwitness.rest.context import RestContext
from earwitness.rest.models import ErrorAnswer, ErrorDetailAnswer
from earwitness.rest.parameters import Parameters, read_parameters
from earwitness.server.aws import received
from earwitness.server.body import BodyLimit, watching
from earwitness.wire.buckets import Throttle
from earwitness.wire.exchange import Principal
from earwitness.wire.faults import Fault, log_fault
from earwitness.wire.shares import Shares
from earwitness.wire.wrong_credentials import WrongCredentials

ROOT = "/console"
DEFAULT_REGION = "us-east-1"
STREAMS_AT_ONCE_MAX = 500
COMPRESSED_FROM_BYTES = 1_000

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
AskedFor: TypeAlias = ConsolePage | ConsoleAction | ConsoleUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who looks at a page."""

    principal: Principal
    #: None for a program that shows a bearer token.
    session: Session | None


class Console:
    """The way of a request to its page. Lives on the event loop."""

    def __init__(
        self,
        rest: RestContext,
        access: Access,
        *,
        hosts: Hosts,
        throttle: Throttle,
        wrong_credentials: WrongCredentials,
        new_request_id: Callable[[], str],
        monotonic: Callable[[], float],
        views: LiveViews | None = None,
        files: ServedFiles | None = None,
        evaluations: Evaluations | None = None,
    ) -> None:
        """By the seconds of `monotonic` calls are counted."""
        self._rest = rest
        self._access = access
        self._hosts = hosts
        self._throttle = throttle
        self._evaluations = evaluations
        self._new_request_id = new_request_id
        self._monotonic = monotonic
        self.sessions = Sessions(rest.store.token_key, clock=rest.clock, new_id=lambda: secrets.token_urlsafe(16))
        self._templates = Templates()
        self._files = files or ServedFiles()
        self._views = views or LiveViews(rest.events_changed, run_in_thread=rest.run_in_thread)
        self._streams = Shares(
            STREAMS_AT_ONCE_MAX, refusal="too many pages of this account are open; close some, or reload by hand"
        )
        self._sign_in = SignIn(
            rest,
            access,
            self.sessions,
            hosts,
            wrong_credentials=wrong_credentials,
            new_request_id=new_request_id,
            monotonic=monotonic,
            show=self._bare_page,
        )

    def application(self) -> ASGIApp:
        """Return the application. It answers paths under ROOT."""
        sign_in = self._sign_in
        routes = [
            _route("", self._to_first_page),
            _route("/", self._guarded(self._first_page)),
            _route("/static/{version}/{name}", self._file),
            _route("/sign-in", self._guarded(sign_in.page)),
            _route("/sign-in", self._guarded(sign_in.by_token), "POST"),
            _route("/link/{sealed}", self._guarded(sign_in.link_page)),
            _route("/link/{sealed}", self._guarded(sign_in.by_link), "POST"),
            _route("/sign-out", self._guarded(sign_in.out), "POST"),
        ]
        for page in PAGES:
            path = f"/{{region}}{page.path}"
            routes.append(_route(f"{path}.json", self._guarded(self._as_json(page), page)))
            if page.is_live:
                routes.append(_route(f"{path}.stream", self._guarded(self._as_stream(page), page)))
            routes.append(_route(path, self._guarded(self._as_page(page), page)))
        routes += [
            _route(f"/{{region}}{action.path}", self._guarded(self._doing(action), action), "POST")
            for action in ACTIONS
        ]
        routes += [
            _route(f"/{{region}}{upload.path}", self._guarded(self._uploading(upload), upload), "POST")
            for upload in UPLOADS
        ]
        application = Starlette(routes=routes, exception_handlers={HTTPException: self._unrouted})
        application.router.redirect_slashes = False
        return application

    # Pages.

    def _as_page(self, page: ConsolePage) -> Endpoint:
        async def answer(request: Request) -> Response:
            if _wants_json(request):
                return await self._as_json(page)(request)
            visitor = await self._visitor(request)
            call = self._admitted(request, visitor, page)
            nonce = secrets.token_urlsafe(16)

            def work() -> str:
                content = page.handler(call)
                return self._templates.page(page.template, self._values(page, call, content, request, visitor, nonce))

            html = await self._rest.run_in_thread(work)
            response = self._html(request, html, nonce, microphone=page.uses_microphone)
            self._forget_message(request, response)
            return self._renewed(request, response, visitor)

        return answer

    def _as_json(self, page: ConsolePage) -> Endpoint:
        async def answer(request: Request) -> Response:
            visitor = await self._visitor(request, takes_token=True)
            call = self._admitted(request, visitor, page)
            content = await self._rest.run_in_thread(lambda: encoded(page.handler(call)))
            return Response(content, 200, {**PLAIN_HEADERS, "Cache-Control": "no-store"}, "application/json")

        return answer

    def _as_stream(self, page: ConsolePage) -> Endpoint:
        async def answer(request: Request) -> Response:
            visitor = await self._visitor(request)
            call = self._admitted(request, visitor, page)
            query = tuple(sorted(request.query_params.items()))
            principal = visitor.principal
            key = request.url.path, query, principal.account_id, principal.role
            session_id = visitor.session.session_id if visitor.session else ""
            holding = partial(self._access.held_keys.holding, principal, session_id=session_id)

            def show(content: Content) -> str:
                return self._templates.live(page.template, self._live_values(page, call, content, request))

            opened = LivePage(key=key, handler=page.handler, call=call, show=show, watch=page.watch)
            first = await self._rest.run_in_thread(opened.first)

            async def messages() -> AsyncGenerator[bytes]:
                with self._streams.taken(principal.account_id), holding() as held:
                    async for message in self._views.messages(opened, first, held):
                        yield message

            headers = {**PLAIN_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            response = StreamingResponse(messages(), 200, headers, "text/event-stream")
            return self._renewed(request, response, visitor)

        return answer

    def _doing(self, action: ConsoleAction) -> Endpoint:
        async def answer(request: Request) -> Response:
            visitor = await self._visitor(request)
            limit = action.limit if visitor.principal.role in action.roles else FORM_LIMIT
            form = await own_form(request, self._hosts, limit)
            token = form.pop("formToken", "")
            if visitor.session is None or not self.sessions.fits(visitor.session, token):
                raise Forbidden(STALE_FORM)
            call = self._admitted(request, visitor, action, form=form)
            done = await self._rest.run_in_thread(lambda: action.handler(call))
            return self._gone_on(request, call, done)

        return answer

    def _uploading(self, upload: ConsoleUpload) -> Endpoint:
        async def answer(request: Request) -> Response:
            visitor = await self._visitor(request)
            session, principal = visitor.session, visitor.principal
            # Whoever may not is told so before the recording comes.
            region = read_parameters(Parameters, path={"region": request.path_params["region"]}, query=[]).region
            self._admit(self._caller(request, visitor, upload, region), upload)
            with ExitStack() as held:
                session_id = session.session_id if session else ""
                key = held.enter_context(self._access.held_keys.holding(principal, session_id=session_id))
                received = await self._receive(request, visitor, upload, held)
                key.require()  # the form may have taken minutes
                call = self._asked(request, visitor, upload, form=received.fields)
                call = replace(call, recording=received.recording, calls=received.calls)
                async with watching(request.receive, abandoned=call.abandoned):
                    found = await self._rest.run_in_thread(lambda: upload.handler(call))
            if isinstance(found, Done):
                return self._gone_on(request, call, found)
            if _wants_json(request):
                headers = {**PLAIN_HEADERS, "Cache-Control": "no-store"}
                return Response(encoded(found), 200, headers, "application/json")
            nonce = secrets.token_urlsafe(16)
            values = {**self._values(upload, call, found, request, visitor, nonce), "json_url": ""}
            return self._html(request, self._templates.page(upload.template, values), nonce)

        return answer

    async def _receive(
        self, request: Request, visitor: Visitor, upload: ConsoleUpload, held: ExitStack
    ) -> ReceivedForm:
        account_id, limits = visitor.principal.account_id, self._rest.limits

        def fits(token: str) -> bool:
            return visitor.session is not None and self.sessions.fits(visitor.session, token)

        held.enter_context(self._rest.recording_places.taken(account_id))
        if upload.brings_calls:
            if self._evaluations is not None:
                self._evaluations.require_place(account_id)
            return await receive_calls(request, self._hosts, fits=fits, held=held)
        limit = BodyLimit(bytes_max=limits.recording_bytes_max, seconds_max=limits.recording_seconds_max)
        return await receive_recording(request, self._hosts, fits=fits, limit=limit, held=held)

    def _gone_on(self, request: Request, call: ConsoleCall[Any], done: Done) -> Response:
        place = address(f"{ROOT}/{call.caller.region}{done.path}", done.query)
        response = RedirectResponse(place, 303, {**PLAIN_HEADERS, "Cache-Control": "no-store"})
        cookie = self._message_cookie(request)
        response.headers.append("set-cookie", cookie.set(self.sessions.seal_message(done.message), seconds=60))
        return response

    async def _first_page(self, request: Request) -> Response:
        visitor = await self._visitor(request)
        account_id, role = visitor.principal.account_id, visitor.principal.role
        regions = await self._rest.run_in_thread(lambda: self._rest.store.credentials.regions_of(account_id))
        page = next((page for page in PAGES if page.navigation and role in page.roles), None)
        if page is None:
            raise Forbidden(f"a token of role {role} sees nothing here; use admin, operator, reader or auditor")
        region = regions[0] if regions else DEFAULT_REGION
        return RedirectResponse(f"{ROOT}/{region}{page.path}", 303, PLAIN_HEADERS)

    async def _to_first_page(self, _request: Request) -> Response:
        return RedirectResponse(f"{ROOT}/", 303, PLAIN_HEADERS)

    async def _file(self, request: Request) -> Response:
        return self._files.answer(request)

    # Who asks.

    async def _visitor(self, request: Request, *, takes_token: bool = False) -> Visitor:
        """Raise Unauthorized for whoever has not signed in, or whose token was revoked since."""
        if takes_token and "authorization" in request.headers:
            principal = await self._sign_in.of_token_in_header(request)
            return Visitor(principal=principal, session=None)
        value = request.cookies.get(Cookie.of(request, self._hosts).name)
        if not value:
            raise Unauthorized("sign in first, with a bearer token")
        session = self.sessions.open(value)
        principal = await self._rest.run_in_thread(lambda: self._sign_in.holder(session))
        return Visitor(principal=principal, session=session)

    def _admitted(
        self,
        request: Request,
        visitor: Visitor,
        asked: AskedFor,
        *,
        form: Mapping[str, str] | None = None,
    ) -> ConsoleCall[Any]:  # `Any`: the parameters of what is asked for
        """Return the call. Raise Forbidden when the role may not, Throttled, and BadRequest for its parameters."""
        call = self._asked(request, visitor, asked, form=form)
        self._admit(call.caller, asked)
        return call

    def _asked(
        self, request: Request, visitor: Visitor, asked: AskedFor, *, form: Mapping[str, str] | None
    ) -> ConsoleCall[Any]:  # `Any`: as above
        path = dict(request.path_params)
        query = received(request.scope).query if form is None else tuple(form.items())
        # Of fields that were left empty browsers send the names.
        params: Any = read_parameters(asked.parameters, path=path, query=[pair for pair in query if pair[1]])
        caller = self._caller(request, visitor, asked, params.region)
        return ConsoleCall(rest=self._rest, caller=caller, params=params, evaluations=self._evaluations)

    def _caller(self, request: Request, visitor: Visitor, asked: AskedFor, region: str) -> Caller:
        return Caller(
            principal=visitor.principal,
            region=region,
            operation=asked.operation,
            request_id=self._new_request_id(),
            endpoint=f"{request.url.scheme}://{request.url.netloc}",
        )

    def _admit(self, caller: Caller, asked: AskedFor) -> None:
        """Raise Forbidden when the role may not, and Throttled."""
        try:
            require_role(caller.principal, asked.operation, asked.roles)
        except Forbidden:
            self._access.record_refusal(caller, Forbidden.__name__)
            raise
        self._throttle.take(caller.principal.key_id, asked.operation, now_seconds=self._monotonic())

    def _renewed(self, request: Request, response: Response, visitor: Visitor) -> Response:
        session = visitor.session
        if session is not None and self.sessions.is_to_be_replaced(session):
            left = SIGNED_IN - (self._rest.clock() - session.signed_in_at)
            cookie = Cookie.of(request, self._hosts)
            header = cookie.set(self.sessions.seal(session), seconds=int(left.total_seconds()))
            response.headers.append("set-cookie", header)
        return response

    # What templates get. `Any`: whatever they show.

    def _live_values(
        self, page: ConsolePage | ConsoleUpload, call: ConsoleCall[Any], content: Content, request: Request
    ) -> dict[str, Any]:
        """Of the part that changes: nothing of one session, because others get it too."""
        root = f"{ROOT}/{call.caller.region}"
        query = dict(request.query_params)

        def url(path: str, **query: object) -> str:
            return address(f"{root}{path}", query)

        def again(**changed: object) -> str:
            """Return the address of this page with another query."""
            return address(request.url.path.removesuffix(".stream"), {**query, **changed})

        return {
            **content,
            "page": page,
            "params": call.params,
            "url": url,
            "again": again,
            "may": call.may,
            "now": self._rest.clock(),
        }

    def _values(
        self,
        page: ConsolePage | ConsoleUpload,
        call: ConsoleCall[Any],
        content: Content,
        request: Request,
        visitor: Visitor,
        nonce: str,
    ) -> dict[str, Any]:
        values = self._live_values(page, call, content, request)
        role = visitor.principal.role
        return {
            **values,
            **self._frame(nonce),
            "visitor": visitor.principal,
            "region": call.caller.region,
            "navigation": [one for one in PAGES if one.navigation and role in one.roles],
            "form_token": self.sessions.form_token(visitor.session) if visitor.session else "",
            "json_url": address(f"{request.url.path}.json", dict(request.query_params)),
            "stream_url": address(f"{request.url.path}.stream", dict(request.query_params)),
            "message": self._message(request),
        }

    def _frame(self, nonce: str) -> dict[str, Any]:
        return {
            "nonce": nonce,
            "file": self._files.address,
            "has_scripts": self._files.has_scripts,
            "has_file": self._files.has,
            "version": __version__,
        }

    def _bare_page(self, request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Return a page for whoever has not signed in, or that failed."""
        nonce = secrets.token_urlsafe(16)
        html = self._templates.page(template, {**self._frame(nonce), **values})
        return self._html(request, html, nonce, status=status)

    def _html(
        self, request: Request, html: str, nonce: str, *, status: int = 200, microphone: bool = False
    ) -> Response:
        headers = {**page_headers(nonce, microphone=microphone), "Vary": "Accept, Accept-Encoding, Cookie"}
        content = html.encode()
        if takes_gzip(request) and len(content) >= COMPRESSED_FROM_BYTES:
            # What others chose and what is secret may stand beside each other: a page of another site gets no page of
            # ours to measure, because its requests carry no cookie, and form tokens are another text each time.
            content = gzip.compress(content, 5, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Response(content, status, headers, "text/html")

    # A message of what was done, once, on the next page.

    def _message_cookie(self, request: Request) -> Cookie:
        cookie = Cookie.of(request, self._hosts)
        return replace(cookie, name=f"{cookie.name}-done")

    def _message(self, request: Request) -> str:
        sealed = request.cookies.get(self._message_cookie(request).name, "")
        return self.sessions.open_message(sealed) if sealed else ""

    def _forget_message(self, request: Request, response: Response) -> None:
        cookie = self._message_cookie(request)
        if cookie.name in request.cookies:
            response.headers.append("set-cookie", cookie.forget())

    # Errors.

    def _guarded(self, endpoint: Endpoint, asked: AskedFor | None = None) -> Endpoint:
        """Return the endpoint behind the checks that all have, with its errors as pages or as JSON."""

        async def answer(request: Request) -> Response:
            try:
                self._hosts.require_known(request)
                return await endpoint(request)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except Exception as error:
                return await self._refused(request, error, asked)

        return answer

    async def _refused(self, request: Request, error: Exception, asked: AskedFor | None) -> Response:
        fault, request_id = fault_of(error), self._new_request_id()
        operation = asked.operation if asked is not None else "Console"
        log_fault(error, fault, {"request_id": request_id, "operation": operation})
        if isinstance(error, Unauthorized) and request.method == "GET" and not _is_for_programs(request):
            return self._sign_in.asked_for(request)
        back = f"{ROOT}/{request.path_params['region']}{asked.back}" if isinstance(asked, ConsoleUpload) else ""
        response = self._fault(request, fault, request_id, back=back)
        if isinstance(error, Throttled):
            response.headers["Retry-After"] = str(max(1, round(error.retry_after_seconds or 0.0)))
        return response

    def _fault(self, request: Request, fault: Fault, request_id: str, *, back: str = "") -> Response:
        if _is_for_programs(request):
            detail = ErrorDetailAnswer(type=fault.name, message=fault.message, request_id=request_id)
            headers = {**PLAIN_HEADERS, "Cache-Control": "no-store"}
            return Response(encoded(ErrorAnswer(error=detail)), fault.status, headers, "application/json")
        values = {"status": fault.status, "fault": fault.message, "request_id": request_id, "back": back}
        return self._bare_page(request, "fault.html", values, fault.status)

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        """Answer a request that no page is for."""
        fault = fault_of(UnknownOperation("there is no page at this address; begin with the start page"))
        if isinstance(error, HTTPException) and error.status_code == 405:
            fault = Fault(
                name=fault.name, status=405, message="this address takes forms only; begin with the start page"
            )
        return self._fault(request, fault, self._new_request_id())


def _route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
    return Route(ROOT + path, endpoint, methods=[method])


def _wants_json(request: Request) -> bool:
    return request.headers.get("accept", "").partition(",")[0].strip() == "application/json"


def _is_for_programs(request: Request) -> bool:
    return request.url.path.endswith((".json", ".stream")) or _wants_json(request)
