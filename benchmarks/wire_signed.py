"""Requests as boto3 sends them, caught on their way out: the bytes of HTTP/1.1, signed, good for five minutes."""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config

from benchmarks.wire_records import REGION, Made

VOICE, PIPELINES = "chime-sdk-voice", "chime-sdk-media-pipelines"


class Signer:
    """A client of one server on this machine that sends nothing."""

    def __init__(self, made: Made, *, port: int) -> None:
        self._made = made
        self._url = f"http://127.0.0.1:{port}"
        self._caught = b""
        self._client = cache(self._new_client)

    def request(self, service: str, operation: str, params: Mapping[str, object]) -> bytes:
        """The request of one call."""
        getattr(self._client(service), botocore.xform_name(operation))(**params)
        return self._caught

    # `Any`: botocore has no types of its own.
    def _new_client(self, service: str) -> Any:
        client = botocore.session.Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self._url,
            aws_access_key_id=self._made.key_id,
            aws_secret_access_key=self._made.secret,
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register("before-send", self._catch)
        return client

    def _catch(self, request: Any, **_: Any) -> AWSResponse:
        self._caught = _bytes_of(request)
        return AWSResponse(request.url, 200, HeadersDict(), _Empty())


class _Empty(io.BytesIO):
    """What botocore reads an answer from."""

    def stream(self) -> list[bytes]:
        return [b"{}"]


def _bytes_of(request: Any) -> bytes:  # `Any`: as above
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, **{name: _text(value) for name, value in request.headers.items()}}
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    body = request.body or b""
    return "\r\n".join(lines).encode("latin-1") + (body.encode() if isinstance(body, str) else body)


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
