"""Whatever arrives, a request ends in parameters or in a RequestError."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import BadRequest, RequestError, Unauthorized, UnknownOperation
from earwitness.wire.messages import Request
from earwitness.wire.parse import parse_request
from earwitness.wire.router import Router
from earwitness.wire.service_models import Shape, load_services
from earwitness.wire.sigv4 import parse_authorization, verify

SERVICES = load_services()
ROUTER = Router(SERVICES.values())
OPERATIONS = [operation for service in SERVICES.values() for operation in service.operations.values()]
NOW = datetime(2024, 1, 1, tzinfo=UTC)
quick = settings(deadline=None, max_examples=100)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["", " ", "\0", "1", "true"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
header_lines = st.lists(
    st.tuples(st.sampled_from([b"host", b"Authorization", b"x-amz-date"]) | st.binary(max_size=20), st.binary())
)


def serve(request: Request, signing_name: str = "chime") -> None:
    try:
        route = ROUTER.match(signing_name, request)
        parse_request(route, request)
    except RequestError as error:
        assert type(error) in (BadRequest, UnknownOperation)
        assert str(error)


@pytest.mark.slow
@quick
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "get", ""]),
    raw_path=st.binary() | st.sampled_from([operation.path.encode() for operation in OPERATIONS]),
    raw_query=st.binary(),
    headers=header_lines,
    body=st.binary(),
)
def test_arbitrary_bytes(
    method: str, raw_path: bytes, raw_query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    request = Request.received(method=method, raw_path=raw_path, raw_query=raw_query, headers=headers, body=body)
    serve(request)
    serve(request, "kinesisvideo")


def loosely(shape: Shape) -> st.SearchStrategy[Any]:
    """Values that look like the shape, most of the time."""
    if shape.type == "structure":
        fields = {member.wire_name: loosely(member.shape) for member in shape.members.values()}
        return st.fixed_dictionaries({}, optional=fields) | scalars
    if shape.type == "list":
        return st.lists(loosely(shape.inner["member"]), max_size=3) | anything
    if shape.type == "map":
        return st.dictionaries(st.text(), loosely(shape.inner["value"]), max_size=3) | anything
    return st.sampled_from(shape.choices) | scalars if shape.choices else anything


@pytest.mark.slow
@quick
@given(data=st.data())
def test_json_that_almost_fits(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from([one for one in OPERATIONS if one.input and one.method != "GET"]))
    assert operation.input
    value = data.draw(loosely(operation.input))
    constants = "&".join(f"{name}={text}" for name, text in operation.constants)
    request = Request.received(
        method=operation.method,
        raw_path=operation.path.replace("{", "").replace("}", "").encode(),
        raw_query=constants.encode(),
        headers=[],
        body=json.dumps(value).encode(),
    )
    serve(request, SERVICES[operation.service_name].signing_name)


@pytest.mark.slow
@quick
@given(
    value=st.text(st.characters(max_codepoint=255))
    | st.lists(
        st.sampled_from(
            [
                "Credential=a/20240101/us-east-1/chime/aws4_request",
                "SignedHeaders=host;x-amz-date",
                "SignedHeaders=host;x-amz-date;\xe9",
                "Signature=" + "0" * 64,
                "Signature=" + "\u00b2" * 64,
                ",",
                " ",
                "=",
            ]
        )
    ).map(",".join),
    headers=header_lines,
    raw_path=st.binary(),
    raw_query=st.binary(),
    unsigned=st.booleans(),
)
def test_authorizations(
    value: str, headers: list[tuple[bytes, bytes]], raw_path: bytes, raw_query: bytes, unsigned: bool
) -> None:
    lines = [
        (b"authorization", b"AWS4-HMAC-SHA256 " + value.encode("latin-1")),
        (b"host", b"\xff"),
        (b"x-amz-date", b"20240101T000000Z"),
        *[line for line in headers if line[0].lower() not in (b"authorization", b"host", b"x-amz-date")],
    ]
    request = Request.received(method="GET", raw_path=raw_path, raw_query=raw_query, headers=lines)
    try:
        claim = parse_authorization(request)
        verify(request, claim, "secret", now=NOW, skew_seconds=300, services=("chime",), unsigned=unsigned)
    except Unauthorized as error:
        assert "secret" not in str(error).replace("secret access key", "")
    else:
        raise AssertionError("nobody signed this")


@pytest.mark.slow
@quick
@given(headers=header_lines)
def test_header_lines(headers: list[tuple[bytes, bytes]]) -> None:
    request = Request.received(method="GET", raw_path=b"/", raw_query=b"", headers=headers)
    try:
        parse_authorization(request)
    except Unauthorized as error:
        assert str(error)
