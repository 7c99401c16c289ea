"""What pages and actions work with: the rooms below, handed in once, and the request in hand.

Pages ask with the handlers of the JSON API, so that a page shows what a program is told, to the same roles, with the
same entries in the audit trail.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, Generic, TypeAlias, TypeVar

from earwitness.access.access import require_role
from earwitness.access.caller import Caller
from earwitness.access.roles import Role
from earwitness.api.operations import TABLE
from earwitness.evaluation.background import Evaluations
from earwitness.evaluation.incoming import IncomingCalls
from earwitness.rest.context import NO_RECORDING, RestCall, RestContext, paged
from earwitness.rest.parameters import Parameters
from earwitness.rest.routes import ROUTES
from earwitness.store.records import Page, PageKey, RecordT, Scope
from earwitness.store.store import Store

_AnswerT = TypeVar("_AnswerT")
_ParametersT = TypeVar("_ParametersT", bound=Parameters)
ParametersT_co = TypeVar("ParametersT_co", bound=Parameters, covariant=True)

_ROLES: Mapping[str, frozenset[str]] = {
    **{served.operation: frozenset(role.value for role in served.roles) for served in TABLE},
    **{route.operation: frozenset(role.value for role in route.roles) for route in ROUTES},
    # Of the console alone: what is fitted here is for the whole service.
    "StartEvaluation": frozenset({Role.ADMIN.value}),
    "ShowEvaluation": frozenset({Role.ADMIN.value}),
    "EndEvaluation": frozenset({Role.ADMIN.value}),
}


def roles_of(operation: str) -> frozenset[str]:
    """Return who may call an operation of the APIs; of one that both have, what the JSON API says."""
    return _ROLES[operation]


def operations() -> list[str]:
    """Return the names of all operations of the APIs, sorted."""
    return sorted(_ROLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleCall(Generic[ParametersT_co]):
    """One request of somebody who has signed in, authorised and parsed."""

    #: What the JSON API's handlers work with.
    rest: RestContext
    #: Who asks for what.
    caller: Caller
    #: Of path and query; of an action also of its form.
    params: ParametersT_co
    #: The recording that a form brought; it is gone when the request is answered.
    recording: Path = NO_RECORDING
    #: Labelled calls that a form brought; they are whose that starts an evaluation of them.
    calls: IncomingCalls | None = None
    #: What is evaluated in this process; None where nothing is.
    evaluations: Evaluations | None = None
    #: Set when nobody waits for the answer any more.
    abandoned: Event = field(default_factory=Event)

    @property
    def scope(self) -> Scope:
        """Whose records the call is about; it reaches no others."""
        return self.caller.scope

    @property
    def store(self) -> Store:
        """The records."""
        return self.rest.store

    def ask(
        self,
        handler: Callable[[RestContext, RestCall[_ParametersT]], _AnswerT],
        params: _ParametersT,
        *,
        body: bytes = b"",
    ) -> _AnswerT:
        """Return what an operation of the JSON API answers to this caller; `body` is what it takes as JSON.

        Raise Forbidden when its role may not.
        """
        operation = type(params).__name__
        require_role(self.caller.principal, operation, roles_of(operation))
        call = RestCall(
            caller=replace(self.caller, operation=operation),
            params=params,
            recording=self.recording,
            body=body,
            abandoned=self.abandoned,
        )
        return handler(self.rest, call)

    def paged(
        self, read: Callable[[PageKey | None, int], Page[RecordT]], *, about: str = ""
    ) -> tuple[Sequence[RecordT], str | None]:
        """Return the items that `limit` and `next_token` of a page's parameters ask for, and the token of what follows.

        `about` is what the list is filtered by.
        """
        return paged(self.rest, RestCall(caller=self.caller, params=self.params), read, about=about)

    def may(self, operation: str) -> bool:
        """Return whether the caller's role may call an operation: what shows a button."""
        return self.caller.principal.role in roles_of(operation)


Content: TypeAlias = Mapping[str, Any]
"""What a page shows, by name: answers of the JSON API, and plain values. `Any`: whatever JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an action did, and where the browser goes on."""

    #: One sentence, for people. It names nobody: it travels in the address.
    message: str
    #: A path of the console behind the Region, as `/domains`.
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])


# `Any`: each handler takes the parameters of its own page.
PageHandler: TypeAlias = Callable[[ConsoleCall[Any]], Content]
"""Returns what a page shows. Called in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What differs once a page shows something else. It is compared with an earlier one, and read by nobody."""

    #: Of what the page reads in the records.
    records: Hashable
    #: Of what this process knows by itself.
    here: Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWatch:
    """How open pages of a kind are looked at, without reading all that they show. Both are called in threads."""

    #: Returns the marks of several pages, by their calls; a subject that is gone has one, too.
    marks: Callable[[Sequence[ConsoleCall[Any]]], Sequence[Mark]]
    #: Returns what a page showed while the records were the same, with what this process knows as it is now.
    again: Callable[[ConsoleCall[Any], Content], Content]


UploadHandler: TypeAlias = Callable[[ConsoleCall[Any]], "Content | Done"]
"""Does what a form with a recording asks for; returns what its page shows, or where the browser goes on."""

ActionHandler: TypeAlias = Callable[[ConsoleCall[Any]], Done]
"""Does what a form asks for. Called in a thread."""
