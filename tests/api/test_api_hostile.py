"""Whatever arrives, signed by a good key, gets an answer that is no failure of ours: `World` refuses every 5xx."""

import itertools
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import stock_client
from api_calls import CALLS, Resources, make_resources
from api_world import ACCOUNT, MINE, SIGNING_NAMES, World, exceptions, key_of, services, signed
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_values import Values
from odd_values import loosely

from earwitness.access.roles import Role
from earwitness.api.operations import PIPELINES, STREAMS, TABLE, VOICE, Called
from earwitness.wire.messages import Request, Response
from earwitness.wire.service_models import Operation

ONE_WORLD = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

CALLED = [row for row in TABLE if isinstance(row, Called)]
"""Operations that are called; those that are streams are opened, by the server."""


def model(row: Called) -> Operation:
    return services()[row.service].operations[row.operation]


@pytest.fixture
def made(world: World) -> Resources:
    return make_resources(world)


def real_names(made: Resources) -> dict[str, list[Any]]:
    """Values of members by name, so that requests get past the look-up often enough."""
    arns = [made.configuration, made.pipeline, made.domain, made.stream]
    return {
        "Identifier": [made.configuration, made.pipeline, made.pipeline_id, "secret"],
        "MediaInsightsPipelineConfigurationArn": [made.configuration],
        "MediaPipelineId": [made.pipeline_id],
        "SpeakerSearchTaskId": [made.task_id, made.printed_task_id, made.call_task_id],
        "VoiceConnectorId": [made.connector_id],
        "TransactionId": [made.transaction_id],
        "VoiceProfileDomainArn": [made.domain, made.other_domain],
        "VoiceProfileDomainId": [made.domain_id],
        "VoiceProfileId": [made.profile_id],
        "ResourceARN": arns,
        "StreamARN": [made.stream, None],
        "StreamName": ["secret", None],
        "CurrentVersion": [made.stream_version, "v1"],
        "NextToken": [None],
    }


@pytest.mark.slow
@settings(ONE_WORLD, max_examples=400)
@given(row=st.sampled_from(CALLED), seed=st.integers(0, 2**32), choice=st.randoms(use_true_random=False))
def test_requests_that_fit_the_model(world: World, made: Resources, row: Called, seed: int, choice: Any) -> None:
    shape = model(row).input
    assert shape
    params = Values(f"{row.operation}{seed}", timestamp_step=timedelta(seconds=1)).structure(shape)
    for name, values in real_names(made).items():
        if name in params and not row.operation.startswith("Delete") and choice.random() < 0.8:
            params[name] = choice.choice(values)
    if row.service != STREAMS and "ResourceARN" in params:
        params["ResourceARN"] = {PIPELINES: made.pipeline, VOICE: made.domain}[row.service]
    if row.operation == "CreateMediaInsightsPipeline" and choice.random() < 0.8:
        params |= CALLS[PIPELINES, row.operation](made)
        params.pop("KinesisVideoStreamRecordingSourceRuntimeConfiguration", None)
    given: dict[str, Any] = {name: value for name, value in params.items() if value is not None}
    try:
        world.call(row.service, row.operation, **given)
    except (ClientError, ParamValidationError) as error:
        assert str(error)


LOOSELY = {(row.service, row.operation): loosely(shape) for row in CALLED if (shape := model(row).input)}


@pytest.mark.slow
@settings(ONE_WORLD, max_examples=500)
@given(data=st.data())
def test_bodies_that_almost_fit(world: World, made: Resources, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(CALLED))
    operation = model(row)
    value = data.draw(LOOSELY[row.service, row.operation])
    if data.draw(st.booleans()) and not row.operation.startswith("Delete"):  # the resources serve all examples
        value |= json.loads(json.dumps(CALLS[row.service, row.operation](made)))
    path = operation.path
    for name in operation.input.members if operation.input else ():
        text = str(value.get(name, "x")) or "x"
        wire_name = operation.input.members[name].wire_name if operation.input else name
        path = path.replace(f"{{{wire_name}}}", quote(text.encode(errors="replace"), safe=""))
    constants = "&".join(f"{name}={text}" for name, text in operation.constants)
    body = json.dumps(value).encode() if operation.method in ("POST", "PUT") else b""
    world.answer(signed(operation.method, f"{path}?{constants}", body, signing_name=SIGNING_NAMES[row.service]))


ODD = ["..", ".", "", "%2e%2e", "%2F", "%252F", "%00", "%ff", "a", "arn%3Aaws", "{identifier}", "%F0%9F%98%80"]
ROUTES = sorted({(row.service, model(row).method, model(row).path) for row in CALLED})


@st.composite
def targets(draw: st.DrawFn) -> tuple[str, str, str]:
    """Who signs for it, a method, and the path of an operation with something odd in place of a label, or anywhere."""
    service, method, path = draw(st.sampled_from(ROUTES))
    parts = [draw(st.sampled_from(ODD)) if part.startswith("{") else part for part in path.split("/")]
    if draw(st.integers(0, 3)) == 0:
        parts.insert(draw(st.integers(1, len(parts))), draw(st.sampled_from(ODD)))
    if draw(st.integers(0, 3)) == 0:
        method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]))
    return SIGNING_NAMES[service], method, "/".join(parts)


