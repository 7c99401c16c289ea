"""What AWS's operations work with, and the steps that several of them take: create once, change, list, tag."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from earwitness.access.caller import Caller
from earwitness.access.once import once
from earwitness.access.paging import DEFAULT_PAGE_LENGTH, Pages
from earwitness.config.limits import Quotas
from earwitness.errors import BadRequest, NotFound, Unavailable
from earwitness.media.streams import MediaStreams
from earwitness.server.aws import Streaming
from earwitness.store.records import KinesisStream, Page, PageKey, Scope, SpeakerSearchTask
from earwitness.store.store import Store, Unit
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.runner import TaskRunner
from earwitness.threads import RunInThread, RunOnLoop
from earwitness.voice.consent import require_clear_tags
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

_T = TypeVar("_T")


class _Resource(Protocol):
    @property
    def arn(self) -> str: ...


class _ReadPage(Protocol[_T]):
    def __call__(self, *, after: PageKey | None, limit: int) -> Page[_T]: ...


_ResourceT = TypeVar("_ResourceT", bound=_Resource)


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """What all operations share. No field changes."""

    store: Store
    quotas: Quotas
    work: TaskRunner
    pipeline_moves: PipelineMoves
    streams: MediaStreams
    #: Return a new UUID.
    new_id: Callable[[], str]
    #: Return whether an account can read a stream, by its ARN. It may ask AWS, so it must not be called inside a unit.
    stream_exists: Callable[[Scope, str], bool]
    #: Where clients reach the media operations; empty for where each request came to.
    public_url: str
    #: Where they reach this node and no other; empty where they do not.
    node_url: str
    run_on_loop: RunOnLoop
    #: Read records from the event loop, without blocking it.
    run_in_thread: RunInThread
    #: Return seconds that only grow.
    monotonic: Callable[[], float]
    #: Return whether the service is stopping.
    is_draining: Callable[[], bool]
    #: Called with a stream's ARN for each fragment that comes.
    heard_from: Callable[[str], None]
    #: Has a task run that was started, where it is to run.
    announce: Callable[[SpeakerSearchTask], None]
    #: Returns when it is certain that this node still serves; raises Unavailable.
    may_say_persisted: Callable[[], Awaitable[None]]

    def require_room(self, unit: Unit, scope: Scope, stream_arn: str) -> None:
        """Raise Unavailable when no task on this stream could be run, or the account has its share of tasks."""
        runner = unit.homes.runner_of(scope, stream_arn)
        if runner == self.store.node_id:
            account_id = scope.account_id
            self.work.require_room(account_id, is_alone=unit.access_keys.is_only_account(account_id))
            return
        node = None if runner is None else unit.nodes.get(runner)
        if node is not None and node.room <= 0:
            raise Unavailable(f"the node of this stream hears {node.tasks} calls and takes no more; try again")

    def data_endpoint(self, stream: KinesisStream) -> str:
        """Return where a stream's media are sent to and read from; empty for where the request came to."""
        if stream.home_node is not None:
            home = self.store.nodes.get(stream.home_node)
            if home is not None and home.node_url and home.dead_at is None:
                return home.node_url
        return (self.node_url or self.public_url).rstrip("/")

    def write(self, caller: Caller, work: Callable[[Unit], _ResourceT]) -> _ResourceT:
        """Run `work` in a transaction that also writes into the audit trail which resource the call was about."""

        def audited(unit: Unit) -> _ResourceT:
            resource = work(unit)
            caller.record(unit, resource.arn)
            return resource

        return self.store.write(audited)

    def create(
        self,
        caller: Caller,
        params: Params,
        *,
        reference: str,
        create: Callable[[Unit], _ResourceT],
        find: Callable[[Unit, str], _ResourceT | None],
    ) -> _ResourceT:
        """Return what `create` makes, with the request's tags, or what an earlier request with its token made.

        `reference` is the id of what is to be made; `find` finds it by that id.
        """
        tags = named_tags(params)

        def create_tagged(unit: Unit) -> _ResourceT:
            created = create(unit)
            self.set_tags(unit, caller, created.arn, tags)
            caller.record(unit, created.arn)
            return created

        def work(unit: Unit) -> _ResourceT:
            return once(
                unit,
                caller,
                params,
                reference=reference,
                create=lambda: create_tagged(unit),
                find=lambda made: find(unit, made),
            )

        return self.store.write(work)

    def list_page(
        self,
        caller: Caller,
        params: Params,
        member: str,
        read: _ReadPage[_T],
        describe: Callable[[_T], object],
        *,
        about: str = "",
        default_length: int = DEFAULT_PAGE_LENGTH,
    ) -> Result:
        """Return the page that a request asks for as `member`, and NextToken when there are more.

        `about` is what the list is filtered by. Raise BadRequest for a NextToken that is not of this list.
        """
        pages = Pages(self.store.token_key)
        found, following = pages.read(
            caller,
            params,
            lambda after, limit: read(after=after, limit=limit),
            about=about,
            default_length=default_length,
        )
        return {member: [describe(record) for record in found], **following}

    def set_tags(self, unit: Unit, caller: Caller, arn: str, tags: Mapping[str, str]) -> None:
        """Give a resource tags. Raise LimitExceeded when it would have too many."""
        unit.tags.set(caller.scope, arn, tags, limit=self.quotas.tags_per_resource)

    def use_of(self, scope: Scope) -> Mapping[str, tuple[int, int]]:
        """Return how much an account uses and the most that it may, by name. Raise StoreUnavailable."""
        store, quotas, account_id = self.store, self.quotas, scope.account_id
        is_alone = store.access_keys.is_only_account(account_id)
        connections = self.streams.connections
        return {
            "runningTasks": (self.work.running(account_id), self.work.most(account_id, is_alone=is_alone)),
            "mediaConnections": (connections.held(account_id), connections.most(account_id)),
            "activeTasks": (store.tasks.count_active(scope), quotas.active_tasks),
            "activePipelines": (store.pipelines.count_active(scope), quotas.active_pipelines),
            "configurations": (store.configurations.count(scope), quotas.configurations),
            "domains": (store.domains.count(scope), quotas.domains),
            "streams": (store.streams.count(scope), quotas.streams),
        }


OperationHandler: TypeAlias = Callable[[ApiContext, Caller, Params], Result]
"""An operation: takes parsed and validated parameters, returns the members of the output shape."""

StreamHandler: TypeAlias = Callable[[ApiContext, Caller, Params], Awaitable[Streaming]]
"""An operation whose request or answer is a stream: returns what is to be run, after its checks."""


def require(record: _T | None, missing: str) -> _T:
    """Return the record. Raise NotFound with the sentence `missing` when there is none."""
    if record is None:
        raise NotFound(missing)
    return record


def named_tags(params: Params) -> dict[str, str]:
    """Return the tags of a request by key: Chime's services take a list of Key and Value, Kinesis Video Streams a map.

    Raise BadRequest when a key comes twice, or when tags would carry a consent in clear.
    """
    given: Mapping[str, str] | list[dict[str, str]] = params.get("Tags") or {}
    tags = dict(given) if isinstance(given, Mapping) else {tag["Key"]: tag["Value"] for tag in given}
    require_clear_tags(tags)
    if len(tags) != len(given):
        raise BadRequest("a tag key is given twice; send each key once")
    return tags
