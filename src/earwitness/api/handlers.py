"""All operations of one server: each resource with what it needs, and the handler of every row of the table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from earwitness.api.caller import Handler
from earwitness.api.configurations import Configurations
from earwitness.api.domains import Domains
from earwitness.api.operations import PIPELINES, STREAMS, VOICE
from earwitness.api.paging import Pages
from earwitness.api.pipelines import Pipelines
from earwitness.api.profiles import Profiles
from earwitness.api.quotas import Quotas
from earwitness.api.stream_settings import StreamSettings
from earwitness.api.streams import Streams
from earwitness.api.tags import Tags
from earwitness.flows.steer import Steering
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store, Unit


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the operations of a server need from the rest of it."""

    store: Store
    quotas: Quotas
    steering: Steering
    new_guid: Callable[[], str]
    new_version: Callable[[], str]
    """Of a stream, at each of its changes: 1 to 64 letters and digits."""

    public_url: str
    """Where clients reach the media operations; where they came from when empty."""

    stream_exists: Callable[[Unit, Scope, str], bool]
    """Whether an account may read from the stream of an ARN."""

    on_stream_deleted: Callable[[Scope, KinesisStream], None]
    on_stream_retention: Callable[[Scope, KinesisStream], None]


def build_handlers(needs: Needs) -> dict[tuple[str, str], Handler]:
    """The handlers by service and operation; exactly those of the table, which a test asserts."""
    store, quotas, pages = needs.store, needs.quotas, Pages(needs.store.token_key)
    new_id = needs.new_guid
    tags = Tags(store=store, quotas=quotas).handlers()
    pipelines = Pipelines(
        store=store,
        pages=pages,
        quotas=quotas,
        new_id=new_id,
        steering=needs.steering,
        stream_exists=needs.stream_exists,
    )
    streams = Streams(
        store=store,
        pages=pages,
        quotas=quotas,
        new_version=needs.new_version,
        public_url=needs.public_url,
        on_deleted=needs.on_stream_deleted,
        on_retention=needs.on_stream_retention,
    )
    by_service: dict[str, list[Mapping[str, Handler]]] = {
        PIPELINES: [
            Configurations(store=store, pages=pages, quotas=quotas, new_id=new_id).handlers(),
            pipelines.handlers(),
            tags,
        ],
        VOICE: [
            Domains(store=store, pages=pages, quotas=quotas, new_id=new_id).handlers(),
            Profiles(store=store, pages=pages).handlers(),
            tags,
        ],
        STREAMS: [streams.handlers(), StreamSettings(store=store, quotas=quotas).handlers()],
    }
    return {
        (service, operation): handler
        for service, groups in by_service.items()
        for group in groups
        for operation, handler in group.items()
    }
