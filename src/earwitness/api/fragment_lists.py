"""ListFragments: which fragments a stream keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from earwitness.access.caller import Caller, Handler
from earwitness.access.paging import Pages
from earwitness.api.stream_names import found, named
from earwitness.errors import BadRequest
from earwitness.fragments.interface import FragmentInfo, TimeAxis
from earwitness.media.streams import MediaStreams
from earwitness.store.records import KinesisStream, Page, PageKey
from earwitness.store.store import Store
from earwitness.threads import RunOnLoop
from earwitness.wire.scalars import Params
from earwitness.wire.serialize import Result

DEFAULT_LENGTH = 100
"""As AWS says of MaxResults."""

_AXES = {"SERVER_TIMESTAMP": TimeAxis.SERVER, "PRODUCER_TIMESTAMP": TimeAxis.PRODUCER}


class FragmentLists:
    """The operation on lists of fragments."""

    def __init__(self, *, store: Store, pages: Pages, streams: MediaStreams, run_on_loop: RunOnLoop) -> None:
        self._store = store
        self._pages = pages
        self._streams = streams
        self._run_on_loop = run_on_loop

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {"ListFragments": self.list}

    def list(self, caller: Caller, params: Params) -> Result:
        """By number; both ends of the range are included, and mean where a fragment begins."""
        stream = found(self._store.streams.get(caller.scope, named(params)))
        self._streams.rates.list(stream.arn, params.get("MaxResults") or DEFAULT_LENGTH)

        def read(after: PageKey | None, limit: int) -> Page[FragmentInfo]:
            wanted = _range(params) if after is None else _range_of_token(after)
            listed = self._run_on_loop(self._read(caller, stream, wanted, limit=limit))
            more = len(listed) == limit
            return Page(items=tuple(listed), next_key=_token(wanted, listed[-1].number) if more else None)

        fragments, following = self._pages.read(caller, params, read, about=stream.arn, default_length=DEFAULT_LENGTH)
        return {"Fragments": [_described(fragment) for fragment in fragments], **following}

    async def _read(
        self, caller: Caller, stream: KinesisStream, wanted: "_Range", *, limit: int
    ) -> Sequence[FragmentInfo]:
        log = await self._streams.open(caller.scope, stream)
        return await log.list(wanted.axis, start=wanted.start, end=wanted.end, after=wanted.after, limit=limit)


@dataclass(frozen=True, kw_only=True)
class _Range:
    """What is listed; a page's token holds it, because it may come without a selector."""

    axis: TimeAxis
    start: datetime
    end: datetime
    after: str | None = None


def _range(params: Params) -> _Range:
    selector: Params | None = params.get("FragmentSelector")
    if selector is None:
        raise BadRequest("FragmentSelector: is missing; give a range of times, or the NextToken of a list")
    times = selector["TimestampRange"]
    start, end = times["StartTimestamp"], times["EndTimestamp"]
    if end < start:
        raise BadRequest("FragmentSelector.TimestampRange: ends before it begins")
    return _Range(axis=_AXES[selector["FragmentSelectorType"]], start=start, end=end)


def _token(wanted: _Range, last: str) -> PageKey:
    return (wanted.axis.value, wanted.start.isoformat(), wanted.end.isoformat(), last)


def _range_of_token(token: PageKey) -> _Range:
    axis, start, end, last = map(str, token)
    return _Range(axis=TimeAxis(axis), start=datetime.fromisoformat(start), end=datetime.fromisoformat(end), after=last)


def _described(fragment: FragmentInfo) -> dict[str, object]:
    return {
        "FragmentNumber": fragment.number,
        "FragmentSizeInBytes": fragment.size_bytes,
        "ProducerTimestamp": fragment.producer_timestamp,
        "ServerTimestamp": fragment.server_timestamp,
        "FragmentLengthInMilliseconds": fragment.duration_ms,
    }
