"""What a node does for the others, and because of them: it reads what it has to look at, takes silent nodes for dead,
takes up tasks that came to it, and lets go of those that left."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from earwitness.media.streams import MediaStreams
from earwitness.nodes.homes import StreamKey
from earwitness.nodes.lease import Lease
from earwitness.store.homes import StreamHome
from earwitness.store.node_records import NodeNote, NoteKind
from earwitness.store.pages import all_records_in_thread
from earwitness.store.records import SpeakerSearchTask
from earwitness.store.store import Store
from earwitness.tasks.runner import TaskRunner, WorkItem
from earwitness.threads import RunInThread
from earwitness.voice.task_status import is_active

NOTES_SECONDS = 0.4
"""How often a node looks for what it has to look at: a stop is to reach it within a second."""

BURY_SECONDS = 1.0
"""How often silent nodes are looked for."""

_log = logging.getLogger("earwitness.nodes")


class TaskSharing:
    """Tasks of this node among others. Lives on the event loop."""

    def __init__(
        self,
        store: Store,
        runner: TaskRunner,
        streams: MediaStreams,
        *,
        lease: Lease,
        run_in_thread: RunInThread,
        heard_from: Callable[[str], None],
        has_news: Callable[[], None],
        buried: Callable[[], Awaitable[None]],
    ) -> None:
        """`heard_from` begins the silence of a stream anew, by its ARN; `has_news` wakes those who wait for events;
        `buried` does what else there is to do when a node was taken for dead."""
        self._store = store
        self._runner = runner
        self._streams = streams
        self._lease = lease
        self._run_in_thread = run_in_thread
        self._heard_from = heard_from
        self._has_news = has_news
        self._buried = buried
        self._events = -1

    async def take_up(self) -> None:
        """Take up all active tasks of this node, and those that were begun before there were nodes."""
        await self._run_in_thread(lambda: self._store.write(lambda unit: unit.nodes.take_unplaced_tasks()))
        await self._take_up_all()

    def came(self, key: StreamKey, home: StreamHome) -> None:
        """Run the tasks of a stream that has come here; its silence counts from now on."""
        self._heard_from(key.arn)
        for pipeline_id, task_id in home.tasks:
            self._runner.submit(WorkItem(scope=key.scope, pipeline_id=pipeline_id, task_id=task_id))

    async def read_notes(self) -> None:
        """Look at what has changed for this node."""
        node_id = self._store.node_id
        if node_id is None:
            return
        news = await self._run_in_thread(lambda: self._store.nodes.news(node_id))
        if news.has_notes:
            notes = await self._run_in_thread(lambda: self._store.write(lambda unit: unit.nodes.take_notes()))
            for note in dict.fromkeys(notes):
                await self._look_at(note)
        if news.last_event != self._events:
            self._events = news.last_event
            self._has_news()

    async def bury(self) -> None:
        """Take silent nodes for dead, once others had time to say that they live."""
        while self._lease.may_judge() and await self._run_in_thread(self._store.nodes.is_any_silent):
            dead = await self._run_in_thread(lambda: self._store.write(lambda unit: unit.nodes.bury_one()))
            if dead is None:
                return
            _log.warning("a node was silent and is taken for dead; its tasks go on elsewhere", extra={"node": dead})
            await self.read_notes()
            await self._take_up_all()
            await self._buried()

    async def leave(self) -> None:
        """Give the tasks of this node to others, as it stops."""
        node_id = self._store.node_id
        if node_id is not None:
            await self._run_in_thread(lambda: self._store.write(lambda unit: unit.nodes.move_tasks(node_id)))

    async def _look_at(self, note: NodeNote) -> None:
        match note.kind:
            case NoteKind.TASK:
                self._look_at_task(await self._run_in_thread(lambda: self._store.tasks.get(note.scope, note.subject)))
            case NoteKind.TASKS:
                await self._take_up_all()
            case NoteKind.STREAM:
                await self._look_at_stream(note)
            case NoteKind.DOMAIN:
                self._runner.all_changed()

    def _look_at_task(self, task: SpeakerSearchTask | None) -> None:
        if task is None:
            return
        item = _item(task)
        if task.node_id != self._store.node_id:
            self._runner.drop(item)
        elif is_active(task.status):
            self._runner.submit(item)
            self._runner.changed(item)

    async def _look_at_stream(self, note: NodeNote) -> None:
        stream = await self._run_in_thread(lambda: self._store.streams.get(note.scope, note.subject))
        if stream is None:
            await self._streams.delete(note.scope, note.subject)
        else:
            await self._streams.retain(note.scope, stream)

    async def _take_up_all(self) -> None:
        node_id = self._store.node_id
        if node_id is None:
            return
        mine = partial(self._store.tasks.list_of_node, node_id)
        async for task in all_records_in_thread(mine, self._run_in_thread):
            self._heard_from(task.stream_arn)
            self._runner.submit(_item(task))


def _item(task: SpeakerSearchTask) -> WorkItem:
    return WorkItem(scope=task.scope, pipeline_id=task.pipeline_id, task_id=task.task_id)
