"""Errors on the wire; that botocore raises the right class is in test_round_trip.py."""

import json

import pytest
import stock_client
from botocore.exceptions import ClientError

from earwitness import errors
from earwitness.errors import RequestError
from earwitness.wire.faults import (
    CODES,
    COMMON_STATUSES,
    FAILURE_MESSAGE,
    FAILURES,
    TABLES,
    declared_faults,
    fault_of,
    write_fault,
)
from earwitness.wire.messages import Response
from earwitness.wire.service_models import ServiceModel


def respond(error: Exception, service: ServiceModel) -> Response:
    return write_fault(fault_of(error, service), service, request_id="r-1")


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and RequestError in kind.__bases__]


@pytest.mark.parametrize(
    ("kind", "service", "operation", "name", "status"),
    [
        (errors.BadRequest, "chime-sdk-voice", None, "BadRequestException", 400),
        (errors.Unauthorized, "chime-sdk-voice", None, "UnauthorizedClientException", 401),
        (errors.Forbidden, "chime-sdk-voice", None, "AccessDeniedException", 403),
        (errors.NotFound, "chime-sdk-media-pipelines", None, "NotFoundException", 404),
        (errors.Conflict, "chime-sdk-media-pipelines", None, "ConflictException", 409),
        (errors.Gone, "chime-sdk-voice", None, "GoneException", 410),
        (errors.Gone, "chime-sdk-voice", "GetVoiceProfile", "NotFoundException", 404),
        (errors.Gone, "chime-sdk-media-pipelines", None, "NotFoundException", 404),
        (errors.Unprocessable, "chime-sdk-voice", None, "UnprocessableEntityException", 422),
        (errors.Unprocessable, "chime-sdk-media-pipelines", None, "BadRequestException", 400),
        (errors.LimitExceeded, "chime-sdk-voice", None, "ResourceLimitExceededException", 400),
        (errors.Throttled, "chime-sdk-voice", None, "ThrottledClientException", 429),
        (errors.Unavailable, "chime-sdk-voice", None, "ServiceUnavailableException", 503),
        (errors.UnknownOperation, "chime-sdk-voice", None, "UnknownOperationException", 404),
        (errors.BadRequest, "kinesisvideo", None, "InvalidArgumentException", 400),
        (errors.Unauthorized, "kinesis-video-media", None, "NotAuthorizedException", 401),
        (errors.Forbidden, "kinesisvideo", None, "NotAuthorizedException", 401),
        (errors.NotFound, "kinesis-video-archived-media", None, "ResourceNotFoundException", 404),
        (errors.Conflict, "kinesisvideo", None, "ResourceInUseException", 400),
        (errors.Conflict, "kinesis-video-media", None, "InvalidArgumentException", 400),
        (errors.AlreadyExists, "kinesisvideo", "CreateStream", "ResourceInUseException", 400),
        (errors.VersionMismatch, "kinesisvideo", "UpdateStream", "VersionMismatchException", 400),
        (errors.LimitExceeded, "kinesisvideo", "CreateStream", "AccountStreamLimitExceededException", 400),
        (errors.LimitExceeded, "kinesisvideo", "TagStream", "TagsPerResourceExceededLimitException", 400),
        (errors.LimitExceeded, "kinesis-video-media", "GetMedia", "ConnectionLimitExceededException", 400),
        (errors.Throttled, "kinesisvideo", None, "ClientLimitExceededException", 400),
        (errors.Unavailable, "kinesisvideo", None, "ServiceUnavailable", 503),
        (errors.UnknownOperation, "kinesisvideo", None, "UnknownOperationException", 404),
    ],
)
def test_the_shape_and_status_of_an_error(
    services: dict[str, ServiceModel],
    kind: type[RequestError],
    service: str,
    operation: str | None,
    name: str,
    status: int,
) -> None:
    one = services[service]
    fault = fault_of(kind("do this"), one, one.operations[operation] if operation else None)
    assert (fault.name, fault.status, fault.message) == (name, status, "do this")


def test_the_tables_are_complete_and_name_real_shapes(services: dict[str, ServiceModel]) -> None:
    for signing_name, table in TABLES.items():
        assert [kind for kind in table if RequestError in kind.__bases__] == KINDS  # and finer ones
        shapes = {name for one in services.values() if one.signing_name == signing_name for name in one.faults}
        for names in [*table.values(), (FAILURES[signing_name],)]:
            assert set(names) <= shapes | set(COMMON_STATUSES)
    for names in [*TABLES["chime"].values(), (FAILURES["chime"],)]:
        assert set(names) <= set(CODES)


def test_every_error_has_a_shape_or_a_common_name_in_every_service(services: dict[str, ServiceModel]) -> None:
    for service in services.values():
        for kind in KINDS:
            fault = fault_of(kind("x"), service)
            assert fault.name in service.faults or fault.name in COMMON_STATUSES, (service.name, kind)


def test_bodies_and_headers(services: dict[str, ServiceModel]) -> None:
    chime = respond(errors.Conflict("wait"), services["chime-sdk-media-pipelines"])
    assert json.loads(chime.body) == {"Code": "Conflict", "Message": "wait", "RequestId": "r-1"}
    assert chime.headers == {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": "ConflictException",
        "x-amzn-RequestId": "r-1",
    }
    video = respond(errors.NotFound("create it"), services["kinesisvideo"])
    assert json.loads(video.body) == {"Message": "create it"}
    assert video.headers == {
        "Content-Type": "application/json",
        "x-amzn-ErrorType": "ResourceNotFoundException",
        "x-amz-ErrorType": "ResourceNotFoundException",
        "x-amzn-RequestId": "r-1",
        "x-amz-RequestId": "r-1",
    }


@pytest.mark.parametrize("error", [ValueError("zebra"), errors.StoreUnavailable("zebra"), RequestError("zebra")])
def test_what_is_unexpected_tells_nothing(services: dict[str, ServiceModel], error: Exception) -> None:
    for name, service in services.items():
        response = respond(error, service)
        assert response.status == 500
        assert json.loads(response.body)["Message"] == FAILURE_MESSAGE
        assert response.headers["x-amzn-ErrorType"] == FAILURES[service.signing_name], name


def test_common_errors_reach_a_client_by_their_code(services: dict[str, ServiceModel]) -> None:
    response = respond(errors.Unavailable("wait"), services["kinesisvideo"])
    with pytest.raises(ClientError) as caught:
        stock_client.call("kinesisvideo", "ListStreams", {}, lambda _: response)
    assert caught.value.response["Error"] == {"Code": "ServiceUnavailable", "Message": "wait"}


def test_declared_faults(services: dict[str, ServiceModel]) -> None:
    declared = declared_faults(services["chime-sdk-voice"], "GetVoiceProfile")
    assert "AccessDeniedException" in declared
    assert "GoneException" not in declared
    for service in services.values():
        for name in service.operations:
            assert declared_faults(service, name) <= set(service.faults)
