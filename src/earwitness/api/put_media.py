"""PutMedia: who may send to which stream, and what their timecodes count from.

Its answer begins before the request has ended, so what follows these checks is a session, and no handler's result.
"""

from collections.abc import Callable
from contextlib import ExitStack

from earwitness.api.calls import caller_of
from earwitness.api.put_media_session import PutMediaSession
from earwitness.api.stream_names import found, named
from earwitness.errors import BadRequest
from earwitness.media.streams import MediaStreams
from earwitness.store.store import Store
from earwitness.threads import RunInThread
from earwitness.wire.exchange import Exchange
from earwitness.wire.scalars import Params


class PutMedia:
    """Opens producers' sessions."""

    def __init__(
        self,
        store: Store,
        streams: MediaStreams,
        *,
        run_in_thread: RunInThread,
        monotonic: Callable[[], float],
        is_draining: Callable[[], bool],
        heard_from: Callable[[str], None],
    ) -> None:
        """`run_in_thread` runs a read of the records where it hurts nobody; `is_draining` tells that the service is
        stopping; `heard_from` is called with a stream's ARN for each of its fragments."""
        self._heard_from = heard_from
        self._store = store
        self._streams = streams
        self._run_in_thread = run_in_thread
        self._monotonic = monotonic
        self._is_draining = is_draining

    async def open(self, exchange: Exchange) -> PutMediaSession:
        """The session of a request that passed its checks. NotFound without such a stream; LimitExceeded when another
        producer is connected, Throttled when too many have called; BadRequest for headers that do not go together."""
        scope, name = caller_of(exchange).scope, named(exchange.params)
        start_ms = _start_ms(exchange.params)
        stream = found(await self._run_in_thread(lambda: self._store.streams.get(scope, name)))
        self._streams.rates.call("PutMedia", stream.arn)
        taken = ExitStack()
        taken.enter_context(self._streams.producing(stream))
        try:
            log = await self._streams.open(scope, stream)
        except BaseException:
            taken.close()
            raise
        return PutMediaSession(
            stream=stream,
            log=log,
            start_ms=start_ms,
            limits=self._streams.limits,
            pace=self._streams.rates.producer(stream.arn),
            monotonic=self._monotonic,
            is_draining=self._is_draining,
            heard=lambda: self._heard_from(stream.arn),
            release=taken.close,
        )


def _start_ms(params: Params) -> int:
    """What is added to a timecode for the producer's time, in milliseconds. BadRequest for RELATIVE without a start."""
    if params["FragmentTimecodeType"] == "ABSOLUTE":
        return 0
    start: str | None = params.get("ProducerStartTimestamp")
    if start is None:
        raise BadRequest("ProducerStartTimestamp: is missing; relative timecodes count from it")
    return round(float(start) * 1_000)
