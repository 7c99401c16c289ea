"""All operations of one server: each resource with what it needs, and the handler of every row of the table."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from earwitness.access.caller import Handler
from earwitness.access.paging import Pages
from earwitness.api.configurations import Configurations
from earwitness.api.domains import Domains
from earwitness.api.fragment_lists import FragmentLists
from earwitness.api.get_media import MediaReading, MediaReads
from earwitness.api.operations import ARCHIVED_MEDIA, PIPELINES, STREAMS, VOICE
from earwitness.api.pipelines import Pipelines
from earwitness.api.profiles import Profiles
from earwitness.api.put_media import PutMedia
from earwitness.api.put_media_session import PutMediaSession
from earwitness.api.search_tasks import SearchTasks
from earwitness.api.stream_settings import StreamSettings
from earwitness.api.stream_tags import StreamTags
from earwitness.api.streams import Streams
from earwitness.api.tags import Tags
from earwitness.config.settings import Quotas
from earwitness.media.streams import MediaStreams
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.tasks.pipelines import PipelineMoves
from earwitness.tasks.work import Work
from earwitness.threads import RunInThread, RunOnLoop
from earwitness.wire.exchange import Exchange

OpenMedia: TypeAlias = Callable[[Exchange], Awaitable[PutMediaSession | MediaReading]]
"""Opens an operation whose request or answer is a stream."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the operations of a server need from the rest of it."""

    store: Store
    quotas: Quotas
    steering: PipelineMoves
    new_guid: Callable[[], str]
    public_url: str
    """Where clients reach the media operations; where they came from when empty."""

    stream_exists: Callable[[Scope, str], bool]
    """Whether an account may read from the stream of an ARN. May ask AWS, so it belongs in no unit."""

    work: Work
    streams: MediaStreams
    run_on_loop: RunOnLoop
    """Runs a coroutine on the event loop and waits for it."""


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
        new_id=new_id,
        public_url=needs.public_url,
        on_deleted=lambda scope, stream: needs.run_on_loop(needs.streams.delete(scope, stream)),
        on_retention_changed=lambda scope, stream: needs.run_on_loop(needs.streams.retain(scope, stream)),
    )
    domains = Domains(store=store, pages=pages, quotas=quotas, new_id=new_id, on_deleted=needs.work.all_changed)
    tasks = SearchTasks(store=store, work=needs.work, quotas=quotas, new_id=new_id, steering=needs.steering)
    fragments = FragmentLists(store=store, pages=pages, streams=needs.streams, run_on_loop=needs.run_on_loop)
    by_service: dict[str, list[Mapping[str, Handler]]] = {
        PIPELINES: [
            Configurations(store=store, pages=pages, quotas=quotas, new_id=new_id).handlers(),
            pipelines.handlers(),
            tasks.handlers(),
            tags,
        ],
        VOICE: [
            domains.handlers(),
            Profiles(store=store, pages=pages, quotas=quotas, new_id=new_id).handlers(),
            tags,
        ],
        STREAMS: [
            streams.handlers(),
            StreamTags(store=store, quotas=quotas).handlers(),
            StreamSettings(store=store).handlers(),
        ],
        ARCHIVED_MEDIA: [fragments.handlers()],
    }
    return {
        (service, operation): handler
        for service, groups in by_service.items()
        for group in groups
        for operation, handler in group.items()
    }


def build_streaming(
    store: Store,
    streams: MediaStreams,
    *,
    run_in_thread: RunInThread,
    monotonic: Callable[[], float],
    is_draining: Callable[[], bool],
    heard_from: Callable[[str], None],
) -> dict[str, OpenMedia]:
    """What opens the operations that are streams, by operation; exactly those of the table, which a test asserts.

    `run_in_thread` runs a read of the records where it hurts nobody; `heard_from` is called with a stream's ARN for
    each of its fragments.
    """
    media = MediaReads(store, streams, run_in_thread=run_in_thread, is_draining=is_draining)
    producers = PutMedia(
        store, streams, run_in_thread=run_in_thread, monotonic=monotonic, is_draining=is_draining, heard_from=heard_from
    )
    return {
        "PutMedia": producers.open,
        "GetMedia": media.open_get_media,
        "GetMediaForFragmentList": media.open_fragment_list,
    }
