"""Voice profile domains and voice profiles through botocore, and the trail that reading them leaves."""

from datetime import UTC, datetime
from typing import Any

import pytest
from api_world import ACCOUNT, KMS_KEY_ARN, REGION, World, exceptions, key_of

from earwitness.access.roles import Role
from earwitness.api.operations import VOICE
from earwitness.config.limits import Quotas

ERRORS = exceptions(VOICE)


def domain_of(world: World, domain_id: str) -> dict[str, Any]:
    return world.call(VOICE, "GetVoiceProfileDomain", VoiceProfileDomainId=domain_id)["VoiceProfileDomain"]


def test_a_domain_from_beginning_to_end(world: World) -> None:
    made = world.make_domain("callers", Description="of the hotline")
    domain_id = made["VoiceProfileDomainId"]
    assert made == domain_of(world, domain_id)
    assert made["CreatedTimestamp"] == made["UpdatedTimestamp"] > datetime(2026, 1, 1, tzinfo=UTC)
    assert made["VoiceProfileDomainArn"] == f"arn:aws:chime:{REGION}:{ACCOUNT}:voice-profile-domain/{domain_id}"
    assert made["ServerSideEncryptionConfiguration"] == {"KmsKeyArn": KMS_KEY_ARN}
    world.call(VOICE, "UpdateVoiceProfileDomain", VoiceProfileDomainId=domain_id, Name="guests", Description="")
    updated = domain_of(world, domain_id)
    assert (updated["Name"], updated["Description"]) == ("guests", "")
    listed = world.call(VOICE, "ListVoiceProfileDomains")["VoiceProfileDomains"]
    assert listed == [{k: v for k, v in updated.items() if k != "ServerSideEncryptionConfiguration"}]
    profile = world.make_profile(domain_id)
    world.call(VOICE, "DeleteVoiceProfileDomain", VoiceProfileDomainId=domain_id)
    for operation in ("GetVoiceProfileDomain", "UpdateVoiceProfileDomain", "DeleteVoiceProfileDomain"):
        with pytest.raises(ERRORS.NotFoundException):
            world.call(VOICE, operation, VoiceProfileDomainId=domain_id)
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "GetVoiceProfile", VoiceProfileId=profile.profile_id)


def test_a_domain_has_a_band_for_good(world: World) -> None:
    made = world.make_domain(Tags=[{"Key": "earwitness:band", "Value": "wideband"}])
    arn = made["VoiceProfileDomainArn"]
    for tags in ([{"Key": "earwitness:band", "Value": "telephone"}], [{"Key": "earwitness:band", "Value": "x"}]):
        with pytest.raises(ERRORS.BadRequestException, match="earwitness:band"):
            world.call(VOICE, "TagResource", ResourceARN=arn, Tags=tags)
    with pytest.raises(ERRORS.BadRequestException, match="earwitness:band"):
        world.call(VOICE, "UntagResource", ResourceARN=arn, TagKeys=["team", "earwitness:band"])
    world.call(VOICE, "TagResource", ResourceARN=arn, Tags=[{"Key": "earwitness:band", "Value": "wideband"}])
    listed = world.call(VOICE, "ListTagsForResource", ResourceARN=arn)["Tags"]
    assert listed == [{"Key": "earwitness:band", "Value": "wideband"}]
    with pytest.raises(ERRORS.BadRequestException, match="telephone or wideband"):
        world.make_domain(Tags=[{"Key": "earwitness:band", "Value": "x"}])


def test_the_alias_of_a_key_is_refused_as_by_aws(world: World) -> None:
    alias = {"KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/voices"}
    with pytest.raises(ERRORS.BadRequestException, match="the ARN of the key itself"):
        world.call(VOICE, "CreateVoiceProfileDomain", Name="callers", ServerSideEncryptionConfiguration=alias)


def test_a_token_makes_one_domain(world: World) -> None:
    made = world.make_domain(ClientRequestToken="token-1")
    assert world.make_domain(ClientRequestToken="token-1") == made
    with pytest.raises(ERRORS.ConflictException, match="ClientRequestToken"):
        world.make_domain("others", ClientRequestToken="token-1")
    assert world.make_domain() != made  # without a token every request makes one


def test_the_quota_of_domains(make_world: Any) -> None:
    world = make_world(quotas=Quotas(domains=1))
    world.make_domain()
    with pytest.raises(ERRORS.ResourceLimitExceededException):
        world.make_domain()


def test_a_profile_is_read_on_the_record(world: World) -> None:
    domain = world.make_domain()
    profile = world.make_profile(domain["VoiceProfileDomainId"])
    reader = key_of(Role.READER)
    got = world.call(VOICE, "GetVoiceProfile", key_id=reader, VoiceProfileId=profile.profile_id)["VoiceProfile"]
    assert got["VoiceProfileArn"] == profile.arn
    assert got["VoiceProfileDomainId"] == domain["VoiceProfileDomainId"]
    assert got["CreatedTimestamp"] == got["UpdatedTimestamp"] < got["ExpirationTimestamp"]
    listed = world.call(VOICE, "ListVoiceProfiles", key_id=reader, VoiceProfileDomainId=domain["VoiceProfileDomainId"])
    assert listed["VoiceProfiles"] == [got]
    domain_of(world, domain["VoiceProfileDomainId"])  # not on the record: it names nobody's voice
    trail = [(entry.operation, entry.resource_arn, entry.key_id, entry.outcome) for entry in world.audit()]
    assert trail[:2] == [
        ("ListVoiceProfiles", domain["VoiceProfileDomainArn"], reader, "done"),
        ("GetVoiceProfile", profile.arn, reader, "done"),
    ]
    assert len(trail) == 3


def test_a_profile_is_deleted_for_good(world: World) -> None:
    domain_id = world.make_domain()["VoiceProfileDomainId"]
    profile = world.make_profile(domain_id)
    other = world.make_profile(domain_id)
    world.call(VOICE, "TagResource", ResourceARN=profile.arn, Tags=[{"Key": "team", "Value": "fraud"}])
    world.call(VOICE, "DeleteVoiceProfile", VoiceProfileId=profile.profile_id)
    assert world.audit()[0].resource_arn == profile.arn
    for operation in ("GetVoiceProfile", "DeleteVoiceProfile"):
        with pytest.raises(ERRORS.NotFoundException):
            world.call(VOICE, operation, VoiceProfileId=profile.profile_id)
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "ListTagsForResource", ResourceARN=profile.arn)
    left = world.call(VOICE, "ListVoiceProfiles", VoiceProfileDomainId=domain_id)["VoiceProfiles"]
    assert [one["VoiceProfileId"] for one in left] == [other.profile_id]


def test_profiles_of_a_domain_nobody_made(world: World) -> None:
    with pytest.raises(ERRORS.NotFoundException):
        world.call(VOICE, "ListVoiceProfiles", VoiceProfileDomainId="vpd-nobody")
    assert world.audit() == ()


@pytest.mark.parametrize("operation", ["StopVoiceToneAnalysisTask", "ListPhoneNumbers"])
def test_operations_that_are_not_served(world: World, operation: str) -> None:
    params = {
        "StopVoiceToneAnalysisTask": {"VoiceConnectorId": "v", "VoiceToneAnalysisTaskId": "t"},
    }
    with pytest.raises(ERRORS.BadRequestException, match=r"docs/parity\.md"):
        world.call(VOICE, operation, **params.get(operation, {}))
