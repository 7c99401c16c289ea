"""Homes: this node becomes the home of the streams whose media come to it, and gives them up when they go elsewhere.

What belongs here: who is the home, and moving there. What must never: reading media (`homed_stream.py`), SQL.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from earwitness.errors import Conflict, EarwitnessError, Gone, LimitExceeded, StoreUnavailable, Unavailable
from earwitness.fragments.stream import FragmentStream
from earwitness.store.homes import StreamHome
from earwitness.store.node_records import Node, StreamExtent
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store
from earwitness.threads import RunInThread, ThreadPool

if TYPE_CHECKING:
    from earwitness.nodes.peers import Peers

RELEASE = "/internal/streams/release"

SPARE_SEQUENCES = 2_048
"""With how many left more are asked for, so that there are some while the records are away."""

_TRIES_MAX = 3

MOVES_AT_ONCE = 4
"""Threads in which streams come here, and which do nothing else: after another node's death its streams come at once
with a thousand tasks, which begin in the threads of all else, and producers wait for the streams alone."""

_ResultT = TypeVar("_ResultT")

OpenLocal = Callable[[Scope, KinesisStream], Awaitable[FragmentStream]]
"""Opens this node's own part of a stream."""


@dataclass(frozen=True, slots=True)
class StreamKey:
    """A stream, of any account."""

    scope: Scope
    arn: str


