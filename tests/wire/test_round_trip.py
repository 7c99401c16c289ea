"""Every operation of the five services, with botocore's own client on the other side of the wire."""

from datetime import UTC, datetime, timedelta

import pytest
import stock_client
from model_values import Values

from earwitness.wire import sigv4
from earwitness.wire.faults import Fault, write_fault
from earwitness.wire.messages import Request, Response
from earwitness.wire.parse import parse_request
from earwitness.wire.router import Route, Router
from earwitness.wire.serialize import serialize
from earwitness.wire.service_models import Operation, ServiceModel, load_services

SERVICES = load_services()
OPERATIONS = [
    (service, operation)
    for service in SERVICES.values()
    for operation in service.operations.values()
    if operation.name != "PutMedia"  # in AWS's producers and in no model of botocore's
]
IDS = [f"{service.name}.{operation.name}" for service, operation in OPERATIONS]
SEEDS = 2


def params_for(operation: Operation, seed: int) -> dict[str, object]:
    values = Values(f"{operation.name}{seed}", timestamp_step=timedelta(seconds=1))
    params = values.structure(operation.input) if operation.input else {}
    if operation.path == "/tags":  # the ARN decides the service
        kind = "voice-profile" if operation.service_name == "chime-sdk-voice" else "media-pipeline"
        params["ResourceARN"] = f"arn:aws:chime:us-east-1:123456789012:{kind}/1"
    return params


@pytest.mark.parametrize(("service", "operation"), OPERATIONS, ids=IDS)
def test_what_a_client_sends_is_what_we_read(service: ServiceModel, operation: Operation, router: Router) -> None:
    for seed in range(SEEDS):
        params = params_for(operation, seed)
        seen: list[tuple[Route, dict[str, object]]] = []

        def answer(request: Request, seen: list[tuple[Route, dict[str, object]]] = seen) -> Response:
            claim = sigv4.parse_authorization(request)
            sigv4.verify(
                request,
                claim,
                stock_client.SECRET,
                now=datetime.now(UTC),
                skew_seconds=300,
                services=("chime", "kinesisvideo"),
            )
            route = router.match(claim.service, request)
            read = parse_request(route, request)
            seen.append((route, read))
            return serialize(route.service, route.operation, {}, request_id="id-1")

        stock_client.call(service.name, operation.name, params, answer)
        route, read = seen[0]
        assert (route.service.name, route.operation.name) == (service.name, operation.name)
        if "ClientRequestToken" not in params and service.name == "chime-sdk-media-pipelines":
            read.pop("ClientRequestToken", None)  # botocore makes one up where the model calls it an idempotency token
        assert read == params


@pytest.mark.parametrize(("service", "operation"), OPERATIONS, ids=IDS)
def test_what_we_answer_is_what_a_client_reads(service: ServiceModel, operation: Operation) -> None:
    for seed in range(SEEDS):
        values = Values(f"{operation.name}{seed}", timestamp_step=timedelta(milliseconds=1))
        result = values.structure(operation.output) if operation.output else {}
        response = serialize(service, operation, result, request_id="id-1")

        def answer(_: Request, response: Response = response) -> Response:
            return response

        read = stock_client.call(service.name, operation.name, params_for(operation, seed), answer)
        metadata = read.pop("ResponseMetadata")
        assert (metadata["HTTPStatusCode"], metadata["RequestId"]) == (operation.status, "id-1")
        if "Payload" in read:
            read["Payload"] = read["Payload"].read()
            result.setdefault("Payload", b"")
        assert read == result


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_fault_of_a_model_arrives_as_its_class(service: ServiceModel) -> None:
    operation = next(iter(service.operations.values()))
    for name, status in service.faults.items():
        response = write_fault(Fault(name=name, status=status, message="do this"), service, request_id="id-1")
        exceptions = stock_client.client(service.name).exceptions
        with pytest.raises(getattr(exceptions, name)) as caught:
            stock_client.call(service.name, operation.name, params_for(operation, 0), lambda _, answer=response: answer)
        seen = caught.value.response
        assert seen["Error"] == {"Code": name, "Message": "do this"}
        assert (seen["ResponseMetadata"]["HTTPStatusCode"], seen["ResponseMetadata"]["RequestId"]) == (status, "id-1")


def test_a_streaming_answer_is_given_whole_or_left_to_the_sender(services: dict[str, ServiceModel]) -> None:
    service = services["kinesis-video-media"]
    operation = service.operations["GetMedia"]
    whole = serialize(service, operation, {"ContentType": "video/webm", "Payload": b"\x1a\x45"}, request_id="r")
    head = serialize(service, operation, {"ContentType": "video/webm"}, request_id="r")
    assert (whole.body, head.body) == (b"\x1a\x45", b"")
    assert head.headers == {"x-amzn-RequestId": "r", "x-amz-RequestId": "r", "Content-Type": "video/webm"}
