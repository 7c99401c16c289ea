"""What tests of doors have in common: time that is passed in, and a desk that keeps calls in a real media log."""

import asyncio
import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earwitness.audio.channel import ChannelDecoder
from earwitness.audio.matroska.frames import read_frames
from earwitness.audio.matroska.tags import read_tags
from earwitness.audio.matroska.tracks import parse_header
from earwitness.doors.desk import DoorAccess, KeptCall
from earwitness.doors.events import CallEnded, CallStarted, CallUpdated, Leg
from earwitness.doors.live_call import DoorClock
from earwitness.errors import Conflict
from earwitness.fragments.interface import Earliest, Fragment, Retention, StreamIdentity
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.fragments.stream import FragmentStream
from earwitness.store.records import Scope
from earwitness.vault.data_key import DataKey
from earwitness.voice.connector import DoorSecret
from patience import PATIENCE_SECONDS

START = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(account_id="111122223333", region="eu-central-1")


class VirtualTime:
    """A clock that moves when a test says so, and wakes who sleeps by it."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    @property
    def clock(self) -> DoorClock:
        return DoorClock(monotonic=lambda: self.now, utc=self.utc, sleep=self._sleep)

    def utc(self) -> datetime:
        return START + timedelta(seconds=self.now - 1_000)

    async def _sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._count), woken))
        await woken

    async def passes(self, seconds: float) -> None:
        """Let time pass, and whoever is woken meanwhile do what there is to do."""
        end = self.now + seconds
        await turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not woken.done():
                woken.set_result(None)
            await turns()
        self.now = end


async def turns(count: int = 10) -> None:
    """Let everything go on that can without the outside."""
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait for what the disk, a socket or another task has yet to do."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


def access(**changes: Any) -> DoorAccess:
    given: dict[str, Any] = {
        "scope": SCOPE,
        "connector_id": "abcdef1ghij2klmno3pqr4",
        "disabled": False,
        "require_encryption": False,
        "allowed_networks": (),
        "secrets": {DoorSecret.TOKEN: "a token of the tests"},
        "caller_label": "",
    }
    return DoorAccess(**{**given, **changes})


def stream_identity(name: str) -> StreamIdentity:
    arn = f"arn:aws:kinesisvideo:eu-central-1:{SCOPE.account_id}:stream/{name}/1767225600000"
    return StreamIdentity(account_id=SCOPE.account_id, stream_arn=arn)


@dataclass
class LogDesk:
    """Keeps calls in memory and their audio in a media log."""

    log: FragmentLog
    clock: Callable[[], datetime]
    known: dict[str, DoorAccess] = field(default_factory=dict)
    #: Announced call ids; each opens once.
    expected: dict[str, DoorAccess] = field(default_factory=dict)
    begun: dict[str, KeptCall] = field(default_factory=dict)
    started: list[tuple[CallStarted, str]] = field(default_factory=list)
    updated: list[CallUpdated] = field(default_factory=list)
    ended: dict[str, CallEnded] = field(default_factory=dict)
    heard_of: list[str] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)
    """Bytes of audio, by door."""

    nonces: set[tuple[Scope, str]] = field(default_factory=set)
    #: Raised by the next calls, one after the other.
    failures: list[Exception] = field(default_factory=list)

    async def access(self, connector_id: str) -> DoorAccess | None:
        return self.known.get(connector_id)

    async def in_use(self, connector_ids: Collection[str]) -> set[str]:
        return {each for each in connector_ids if each in self.known and not self.known[each].disabled}

    async def use_nonce(self, access: DoorAccess, nonce: str) -> bool:
        is_new = (access.scope, nonce) not in self.nonces
        self.nonces.add((access.scope, nonce))
        return is_new

    async def announced(self, call_id: str, *, require: Callable[[DoorAccess], None]) -> DoorAccess | None:
        if call_id in self.expected:
            require(self.expected[call_id])
        return self.expected.pop(call_id, None)

    async def begin(self, access: DoorAccess, call: CallStarted, *, door: str) -> KeptCall:
        self._fail()
        if any(kept.call_id == call.call_id for name, kept in self.begun.items() if name not in self.ended):
            raise Conflict("a call of this id is in progress; end it first")
        transaction = f"transaction-{len(self.begun) + 1}"
        kept = KeptCall(access=access, transaction_id=transaction, call_id=call.call_id, streams={}, stream_arns={})
        for leg in call.legs:
            kept = await self._with_leg(kept, leg)
        self.begun[transaction] = kept
        self.started.append((call, door))
        return kept

    async def add_leg(self, call: KeptCall, leg: Leg) -> KeptCall:
        self._fail()
        self.begun[call.transaction_id] = kept = await self._with_leg(call, leg)
        return kept

    async def update(self, call: KeptCall, told: CallUpdated) -> None:  # noqa: ARG002  # of the seam
        self._fail()
        self.updated.append(told)

    async def end(self, call: KeptCall, ended: CallEnded) -> None:
        self._fail()
        self.ended.setdefault(call.transaction_id, ended)

    def heard(self, stream_arn: str, *, door: str, size: int) -> None:
        self.heard_of.append(stream_arn)
        self.received[door] += size

    async def _with_leg(self, kept: KeptCall, leg: Leg) -> KeptCall:
        name = f"{kept.transaction_id}-{leg.label}"
        identity = stream_identity(name)
        key = DataKey(hashlib.sha256(name.encode()).digest())
        stream = await self.log.open_stream(identity, key=lambda: key, retention=Retention(hours=24))
        return replace(
            kept,
            streams={**kept.streams, leg.label: stream},
            stream_arns={**kept.stream_arns, leg.label: identity.stream_arn},
        )

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@asynccontextmanager
async def log_desk(folder: Path, clock: Callable[[], datetime]) -> AsyncIterator[LogDesk]:
    log = await open_fragment_log(folder / "media", clock=clock)
    try:
        yield LogDesk(log, clock)
    finally:
        await log.close()


async def fragments_of(stream: FragmentStream) -> list[Fragment]:
    """What is kept, oldest first."""
    last = (await stream.status()).last
    found: list[Fragment] = []
    if last is not None:
        async for result in await stream.read(Earliest()):
            found.append(result.fragment)
            if found[-1].info.number == last.number:
                break
    return found


def samples_of(fragments: list[Fragment], *, rate: int = 8_000) -> NDArray[np.float32]:
    """All samples, decoded as a task would."""
    parts = []
    for fragment in fragments:
        header = parse_header(fragment.header)
        decoder = ChannelDecoder(header, channel=0, declared_rate=rate, pcm_declared=False)
        assert decoder.rate == rate
        parts.append(decoder.feed(list(read_frames(fragment.cluster))))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def tags_of(fragment: Fragment) -> dict[str, str]:
    return read_tags(fragment.tags)
