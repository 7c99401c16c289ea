"""Botocore's own half of the protocol: a real client whose HTTP is a function of ours."""

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config

from earwitness.wire.messages import Request, Response

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105  # the one in AWS's documents
Answer = Callable[[Request], Response]


class _Raw(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def client(service_name: str, key_id: str = ACCESS_KEY_ID, region: str = "us-east-1") -> Any:
    """A client with one attempt a call, at an endpoint with a port."""
    return _session().create_client(
        service_name,
        region_name=region,
        endpoint_url="http://localhost:8123",
        aws_access_key_id=key_id,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )


def call(
    service_name: str,
    operation_name: str,
    params: dict[str, Any],
    answer: Answer,
    *,
    key_id: str = ACCESS_KEY_ID,
    region: str = "us-east-1",
) -> dict[str, Any]:
    """Call an operation with botocore; `answer` stands in for the network and the server."""

    def send(request: Any, **_: Any) -> AWSResponse:
        response = answer(received(request))
        return AWSResponse(request.url, response.status, HeadersDict(response.headers), _Raw(response.body))

    stub = client(service_name, key_id, region)
    stub.meta.events.register("before-send", send)
    try:
        return getattr(stub, botocore.xform_name(operation_name))(**params)
    finally:
        stub.meta.events.unregister("before-send", send)


def received(prepared: Any) -> Request:
    """What a server receives of a prepared request; the HTTP client adds the Host header."""
    parts = urlsplit(prepared.url)
    body = prepared.body or b""
    headers = [("Host", parts.netloc), *prepared.headers.items()]
    return Request.received(
        method=prepared.method,
        raw_path=parts.path.encode(),
        raw_query=parts.query.encode(),
        headers=[(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers],
        body=body.encode() if isinstance(body, str) else bytes(body),
        client="127.0.0.1",
    )