class StreamHomes:
    """The streams that this node is the home of. Lives on the event loop."""

    def __init__(
        self,
        store: Store,
        peers: "Peers",
        *,
        open_local: OpenLocal,
        has_producer: Callable[[str], bool],
        run_in_thread: RunInThread,
        came: Callable[[StreamKey, StreamHome], None],
    ) -> None:
        """`has_producer` says whether somebody sends to a stream here, by its ARN. `came` is called when a stream has
        come here, with the tasks that came along."""
        self.store = store
        self.peers = peers
        self.open_local = open_local
        self.has_producer = has_producer
        self._run_in_thread = run_in_thread
        self._came = came
        self._moves = ThreadPool(MOVES_AT_ONCE, thread_name_prefix="earwitness homes")
        self._held: dict[StreamKey, StreamHome] = {}
        # Both as long as somebody uses one.
        self._moving: WeakValueDictionary[StreamKey, asyncio.Lock] = WeakValueDictionary()
        self._news: WeakValueDictionary[StreamKey, asyncio.Event] = WeakValueDictionary()
        self._far_producers: set[str] = set()

    @property
    def node_id(self) -> str:
        """Return this node."""
        node_id = self.store.node_id
        if node_id is None:
            raise Unavailable("this process is no node yet; try again")
        return node_id

    async def open_to_write(self, scope: Scope, stream: KinesisStream) -> FragmentStream:
        """Return the log of a stream, of which this node is the home from now on.

        Raise LimitExceeded when somebody sends to it at its home, Unavailable when its home does not answer and is not
        known to be dead, Gone when it was deleted, FragmentLogUnavailable and StoreUnavailable.
        """
        log, key = await self.open_local(scope, stream), StreamKey(scope, stream.arn)
        async with self._moving.setdefault(key, asyncio.Lock()):
            held = self._held.get(key)
            if held is None or (held.epoch, self.node_id) != (stream.home_epoch, stream.home_node):
                await self._become(key, log)
        return log

    def release(self, key: StreamKey, *, epoch: int) -> None:
        """Let another node be the home of a stream. Raise LimitExceeded while somebody sends to it here."""
        if self.has_producer(key.arn):
            raise LimitExceeded("another producer is connected to this stream; end it first, or wait for its end")
        held = self._held.get(key)
        if held is not None and held.epoch <= epoch:
            del self._held[key]
        self._tell(key)

    def forget(self, key: StreamKey) -> None:
        """Be the home of a stream no longer, which was deleted."""
        self._held.pop(key, None)

    def news(self, key: StreamKey) -> asyncio.Event:
        """Return what is set when a stream has come here, or leaves."""
        return self._news.setdefault(key, asyncio.Event())

    def _tell(self, key: StreamKey) -> None:
        """Wake those who wait for news of a stream."""
        event = self._news.pop(key, None)
        if event is not None:
            event.set()

    def note_producer(self, stream_arn: str, *, is_there: bool) -> None:
        """Note whether somebody sends to a stream at its home, which is read here."""
        if is_there:
            self._far_producers.add(stream_arn)
        else:
            self._far_producers.discard(stream_arn)

    def is_sent_to(self, stream_arn: str) -> bool:
        """Return whether somebody sends to a stream elsewhere that is read here."""
        return stream_arn in self._far_producers

    def is_home(self, key: StreamKey, *, epoch: int | None = None) -> bool:
        """Return whether a stream's media come here; with an epoch, since then."""
        held = self._held.get(key)
        return held is not None and epoch in (None, held.epoch)

    async def extents(self, key: StreamKey) -> Sequence[StreamExtent]:
        """Return where the parts of a stream lie."""
        return await self.read(lambda: self.store.homes.extents(key.scope, key.arn))

    async def node(self, node_id: str) -> Node | None:
        """Return another node; None when nobody has its media any more."""
        return await self.read(lambda: self.store.nodes.get(node_id))

    async def read(self, work: Callable[[], _ResultT]) -> _ResultT:
        """Return what work returns that makes point reads of the records."""
        return await self.store.read(work, in_thread=self._run_in_thread)

    async def close(self) -> None:
        """End what goes to other nodes; no stream comes here any more."""
        await self.peers.close()
        await asyncio.to_thread(self._moves.shutdown)

    async def _move(self, work: Callable[[], _ResultT]) -> _ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._moves, work)

    async def _become(self, key: StreamKey, log: FragmentStream) -> None:
        for _ in range(_TRIES_MAX):
            stream = await self._move(lambda: self.store.streams.get(key.scope, key.arn))
            if stream is None:
                raise Gone("the stream was deleted, and what it held with it; use another one")
            if stream.home_node not in (None, self.node_id):
                await self._ask_for(key, stream)
            work = partial(self._write, key, stream.home_epoch, log.next_sequence)
            try:
                home = await self._move(work)
            except Conflict:
                continue
            self._held[key] = home
            log.give_sequences(home.first_sequence, through=partial(self._through, key))
            self._tell(key)
            self._came(key, home)
            return
        raise Unavailable("several nodes try to become the home of this stream; connect again")

    def _write(self, key: StreamKey, epoch: int, sequence_min: int) -> StreamHome:
        return self.store.write(
            lambda unit: unit.homes.become(key.scope, key.arn, expected_epoch=epoch, sequence_min=sequence_min)
        )

    async def _ask_for(self, key: StreamKey, stream: KinesisStream) -> None:
        """Have the home of a stream give it up; a dead one need not be asked."""
        home = None if stream.home_node is None else await self.node(stream.home_node)
        if home is None or home.dead_at is not None:
            return
        body = {"account": key.scope.account_id, "region": key.scope.region, "arn": key.arn, "epoch": stream.home_epoch}
        await self.peers.ask(home, RELEASE, body)

    async def _through(self, key: StreamKey, end: int) -> None:
        """Have sequences for the numbers that are given out next."""
        held = self._held.get(key)
        if held is None:
            raise Unavailable("the stream's media go to another node now; connect again")
        if end + SPARE_SEQUENCES <= held.end_sequence:
            return
        epoch = held.epoch
        extend = partial(self.store.write, lambda unit: unit.homes.extend(key.scope, key.arn, epoch=epoch))
        try:
            self._held[key] = replace(held, end_sequence=await self._move(extend))
        except StoreUnavailable:
            if end > held.end_sequence:
                raise
        except EarwitnessError:
            self._held.pop(key, None)
            raise
