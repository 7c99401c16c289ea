"""Requests as boto3 sends them, caught on their way out: the bytes of HTTP/1.1, signed, good for five minutes."""

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config

from benchmarks.wire_records import REGION, Made

_CRLF = "\r\n"


# `Any`: botocore has no types of its own.
def signed(made: Made, *, port: int, service: str, operation: str, params: Mapping[str, object]) -> bytes:
    """The request of one call to the server at this port of 127.0.0.1."""
    caught: list[bytes] = []

    def send(request: Any, **_: Any) -> AWSResponse:
        caught.append(_bytes_of(request))
        return AWSResponse(request.url, 200, HeadersDict(), _Empty())

    client = botocore.session.Session().create_client(
        service,
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=made.key_id,
        aws_secret_access_key=made.secret,
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send", send)
    getattr(client, botocore.xform_name(operation))(**params)
    return caught[0]


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
    return _CRLF.join(lines).encode("latin-1") + (body.encode() if isinstance(body, str) else body)


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
