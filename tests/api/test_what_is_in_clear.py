"""Whatever text a client can give is planted and looked for in the files of the records and of the media.

docs/records.md says which columns are sealed. What goes there alone must be in no file; what the page calls in clear is
found, so that this test would see a text that is not sealed.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_calls import make_resources
from api_world import ACCOUNT, KMS_KEY_ARN, MINE, REGION, ROLE_ARN, VOICE_ELEMENT, World, live_source
from sqlalchemy import select

from earwitness.api.operations import PIPELINES, STREAMS, VOICE
from earwitness.store.columns import Form, secrecy
from earwitness.store.schema import metadata
from earwitness.store.store import Unit


class Plants:
    """Texts that are found nowhere by chance, each under the name of the parameter that it is given for."""

    def __init__(self) -> None:
        self._numbers = itertools.count(4_711)
        self.sealed: dict[str, str] = {}
        self.clear: dict[str, str] = {}

    def seal(self, name: str) -> str:
        """A text that must not be found."""
        self.sealed[name] = f"hidden-{next(self._numbers)}-text"
        return self.sealed[name]

    def show(self, name: str) -> str:
        """A text that is found."""
        self.clear[name] = f"plain-{next(self._numbers)}-text"
        return self.clear[name]


def _tags(plants: Plants, of: str) -> list[dict[str, str]]:
    return [{"Key": plants.show(f"{of} tag key"), "Value": plants.show(f"{of} tag value")}]


def _token(plants: Plants, of: str) -> dict[str, str]:
    return {"ClientRequestToken": plants.seal(f"{of} ClientRequestToken")}


def _plant(world: World, plants: Plants) -> None:
    """Call all that creates or changes something, with a text in every member that takes one."""
    show = plants.show
    sink = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{show('QueueArn')}"
    elements: list[dict[str, Any]] = [
        VOICE_ELEMENT,
        {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": sink}},
    ]
    configuration = world.call(
        PIPELINES,
        "CreateMediaInsightsPipelineConfiguration",
        MediaInsightsPipelineConfigurationName=show("MediaInsightsPipelineConfigurationName"),
        ResourceAccessRoleArn=f"{ROLE_ARN}-{show('ResourceAccessRoleArn')}",
        Elements=elements,
        Tags=_tags(plants, "configuration"),
        **_token(plants, "configuration"),
    )["MediaInsightsPipelineConfiguration"]["MediaInsightsPipelineConfigurationArn"]
    stream = world.call(
        STREAMS,
        "CreateStream",
        StreamName=show("StreamName"),
        DeviceName=show("DeviceName"),
        MediaType=f"audio/{show('MediaType')}",
        KmsKeyId=show("KmsKeyId"),
        Tags={show("stream tag key"): show("stream tag value")},
    )["StreamARN"]
    pipeline = world.call(
        PIPELINES,
        "CreateMediaInsightsPipeline",
        MediaInsightsPipelineConfigurationArn=configuration,
        KinesisVideoStreamSourceRuntimeConfiguration=live_source(stream),
        MediaInsightsRuntimeMetadata={
            plants.seal("MediaInsightsRuntimeMetadata key"): plants.seal("MediaInsightsRuntimeMetadata value")
        },
        Tags=_tags(plants, "pipeline"),
        **_token(plants, "pipeline"),
    )["MediaInsightsPipeline"]["MediaPipelineId"]
    domain = world.call(
        VOICE,
        "CreateVoiceProfileDomain",
        Name=show("Name"),
        Description=show("Description"),
        ServerSideEncryptionConfiguration={"KmsKeyArn": f"{KMS_KEY_ARN}-{show('KmsKeyArn')}"},
        Tags=_tags(plants, "domain"),
        **_token(plants, "domain"),
    )["VoiceProfileDomain"]
    task = world.call(
        PIPELINES,
        "StartSpeakerSearchTask",
        Identifier=pipeline,
        VoiceProfileDomainArn=domain["VoiceProfileDomainArn"],
        **_token(plants, "task"),
    )["SpeakerSearchTask"]["SpeakerSearchTaskId"]
    world.end_task(task, with_voiceprint=True)
    profile = world.call(VOICE, "CreateVoiceProfile", SpeakerSearchTaskId=task)["VoiceProfile"]
    world.call(VOICE, "TagResource", ResourceARN=profile["VoiceProfileArn"], Tags=_tags(plants, "profile"))
    world.call(
        VOICE, "UpdateVoiceProfileDomain", VoiceProfileDomainId=domain["VoiceProfileDomainId"], Name=show("new Name")
    )
    _plant_our_own(world, plants, profile["VoiceProfileId"])


def _plant_our_own(world: World, plants: Plants, profile_id: str) -> None:
    """What keys and the JSON API take beside AWS's parameters."""

    def work(unit: Unit) -> None:
        account = MINE.account_id
        secret, token = plants.seal("secret of a key"), plants.seal("bearer token")
        unit.access_keys.create(
            key_id="K" * 20, account_id=account, role="admin", name=plants.show("name of a key"), secret=secret
        )
        unit.bearer_tokens.create(
            token=token, token_id="t" * 3, account_id=account, role="admin", name=plants.show("name of a token")
        )
        (voiceprint,) = unit.profile_voiceprints.list(MINE, profile_id)
        assert voiceprint.source_task_id
        made = unit.task_voiceprints.get(MINE, voiceprint.source_task_id)
        assert made
        unit.profiles.add_voiceprint(
            MINE,
            profile_id,
            voiceprint_id="second",
            voiceprint=made.voiceprint,
            expires_at=voiceprint.expires_at,
            consent_reference=plants.seal("consent"),
        )

    world.store.write(work)


@pytest.fixture
def planted(world: World) -> Iterator[Plants]:
    plants = Plants()
    _plant(world, plants)
    make_resources(world)  # media too
    yield plants


@pytest.mark.slow
@pytest.mark.parametrize("new_records", ["sqlite"], indirect=True)
def test_the_files_hold_in_clear_what_the_page_says(planted: Plants, tmp_path: Path) -> None:
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(path.name.endswith("-wal") for path in files)
    together = b"".join(files.values())
    assert {name for name, text in planted.sealed.items() if text.encode() in together} == set()
    assert {name for name, text in planted.clear.items() if text.encode() not in together} == set()


@pytest.mark.slow
def test_only_columns_that_the_page_calls_in_clear_hold_a_text(world: World, planted: Plants) -> None:
    texts = [text.encode() for text in (planted.sealed | planted.clear).values()]
    found = set[tuple[str, str]]()
    with world.store._database.engine.connect() as connection:
        for table in metadata.tables.values():
            for row in connection.execute(select(table)).mappings():
                for name, value in row.items():
                    content = value if isinstance(value, bytes) else str(value).encode()
                    if any(text in content for text in texts):
                        found.add((table.name, name))
    assert {place for place in found if _form(*place) is not Form.CLEAR} == set()
    assert {("tags", "tag_value"), ("voice_profile_domains", "description"), ("configurations", "body")} <= found


def _form(table: str, column: str) -> Form:
    return secrecy(metadata.tables[table].c[column]).form
