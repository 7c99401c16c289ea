"""Where streams come from: for each account, this service's own media log or AWS's Kinesis Video Streams.

The ARNs look alike, so the settings say which it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from earwitness.aws.clients import AwsClients, AwsSettings
from earwitness.errors import Forbidden, SourceRefused, StreamGone
from earwitness.media.own import OwnSource
from earwitness.media.source import Source
from earwitness.media.streams import MediaStreams
from earwitness.nodes.homed_stream import KeptStream
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.threads import RunInThread, ThreadPool

if TYPE_CHECKING:
    from earwitness.media.get_media import KinesisVideoStream

SPARE_THREADS = 16
"""Beside one for each task: for connections of tasks that have just ended."""

READ_SECONDS = 30.0
"""How long AWS may be silent in an answer: longer than a fragment, which has at most 20 s and may come as a whole."""


@dataclass(frozen=True, kw_only=True)
class OriginSettings:
    """Where streams come from: `own` or `aws`."""

    default: str
    #: for accounts that differ from the default
    by_account: Mapping[str, str]
    aws: AwsSettings
    #: threads, each of which reads one stream of AWS's
    readers: int


class MediaOrigins:
    """From the ARN of a stream to its source."""

    def __init__(
        self, settings: OriginSettings, store: Store, streams: MediaStreams, *, run_in_thread: RunInThread
    ) -> None:
        self._settings = settings
        self._store = store
        self._streams = streams
        self._run_in_thread = run_in_thread
        self._clients = AwsClients(settings.aws)
        self._readers = ThreadPool(settings.readers, thread_name_prefix="earwitness kvs")

    async def of(self, scope: Scope, stream_arn: str) -> Source:
        """Return the source of a stream, whether the stream exists or not.

        Streams of the legs of calls that came in here are our own, wherever the account's others are.
        """
        if self.is_own(scope):
            return OwnSource(partial(self._open, scope, stream_arn))
        return await self._run_in_thread(lambda: self._of_aws_or_a_call(scope, stream_arn))

    def is_own(self, scope: Scope) -> bool:
        """Return whether an account's streams are this service's own, so that all their fragments pass through it."""
        return self._settings.by_account.get(scope.account_id, self._settings.default) == "own"

    def exists(self, scope: Scope, stream_arn: str) -> bool:
        """Return whether a stream can be read. This blocks, for AWS's streams as long as AWS takes to answer.

        Raise Forbidden when AWS does not let us look, SourceUnavailable when it cannot be asked now.
        """
        if self.is_own(scope):
            return self._store.streams.get(scope, stream_arn) is not None
        try:
            self._at_aws(stream_arn).retention_hours()
        except StreamGone:
            return False
        except SourceRefused as error:
            raise Forbidden(str(error)) from error
        return True

    def close(self) -> None:
        """End all connections, after all readers have ended."""
        self._readers.shutdown()
        self._clients.close()

    def _of_aws_or_a_call(self, scope: Scope, stream_arn: str) -> Source:
        if self._store.streams.get(scope, stream_arn) is not None:
            return OwnSource(partial(self._open, scope, stream_arn))
        from earwitness.media.kvs import KvsSource  # with botocore, which a start need not wait for

        return KvsSource(self._at_aws(stream_arn), threads=self._readers)

    def _at_aws(self, stream_arn: str) -> "KinesisVideoStream":
        from earwitness.media.get_media import KinesisVideoStream

        return KinesisVideoStream(stream_arn, self._clients)

    async def _open(self, scope: Scope, stream_arn: str) -> KeptStream:
        find = partial(self._store.streams.get, scope, stream_arn)
        stream = await self._store.read(find, in_thread=self._run_in_thread)
        if stream is None:
            raise StreamGone("the Kinesis video stream does not exist; start another task on another stream")
        return await self._streams.open_to_read(scope, stream, looks=False)
