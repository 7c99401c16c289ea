"""A request's way through the gateway, step by step, with botocore on the other side."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stock_client
from botocore.exceptions import ClientError

from earwitness.errors import Forbidden, NotFound, NotServed, StoreUnavailable, Unauthorized, Unavailable
from earwitness.wire.buckets import Throttle
from earwitness.wire.exchange import Exchange, Principal, SigningKey
from earwitness.wire.gateway import Gateway, GatewayLimits
from earwitness.wire.messages import Request, Response
from earwitness.wire.service_models import ServiceModel
from earwitness.wire.wrong_credentials import FREE_FAILURES, WrongCredentials

REQUEST_ID = "11111111-2222-3333-4444-555555555555"
PRINCIPAL = Principal(key_id=stock_client.ACCESS_KEY_ID, account_id="111122223333", role="admin")
PRIVATE = "+15551234567"


class Operations:
    """What stands behind the gateway in these tests: one key, and one thing that happens when it is called."""

    def __init__(self) -> None:
        self.outcome: object = {}
        self.forbidden = False
        self.key_error: Exception | None = None
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.refusals: list[str] = []

    def find_key(self, key_id: str) -> SigningKey:
        if self.key_error:
            raise self.key_error
        if key_id != stock_client.ACCESS_KEY_ID:
            raise Unauthorized("the access key is unknown")
        return SigningKey(principal=PRINCIPAL, secret=stock_client.SECRET)

    def authorise(self, exchange: Exchange) -> None:  # noqa: ARG002  # the name is the seam's
        if self.forbidden:
            raise Forbidden("a key of role reader may not call this")

    def is_quick(self, exchange: Exchange) -> bool:
        return exchange.route.operation.name.startswith("Get")

    def call(self, exchange: Exchange) -> Any:
        self.calls.append((exchange.route.operation.name, exchange.params))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def refused(self, exchange: Exchange, *, fault: str) -> None:
        self.refusals.append(f"{exchange.route.operation.name} {exchange.principal.key_id} {fault}")


class Clock:
    """Times that are set by hand."""

    def __init__(self) -> None:
        self.off = timedelta()
        self.seconds = 0.0

    def utc(self) -> datetime:
        return datetime.now(UTC) + self.off  # botocore signs with the real time

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def operations() -> Operations:
    return Operations()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Bench:
    """A gateway, called by botocore or with requests made by hand."""

    def __init__(self, services: dict[str, ServiceModel], operations: Operations, clock: Clock, **options: Any) -> None:
        limits = GatewayLimits(**options.pop("limits", {}))
        options.setdefault("throttle", Throttle(per_second=0))
        self.gateway = Gateway(
            services=list(services.values()),
            operations=operations,
            wrong_credentials=WrongCredentials(),
            clock=clock.utc,
            monotonic=clock.monotonic,
            new_request_id=lambda: REQUEST_ID,
            limits=limits,
            **options,
        )
        self.exchange: Exchange

    def answer(self, request: Request) -> Response:
        self.exchange = self.gateway.receive(request, scheme="http")
        self.gateway.answer(self.exchange)
        assert self.exchange.response is not None
        return self.exchange.response

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        return stock_client.call(service, operation, params, self.answer)

    def fails(self, service: str, operation: str, **params: Any) -> tuple[str, int, str]:
        """The name, status and message of the fault that botocore raises."""
        with pytest.raises(ClientError) as caught:
            self.call(service, operation, **params)
        response: Any = caught.value.response
        metadata = response["ResponseMetadata"]
        assert metadata["RequestId"] == REQUEST_ID
        return response["Error"]["Code"], metadata["HTTPStatusCode"], response["Error"]["Message"]


@pytest.fixture
def bench(services: dict[str, ServiceModel], operations: Operations, clock: Clock) -> Bench:
    return Bench(services, operations, clock)


def unsigned(path: str, method: str = "GET", **headers: str) -> Request:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request.received(method=method, raw_path=path.encode(), raw_query=b"", headers=lines, client="192.0.2.1")


VOICE = "chime-sdk-voice"
GET = "GetVoiceProfileDomain"


def test_a_good_request(bench: Bench, operations: Operations) -> None:
    operations.outcome = {"VoiceProfileDomain": {"Name": "callers"}}
    result = bench.call(VOICE, GET, VoiceProfileDomainId="d1")
    assert result["VoiceProfileDomain"] == {"Name": "callers"}
    assert result["ResponseMetadata"]["RequestId"] == REQUEST_ID
    assert operations.calls == [(GET, {"VoiceProfileDomainId": "d1"})]
    assert bench.exchange.principal == PRINCIPAL
    assert bench.exchange.claim.region == "us-east-1"
    assert bench.exchange.endpoint == "http://localhost:8123"


def test_in_two_halves(bench: Bench, operations: Operations) -> None:
    seen: list[bool] = []

    def answer(request: Request) -> Response:
        exchange = bench.gateway.receive(request, scheme="https")
        assert bench.gateway.prepare(exchange)
        assert len(operations.calls) == len(seen)
        assert exchange.response is None
        seen.append(bench.gateway.is_quick(exchange))
        bench.gateway.finish(exchange)
        assert exchange.endpoint.startswith("https://")
        assert exchange.response
        return exchange.response

    stock_client.call(VOICE, GET, {"VoiceProfileDomainId": "d1"}, answer)
    stock_client.call(VOICE, "ListVoiceProfileDomains", {}, answer)
    assert seen == [True, False]


def test_nobody_goes_on_after_a_step_that_refuses(bench: Bench, operations: Operations) -> None:
    operations.forbidden = True
    assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[:2] == ("AccessDeniedException", 403)
    assert operations.refusals == [f"{GET} {PRINCIPAL.key_id} AccessDeniedException"]
    assert operations.calls == []


def test_a_parameter_is_judged_after_the_role(bench: Bench, operations: Operations) -> None:
    wrong = {"Name": "callers", "ServerSideEncryptionConfiguration": {"KmsKeyArn": "no arn"}}
    operations.forbidden = True
    assert bench.fails(VOICE, "CreateVoiceProfileDomain", **wrong)[:2] == ("AccessDeniedException", 403)
    operations.forbidden = False
    name, status, message = bench.fails(VOICE, "CreateVoiceProfileDomain", **wrong)
    assert (name, status) == ("BadRequestException", 400)
    assert "KmsKeyArn" in message and "no arn" not in message
    assert operations.calls == []


@pytest.mark.parametrize(
    ("path", "method", "name", "status"),
    [
        ("/voice-profile-domains", "GET", "UnauthorizedClientException", 401),
        ("/sdk-media-pipelines", "GET", "UnauthorizedClientException", 401),
        ("/describeStream", "POST", "NotAuthorizedException", 401),
        ("/createStream", "POST", "NotAuthorizedException", 401),
        ("/getMedia", "POST", "NotAuthorizedException", 401),
        ("/listFragments", "POST", "NotAuthorizedException", 401),
        ("/nowhere", "GET", "UnauthorizedClientException", 401),
        ("/%ff", "PATCH", "UnauthorizedClientException", 401),
        ("", "GET", "UnauthorizedClientException", 401),
    ],
)
def test_who_is_not_signed_is_refused_in_the_words_of_the_path(
    bench: Bench, path: str, method: str, name: str, status: int
) -> None:
    response = bench.answer(unsigned(path, method))
    assert (response.headers["x-amzn-ErrorType"], response.status) == (name, status)
    assert response.headers["x-amzn-RequestId"] == REQUEST_ID
    assert ("x-amz-RequestId" in response.headers) is (name == "NotAuthorizedException")


def test_an_unknown_key_and_a_wrong_secret(
    services: dict[str, ServiceModel], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = Operations()
    bench = Bench(services, operations, clock)
    operations.key_error = Unauthorized("the access key is unknown")
    assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[:2] == ("UnauthorizedClientException", 401)
    wrong = SigningKey(principal=PRINCIPAL, secret="another")  # noqa: S106
    monkeypatch.setattr(operations, "find_key", lambda _: wrong)
    assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[:2] == ("UnauthorizedClientException", 401)
    assert bench.fails("kinesisvideo", "DescribeStream", StreamName="s")[:2] == ("NotAuthorizedException", 401)
    assert not hasattr(bench.exchange, "principal")
    assert "another" not in repr(wrong)


def test_a_request_from_another_time(bench: Bench, clock: Clock) -> None:
    clock.off = timedelta(seconds=290)
    bench.call(VOICE, GET, VoiceProfileDomainId="d1")
    clock.off = timedelta(seconds=-310)
    assert "in the future" in bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[2]


def test_an_operation_that_is_not_served(bench: Bench, operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_served(_: Exchange) -> None:
        raise NotServed("ListVoiceConnectors is not part of speaker search")

    monkeypatch.setattr(operations, "authorise", not_served)
    assert bench.fails(VOICE, "ListVoiceConnectors")[:2] == ("BadRequestException", 400)
    assert operations.calls == []


def test_too_often(services: dict[str, ServiceModel], operations: Operations, clock: Clock) -> None:
    bench = Bench(services, operations, clock, throttle=Throttle(per_second=1))
    bench.call(VOICE, GET, VoiceProfileDomainId="d1")
    bench.call(VOICE, GET, VoiceProfileDomainId="d1")
    assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[:2] == ("ThrottledClientException", 429)
    bench.call(VOICE, "ListVoiceProfileDomains")
    clock.seconds = 1.0
    bench.call(VOICE, GET, VoiceProfileDomainId="d1")


def test_bad_signatures_are_held_back_and_good_ones_are_not(bench: Bench, clock: Clock) -> None:
    for _ in range(FREE_FAILURES):
        bench.answer(unsigned("/voice-profile-domains"))
        assert bench.exchange.delay_seconds == 0
    bench.answer(unsigned("/voice-profile-domains"))
    assert bench.exchange.delay_seconds == pytest.approx(0.1)
    bench.answer(unsigned("/voice-profile-domains"))
    assert bench.exchange.delay_seconds == pytest.approx(0.2)
    good: list[float] = []

    def from_there(request: Request) -> Response:
        from dataclasses import replace

        response = bench.answer(replace(request, client="192.0.2.1"))
        good.append(bench.exchange.delay_seconds)
        return response

    stock_client.call(VOICE, GET, {"VoiceProfileDomainId": "d1"}, from_there)
    assert good == [0.0]
    clock.seconds = 1_000
    bench.answer(unsigned("/voice-profile-domains"))
    assert bench.exchange.delay_seconds == 0


def test_a_session_token_may_be_refused(
    services: dict[str, ServiceModel], operations: Operations, clock: Clock
) -> None:
    def with_token(request: Request) -> Response:
        from dataclasses import replace

        return bench.answer(replace(request, header_list=(*request.header_list, ("x-amz-security-token", "anything"))))

    bench = Bench(services, operations, clock)
    stock_client.call(VOICE, GET, {"VoiceProfileDomainId": "d1"}, with_token)
    bench = Bench(services, operations, clock, limits={"refuse_session_token": True})
    with pytest.raises(ClientError, match="session token"):
        stock_client.call(VOICE, GET, {"VoiceProfileDomainId": "d1"}, with_token)


def test_the_result_of_a_modelled_error(bench: Bench, operations: Operations) -> None:
    operations.outcome = NotFound("the domain does not exist")
    assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1") == (
        "NotFoundException",
        404,
        "the domain does not exist",
    )


def test_records_that_are_away(bench: Bench, operations: Operations, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    operations.outcome = StoreUnavailable("the database is locked; try again")
    assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[:2] == ("ServiceUnavailableException", 503)
    operations.key_error = StoreUnavailable("the database is locked; try again")
    assert bench.fails("kinesisvideo", "DescribeStream", StreamName="s")[:2] == ("ServiceUnavailable", 503)
    lines = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "earwitness.gateway"]
    assert lines == [("WARNING", "unavailable")] * 2


def test_who_refuses_before_anything_is_known(bench: Bench) -> None:
    exchange = bench.gateway.receive(unsigned("/getMedia", "POST"), scheme="http")
    bench.gateway.refuse(exchange, Unavailable("the service is stopping"))
    assert exchange.response
    assert (exchange.response.status, exchange.response.headers["x-amzn-ErrorType"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    "outcome",
    [ValueError(PRIVATE), KeyError(PRIVATE), {"VoiceProfileDomain": {"Phone": PRIVATE}}, RecursionError(PRIVATE)],
)
@pytest.mark.parametrize(
    ("service", "operation", "params", "name"),
    [
        (VOICE, GET, {"VoiceProfileDomainId": PRIVATE}, "ServiceFailureException"),
        ("kinesisvideo", "DescribeStream", {"StreamName": "s"}, "InternalFailure"),
    ],
)
def test_what_nobody_expected_shows_its_class_and_its_place_and_no_value(
    bench: Bench,
    operations: Operations,
    caplog: pytest.LogCaptureFixture,
    outcome: object,
    service: str,
    operation: str,
    params: dict[str, str],
    name: str,
) -> None:
    operations.outcome = outcome
    assert bench.fails(service, operation, **params)[1:] == (
        500,
        "the service failed to answer; try again, and give the request id to its operator if this persists",
    )
    (line,) = [record for record in caplog.records if record.name == "earwitness.gateway"]
    said: Any = vars(line)
    assert (line.levelname, said["fault"], said["request_id"]) == ("ERROR", name, REQUEST_ID)
    assert said["error"] == (type(outcome).__name__ if isinstance(outcome, Exception) else "ValueError")
    assert any(frame.startswith("gateway.py:") for frame in said["frames"])
    assert PRIVATE not in str(said)
    assert line.exc_info is None
    assert bench.exchange.response and PRIVATE.encode() not in bench.exchange.response.body


def test_a_provoked_failure_comes_instead_of_the_call(
    services: dict[str, ServiceModel], operations: Operations, clock: Clock
) -> None:
    failure = RuntimeError("asked for")
    bench = Bench(services, operations, clock, provoked={GET: failure}.get)
    depths: list[int] = []
    for _ in range(5):
        assert bench.fails(VOICE, GET, VoiceProfileDomainId="d1")[:2] == ("ServiceFailureException", 500)
        depths.append(_depth(failure))
    assert depths == depths[:1] * 5  # one object for all requests must not collect their frames
    assert operations.calls == []
    bench.call(VOICE, "ListVoiceProfileDomains")


def _depth(error: Exception) -> int:
    depth, frame = 0, error.__traceback__
    while frame is not None:
        depth, frame = depth + 1, frame.tb_next
    return depth


def test_a_step_out_of_order_is_a_mistake_of_ours(bench: Bench) -> None:
    exchange = bench.gateway.receive(unsigned("/"), scheme="http")
    for late in ("route", "principal", "claim"):
        with pytest.raises(AttributeError, match=late):
            getattr(exchange, late)


def test_log_lines_hold_no_path_and_no_parameter(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="earwitness")
    bench.answer(unsigned(f"/voice-profile-domains/{PRIVATE}", authorization=f"AWS4-HMAC-SHA256 {PRIVATE}\n"))
    assert caplog.records
    assert PRIVATE not in str([vars(record) for record in caplog.records])