@pytest.mark.slow
@settings(ONE_WORLD, max_examples=300)
@given(
    target=targets(),
    query=st.sampled_from(["", "operation=tag-resource", "arn=", "arn=%00", "next-token=%ff", "max-results=1e9"]),
    body=st.binary(max_size=20) | st.sampled_from([b"{}", b"[]", b'{"a":1,"a":2}', b"NaN", b"[" * 50_000]),
)
def test_any_path_query_and_body(world: World, target: tuple[str, str, str], query: str, body: bytes) -> None:
    signing_name, method, path = target
    world.answer(signed(method, f"{path}?{query}", body, signing_name=signing_name))


def test_identifiers_that_try_to_leave_their_place(world: World, made: Resources, tmp_path: Path) -> None:
    names = [
        "../" * 5 + "etc/passwd",
        "..",
        "%2e%2e%2f",
        made.configuration.replace("/", "%2F"),  # encoded twice on its way: names nothing
        f"{made.configuration}/../secret",
        "' OR 1=1 --",
        "secret\n",
        "x" * 1024,
    ]
    calls = [
        (PIPELINES, "GetMediaInsightsPipelineConfiguration", "Identifier"),
        (PIPELINES, "UpdateMediaInsightsPipelineStatus", "Identifier"),
        (PIPELINES, "GetMediaPipeline", "MediaPipelineId"),
        (VOICE, "GetVoiceProfile", "VoiceProfileId"),
        (VOICE, "DeleteVoiceProfileDomain", "VoiceProfileDomainId"),
        (STREAMS, "DescribeStream", "StreamName"),
    ]

    def more(service: str, operation: str) -> dict[str, Any]:
        return {name: value for name, value in CALLS[service, operation](made).items() if name != "StreamARN"}

    for (service, operation, member), name in itertools.product(calls, names):
        with pytest.raises(ClientError) as caught:
            world.call(service, operation, **more(service, operation) | {member: name.rjust(36, "/")})
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404), (operation, name)
    with pytest.raises(exceptions(STREAMS).InvalidArgumentException):
        world.make_stream("../caller")
    ours = ("0.db", "0.media", "settings.toml")  # the world's records and media, and the settings of every test
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(ours)] == []


@pytest.mark.parametrize("times", [1, 2])
def test_an_arn_in_the_path_is_one_segment(world: World, made: Resources, times: int) -> None:
    segment = made.pipeline
    for _ in range(times):
        segment = quote(segment, safe="")
    body = b'{"UpdateStatus":"Pause"}'
    response = world.answer(signed("PUT", f"/media-insights-pipeline-status/{segment}", body))
    assert response.status == (200 if times == 1 else 404)


TOKENS: dict[tuple[str, str], dict[str, str]] = {
    (PIPELINES, "CreateMediaInsightsPipelineConfiguration"): {},  # botocore makes a token up
    (PIPELINES, "CreateMediaInsightsPipeline"): {},
    (PIPELINES, "StartSpeakerSearchTask"): {},
    (VOICE, "CreateVoiceProfileDomain"): {"ClientRequestToken": "token-1"},
}


@pytest.mark.slow
@pytest.mark.parametrize(("service", "operation"), TOKENS, ids=[operation for _, operation in TOKENS])
def test_a_hundred_identical_requests_at_once_make_one_resource(
    world: World, made: Resources, service: str, operation: str
) -> None:
    sent: list[Request] = []

    def answer(request: Request) -> Response:
        sent.append(request)
        return Response(status=503, headers={"x-amzn-ErrorType": "ServiceUnavailableException"})

    with pytest.raises(ClientError):
        params = CALLS[service, operation](made) | TOKENS[service, operation]
        stock_client.call(service, operation, params, answer, key_id=key_of(Role.ADMIN))
    responses: list[Response] = []
    start = threading.Barrier(100)

    def send() -> None:
        start.wait()
        responses.append(world.answer(sent[0]))

    before = count(world)
    threads = [threading.Thread(target=send) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {response.status for response in responses} == {201}
    assert len({response.body for response in responses}) == 1
    assert count(world) == before + 1


def count(world: World) -> int:
    store = world.store
    resources = store.configurations.count(MINE) + store.domains.count(MINE)
    return resources + store.pipelines.count_active(MINE) + store.tasks.count_active(MINE)


@pytest.mark.slow
def test_a_hundred_streams_of_one_name_at_once_are_one(world: World) -> None:
    request = signed("POST", "/createStream", b'{"StreamName":"caller"}', signing_name="kinesisvideo")
    responses: list[Response] = []
    threads = [threading.Thread(target=lambda: responses.append(world.answer(request))) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(response.status for response in responses) == [200] + [400] * 99
    assert set(world.faults) == {"ResourceInUseException"}
    assert ACCOUNT in str(world.call(STREAMS, "DescribeStream", StreamName="caller"))
