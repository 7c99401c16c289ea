"""Who may call what, and that nobody sees what is another's: by every operation that is served."""

import json
from typing import Any

import pytest
from api_calls import CALLS, LISTS, NAMED, make_resources
from api_world import (
    ACCOUNT,
    OTHER_ACCOUNT,
    OTHER_REGION,
    REGION,
    SIGNING_NAMES,
    World,
    key_of,
    services,
)
from botocore.exceptions import ClientError

from earwitness.access.roles import Role
from earwitness.api.operations import BY_NAME, PIPELINES, REFUSED, TABLE, Opened
from earwitness.store.records import Scope
from earwitness.wire.faults import declared_faults

NOT_FOUND = {"chime": "NotFoundException", "kinesisvideo": "ResourceNotFoundException"}
SERVED = sorted(CALLS)
IDS = [f"{service}.{operation}" for service, operation in SERVED]


def test_the_table_is_what_is_served() -> None:
    assert set(CALLS) == set(BY_NAME)
    assert len(BY_NAME) == len(TABLE)
    known = {(service.name, operation) for service in services().values() for operation in service.operations}
    assert set(BY_NAME) | set(REFUSED) <= known
    assert not set(BY_NAME) & set(REFUSED)
    assert {name for name, row in BY_NAME.items() if isinstance(row, Opened)} == set(BY_NAME) & streaming()


def streaming() -> set[tuple[str, str]]:
    """The operations whose request or answer is a stream, as the service models say."""
    return {
        (service.name, operation.name)
        for service in services().values()
        for operation in service.operations.values()
        for shape in (operation.input, operation.output)
        if shape and any(member.streaming for member in shape.members.values())
    }


def refusal(service: str, operation: str) -> str:
    """The fault of a good key whose role may not."""
    declared = declared_faults(services()[service], operation)
    if SIGNING_NAMES[service] == "chime":
        return "AccessDeniedException" if "AccessDeniedException" in declared else "ForbiddenException"
    return "AccessDeniedException" if "AccessDeniedException" in declared else "NotAuthorizedException"


def code_of(world: World, service: str, operation: str, params: dict[str, Any], **who: str) -> str:
    """The exception that a call ends in; empty when it succeeds."""
    try:
        world.call(service, operation, **who, **params)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


@pytest.mark.parametrize(("service", "operation"), SERVED, ids=IDS)
def test_every_role_may_what_the_table_says(world: World, service: str, operation: str) -> None:
    made = make_resources(world)
    if operation == "DeleteMediaInsightsPipelineConfiguration":
        world.end_task(made.task_id)
        world.call(service, "DeleteMediaPipeline", MediaPipelineId=made.pipeline_id)
    params = CALLS[service, operation](made)
    allowed = BY_NAME[service, operation].roles
    for role in Role:
        if role not in allowed:
            assert code_of(world, service, operation, params, key_id=key_of(role)) == refusal(service, operation)
            entry = world.audit()[0]
            assert (entry.key_id, entry.operation) == (key_of(role), operation)
            assert (entry.outcome, entry.resource_arn) == (refusal(service, operation), "")
    assert Role.ADMIN in allowed
    least = max(allowed, key=list(Role).index)
    assert code_of(world, service, operation, params, key_id=key_of(least)) == ""


def change_of(world: World, scope: Scope) -> str:
    """Everything an account can see of itself, to be compared."""
    store = world.store
    names = ("configurations", "pipelines", "domains", "streams")
    return repr([getattr(store, name).list(scope, limit=100) for name in names])


