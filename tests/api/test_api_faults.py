"""The exceptions that programs of speaker search handle, each by botocore's own class, and how each comes about."""

from collections.abc import Callable
from typing import Any

import pytest
from api_calls import CALLS, make_resources
from api_world import OTHER_ACCOUNT, SIGNING_NAMES, World, exceptions, key_of
from botocore.exceptions import ClientError

from earwitness import errors
from earwitness.access.roles import Role
from earwitness.api.operations import BY_NAME, PIPELINES, STREAMS, VOICE
from earwitness.wire.faults import FAILURE_MESSAGE

ASKED = {
    (PIPELINES, "GetSpeakerSearchTask"): "SpeakerSearchTaskId",
    (PIPELINES, "GetMediaPipeline"): "MediaPipelineId",
    (VOICE, "GetVoiceProfile"): "VoiceProfileId",
}
"""Operations that declare all seven, and a member of each that has a greatest length below 300."""

STATUSES = {
    "BadRequestException": 400,
    "ForbiddenException": 403,
    "UnauthorizedClientException": 401,
    "ThrottledClientException": 429,
    "NotFoundException": 404,
    "ServiceUnavailableException": 503,
    "ServiceFailureException": 500,
}
PROVOKED = {
    "BadRequestException": errors.BadRequest,
    "ForbiddenException": errors.Forbidden,
    "UnauthorizedClientException": errors.Unauthorized,
    "ThrottledClientException": errors.Throttled,
    "NotFoundException": errors.NotFound,
    "ServiceUnavailableException": errors.Unavailable,
    "ServiceFailureException": RuntimeError,
}
both = pytest.mark.parametrize(("service", "operation"), ASKED, ids=[operation for _, operation in ASKED])
MakeWorld = Callable[..., World]


def forbidden(service: str) -> str:
    return "ForbiddenException" if service == PIPELINES else "AccessDeniedException"


def catch(world: World, service: str, operation: str, name: str, **more: Any) -> dict[str, Any]:
    """The error of a call that ends in this class of botocore's."""
    with pytest.raises(getattr(exceptions(service), name)) as caught:
        world.call(service, operation, **more)
    response = caught.value.response
    assert response["Error"]["Code"] == name
    assert response["ResponseMetadata"]["HTTPStatusCode"] == STATUSES.get(name, 403)
    assert response["ResponseMetadata"]["RequestId"]
    if service == PIPELINES:
        assert response["RequestId"] == response["ResponseMetadata"]["RequestId"]
        assert response["Message"] == response["Error"]["Message"]
    return response["Error"]


@both
def test_bad_request(world: World, service: str, operation: str) -> None:
    name = ASKED[service, operation]
    params = CALLS[service, operation](make_resources(world)) | {name: "x" * 300}
    error = catch(world, service, operation, "BadRequestException", **params)
    assert error["Message"].startswith(f"{name}: has 300 characters")


@both
def test_forbidden(world: World, service: str, operation: str) -> None:
    params = CALLS[service, operation](make_resources(world))
    error = catch(world, service, operation, forbidden(service), key_id=key_of(Role.PRODUCER), **params)
    assert "a key of role producer may not call" in error["Message"]


@both
def test_unauthorized(world: World, service: str, operation: str) -> None:
    params = CALLS[service, operation](make_resources(world))
    catch(world, service, operation, "UnauthorizedClientException", key_id="nobody", **params)


@both
def test_throttled(make_world: MakeWorld, service: str, operation: str) -> None:
    world = make_world(calls_per_second=10)
    params = CALLS[service, operation](make_resources(world))
    for _ in range(20):
        world.call(service, operation, **params)
    error = catch(world, service, operation, "ThrottledClientException", **params)
    assert "back-off" in error["Message"]
    world.call(service, operation, key_id=key_of(Role.READER), **params)  # another key has a rate of its own
    world.seconds += 0.1
    world.call(service, operation, **params)


@both
def test_not_found(world: World, service: str, operation: str) -> None:
    params = CALLS[service, operation](make_resources(world))
    other = key_of(Role.ADMIN, OTHER_ACCOUNT)
    catch(world, service, operation, "NotFoundException", key_id=other, **params)


@both
def test_unavailable_while_the_records_are(make_world: MakeWorld, service: str, operation: str) -> None:
    world = make_world()
    params = CALLS[service, operation](make_resources(world))
    world.call(service, operation, **params)
    world.store.close()
    with world.breaks():
        error = catch(world, service, operation, "ServiceUnavailableException", **params)
    assert "/" not in error["Message"]


@both
def test_failure_tells_nothing(make_world: MakeWorld, service: str, operation: str) -> None:
    world = make_world(provoked={operation: RuntimeError("+49 30 1234567")})
    params = CALLS[service, operation](make_resources(world))
    with world.breaks():
        error = catch(world, service, operation, "ServiceFailureException", **params)
    assert error["Message"] == FAILURE_MESSAGE


@both
@pytest.mark.parametrize("name", PROVOKED)
def test_each_can_be_asked_for(make_world: MakeWorld, service: str, operation: str, name: str) -> None:
    world = make_world(provoked={operation: PROVOKED[name]("asked for")})
    params = CALLS[service, operation](make_resources(world))
    with world.breaks():
        catch(world, service, operation, forbidden(service) if name == "ForbiddenException" else name, **params)


@pytest.mark.parametrize(("service", "operation"), sorted(CALLS), ids=[operation for _, operation in sorted(CALLS)])
def test_no_operation_hides_that_the_records_are_away(world: World, service: str, operation: str) -> None:
    params = CALLS[service, operation](make_resources(world))
    world.store.close()
    with world.breaks(), pytest.raises(ClientError) as caught:
        world.call(service, operation, **params)
    expected = {"chime": "ServiceUnavailableException", "kinesisvideo": "ServiceUnavailable"}
    assert caught.value.response["Error"]["Code"] == expected[SIGNING_NAMES[service]]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_streams_are_throttled_in_their_own_words(make_world: MakeWorld) -> None:
    world = make_world(calls_per_second=1)
    for name in ("one", "two"):
        world.make_stream(name)
    with pytest.raises(exceptions(STREAMS).ClientLimitExceededException):
        world.make_stream("three")


def test_what_is_not_served_is_refused_before_it_is_read(world: World) -> None:
    not_served = [("CreateSignalingChannel", {"ChannelName": "c"}), ("DeleteEdgeConfiguration", {"StreamName": "s"})]
    for operation, params in not_served:
        assert (STREAMS, operation) not in BY_NAME
        with pytest.raises(
            exceptions(STREAMS).InvalidArgumentException, match=r"which earwitness does not have.*parity\.md"
        ):
            world.call(STREAMS, operation, **params)
