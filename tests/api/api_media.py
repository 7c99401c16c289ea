"""Media of a service without a socket: its log on an event loop, and the operations that are streams, over ASGI."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import stock_client
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.fragments.log import FragmentLog, open_fragment_log
from earwitness.media.streams import MediaLimits, MediaStreams
from earwitness.server.aws import AwsApplication, RequestLimits, StreamingOperations
from earwitness.store.records import KinesisStream, Scope
from earwitness.store.store import Store
from earwitness.threads import Threads
from earwitness.wire.gateway import Gateway
from earwitness.wire.messages import Request, Response
from earwitness.wire.wrong_credentials import WrongCredentials
from patience import PATIENCE_SECONDS

ResultT = TypeVar("ResultT")

FRAGMENT = write_header([pcm_track(rate=8_000)]) + write_cluster(1_700_000_000_000, [write_block(1, 0, bytes(1_600))])
"""What a producer sends: a tenth of a second of silence."""

UPLOAD_PATH = "/putMedia"


class _ToldStreams(MediaStreams):
    """Remembers what it was told of streams."""

    def __init__(self, store: Store, log: FragmentLog) -> None:
        super().__init__(store, log=lambda: log, limits=MediaLimits())
        self.told: list[tuple[str, str, int]] = []

    async def delete(self, scope: Scope, stream_arn: str) -> None:
        await super().delete(scope, stream_arn)
        self.told.append(("deleted", stream_arn, 0))

    async def retain(self, scope: Scope, stream: KinesisStream) -> None:
        await super().retain(scope, stream)
        self.told.append(("kept", stream.name, stream.retention_hours))


class Media:
    """A media log on an event loop of its own, and what of a service runs there."""

    def __init__(self, folder: Path, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.threads = Threads(count=1, at_once_max=10)
        self._log = self.on_loop(open_fragment_log(folder, clock=clock))
        self.streams = _ToldStreams(store, self._log)

    def on_loop(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def serve(self, gateway: Gateway, streaming: StreamingOperations) -> None:
        """From now on, `answer` has a gateway."""
        self._application = AwsApplication(
            gateway,
            threads=self.threads,
            wrong_credentials=WrongCredentials(),
            monotonic=time.monotonic,
            on_loop=self._store.on_loop,
            limits=RequestLimits(body_bytes_max=1_000_000, client_seconds_max=10.0, at_once_max=100),
            streaming=streaming,
            upload_paths=(UPLOAD_PATH,),
        )

    def answer(self, request: Request) -> Response:
        """The answer to a request whose body is sent whole, from a client that hangs up after the first it hears."""
        return self.converse(request, [request.body], stays=False)

    def converse(self, request: Request, pieces: Sequence[bytes], *, stays: bool = True, ends: bool = True) -> Response:
        """The answer to a request whose body is sent in these pieces, `ends` or not, from a client that hangs up when
        its body does not end, after the first it hears, or `stays` until the answer is over. TimeoutError for a hang.
        """

        async def in_time() -> Response:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._converse(request, pieces, stays=stays, ends=ends)

        return self.on_loop(in_time())

    async def _converse(self, request: Request, pieces: Sequence[bytes], *, stays: bool, ends: bool) -> Response:
        coming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if ends:
            coming[-1]["more_body"] = False
        else:
            coming.append({"type": "http.disconnect"})
        begun, heard = dict[str, Any](), list[bytes]()
        has_heard = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if coming:
                return coming.pop(0)
            await (asyncio.Event() if stays else has_heard).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                begun.update(message)
            elif message["body"]:
                heard.append(message["body"])
                has_heard.set()

        await self._application(_scope(request), receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in begun["headers"]}
        return Response(status=begun["status"], headers=headers, body=b"".join(heard))

    def close(self) -> None:
        self.on_loop(self._log.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.threads.close()


def _scope(request: Request) -> dict[str, Any]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.header_list]
    if not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
        headers.append((b"transfer-encoding", b"chunked"))  # by which a server tells that there is a body
    return {
        "type": "http",
        "scheme": "http",
        "method": request.method,
        "path": request.raw_path,
        "raw_path": request.raw_path.encode("latin-1"),
        "query_string": request.raw_query.encode("latin-1"),
        "headers": headers,
        "client": (request.client, 0),
    }


HEADERS = {
    "StreamName": "x-amzn-stream-name",
    "StreamARN": "x-amzn-stream-arn",
    "FragmentTimecodeType": "x-amzn-fragment-timecode-type",
    "ProducerStartTimestamp": "x-amzn-producer-start-timestamp",
}


def put_media(
    params: dict[str, str], answer: Callable[[Request], Response], *, key_id: str, region: str
) -> dict[str, Any]:
    """Send FRAGMENT by PutMedia, which no SDK has; raises ClientError as they would."""
    sent = AWSRequest(method="POST", url=f"http://localhost:8123{UPLOAD_PATH}", headers={"Host": "localhost:8123"})
    for name, value in params.items():
        sent.headers[HEADERS[name]] = value
    sent.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    SigV4Auth(Credentials(key_id, stock_client.SECRET), "kinesisvideo", region).add_auth(sent)
    request = Request.received(
        method="POST",
        raw_path=UPLOAD_PATH.encode(),
        raw_query=b"",
        headers=[(name.encode(), str(value).encode()) for name, value in sent.headers.items()],
        body=FRAGMENT,
        client="127.0.0.1",
    )
    response = answer(request)
    fault = response.headers.get("x-amzn-ErrorType")
    if fault is not None:
        message = json.loads(response.body).get("Message", "")
        status = {"HTTPStatusCode": response.status}
        raise ClientError({"Error": {"Code": fault, "Message": message}, "ResponseMetadata": status}, "PutMedia")
    return {"Acknowledgements": response.body.decode(), "ResponseMetadata": {}}