@pytest.mark.parametrize("whose", [(OTHER_ACCOUNT, REGION), (ACCOUNT, OTHER_REGION)], ids=["account", "Region"])
def test_nobody_sees_or_changes_what_is_anothers(world: World, whose: tuple[str, str]) -> None:
    account, region = whose
    made = make_resources(world)
    mine = Scope(account_id=ACCOUNT, region=REGION)
    before = change_of(world, mine)
    who = {"key_id": key_of(Role.ADMIN, account), "region": region}
    for (service, operation), params in NAMED.items():
        asked = params(made)
        assert code_of(world, service, operation, asked, **who) == NOT_FOUND[SIGNING_NAMES[service]], operation
        # ARNs as they would be if the resources were the caller's own
        theirs = json.loads(json.dumps(asked).replace(ACCOUNT, account).replace(REGION, region))
        assert code_of(world, service, operation, theirs, **who) == NOT_FOUND[SIGNING_NAMES[service]], operation
    for service, operation in LISTS:
        answer = world.call(service, operation, **who)
        del answer["ResponseMetadata"]
        assert not any(name in repr(answer) for name in made.names), operation
    assert change_of(world, mine) == before
    assert world.audit(Scope(account_id=account, region=region)) == ()


def test_the_same_names_in_two_accounts(world: World) -> None:
    made = make_resources(world)
    other = {"key_id": key_of(Role.ADMIN, OTHER_ACCOUNT)}
    for (service, operation), params in CALLS.items():
        if operation.startswith("Create") and (service, operation) not in NAMED:
            asked = json.loads(json.dumps(params(made)).replace("mine", "secret"))
            assert code_of(world, service, operation, asked, **other) == ""
    stream = world.call("kinesisvideo", "DescribeStream", StreamName="secret", **other)["StreamInfo"]
    assert OTHER_ACCOUNT in stream["StreamARN"]
    assert "DeviceName" not in stream


def make_with_token(world: World, stream: str, **who: str) -> list[str]:
    """One of everything that takes a ClientRequestToken, all with the same; their ids and ARNs."""
    more = {"ClientRequestToken": "token-1"} | who
    configuration = world.make_configuration(**more)["MediaInsightsPipelineConfigurationArn"]
    domain = world.make_domain(**more)["VoiceProfileDomainArn"]
    pipeline = world.make_pipeline(configuration, stream, **more)["MediaPipelineId"]
    asked = {"Identifier": pipeline, "VoiceProfileDomainArn": domain}
    task = world.call(PIPELINES, "StartSpeakerSearchTask", **asked, **more)["SpeakerSearchTask"]
    return [configuration, domain, pipeline, task["SpeakerSearchTaskId"]]


@pytest.mark.parametrize("whose", [(OTHER_ACCOUNT, REGION), (ACCOUNT, OTHER_REGION)], ids=["account", "Region"])
def test_the_same_token_in_two_accounts(world: World, whose: tuple[str, str]) -> None:
    account, region = whose
    who = {"key_id": key_of(Role.ADMIN, account), "region": region}
    my_stream, their_stream = world.make_stream(), world.make_stream(**who)
    mine = make_with_token(world, my_stream)
    theirs = make_with_token(world, their_stream, **who)
    assert not set(theirs) & set(mine)
    assert make_with_token(world, my_stream) == mine
    assert make_with_token(world, their_stream, **who) == theirs


@pytest.mark.parametrize("state", ["unknown", "disabled", "other secret"])
def test_keys_that_open_nothing(world: World, state: str) -> None:
    key_id = key_of(Role.ADMIN)
    if state == "unknown":
        key_id = "nobody"
    elif state == "disabled":
        world.store.write(lambda unit: unit.access_keys.disable(ACCOUNT, key_id))
    else:
        world.store.write(lambda unit: unit.access_keys.delete(ACCOUNT, key_id))
        world.store.write(
            lambda unit: unit.access_keys.create(
                key_id=key_id, account_id=ACCOUNT, role="admin", name="test", secret="x" * 40
            )
        )
    expected = {"chime": "UnauthorizedClientException", "kinesisvideo": "NotAuthorizedException"}
    for service, operation in LISTS:
        assert code_of(world, service, operation, {}, key_id=key_id) == expected[SIGNING_NAMES[service]]
