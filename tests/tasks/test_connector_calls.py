"""What a door tells is in the records and told on, whole or not at all, also where the process dies meanwhile."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from connector_examples import CALLEE, CALLER, NUMBER, add_connector
from search_examples import add_task
from store_examples import MINE, Clock, add_domain, configuration_arn, guid, opened

from earwitness.app import build_background
from earwitness.config import Settings
from earwitness.config.limits import Quotas
from earwitness.doors.desk import CONTINUED, Desk, DoorAccess, KeptCall
from earwitness.errors import BadRequest, Conflict, Forbidden, FragmentLogUnavailable, Gone, NotFound, StoreUnavailable
from earwitness.fragments.interface import AfterFragment
from earwitness.store.connector_records import DoorSettings
from earwitness.store.store import Store, Unit
from earwitness.tasks.background import Background
from earwitness.voice.call import AudioCoding, CallEnded, CallStarted, CallUpdated, Leg
from earwitness.voice.connector import CallLeg, CallStatus
from earwitness.voice.task_status import StopReason
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio
QUEUE = f"arn:aws:sqs:{MINE.region}:{MINE.account_id}:results"
BUS = f"arn:aws:events:{MINE.region}:{MINE.account_id}:event-bus/default"
ELEMENTS = [
    {
        "Type": "VoiceAnalyticsProcessor",
        "VoiceAnalyticsProcessorConfiguration": {"SpeakerSearchStatus": "Enabled"},
    },
    {"Type": "SqsQueueSink", "SqsQueueSinkConfiguration": {"InsightsTarget": QUEUE}},
]
CALL = CallStarted(
    call_id="call-1", legs=(CALLEE, CALLER), from_number=NUMBER, to_number="+493011", siprec_metadata="<recording/>"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Office:
    """A desk over real records and a real media log."""

    def __init__(self, folder: Path, clock: Clock, **settings: Any) -> None:
        self.clock = clock
        self.store: Store = opened(f"sqlite:///{folder / 'records.db'}", clock=clock)
        nobody = {"sink_endpoint_url": "http://127.0.0.1:9", "sink_access_key_id": "k", "sink_secret_access_key": "s"}
        told = Settings(data_dir=folder, eventbridge="on", **nobody, **settings)
        self.background: Background = build_background(told, self.store, events_file=None, clock=clock)
        self.desk: Desk = self.background.desk

    def connect(
        self, *, targets: tuple[str, ...] = ("EventBridge",), insights: dict[str, Any] | None = None
    ) -> DoorAccess:
        """A connector with a streaming configuration."""
        streaming: dict[str, Any] = {
            "DataRetentionInHours": 2,
            "Disabled": False,
            "StreamingNotificationTargets": [{"NotificationTarget": name} for name in targets],
        }
        if insights is not None:
            streaming["MediaInsightsConfiguration"] = insights

        def work(unit: Unit) -> DoorAccess:
            connector = add_connector(unit)
            unit.connectors.set_streaming(MINE, connector.connector_id, streaming)
            return connector.access

        return self.store.write(work)

    def associate(self, name: str = "analytics", elements: list[dict[str, Any]] = ELEMENTS) -> DoorAccess:
        """A connector whose calls have a pipeline."""
        body = {"ResourceAccessRoleArn": "arn:aws:iam::1:role/r", "Elements": elements}
        arn = configuration_arn(name)
        self.store.write(
            lambda unit: unit.configurations.create(MINE, configuration_id=guid(), name=name, arn=arn, body=body)
        )
        return self.connect(insights={"Disabled": False, "ConfigurationArn": arn})

    def call(self, kept: KeptCall) -> Any:
        found = self.store.connector_calls.get(MINE, kept.transaction_id)
        assert found is not None
        return found

    def pipeline(self, pipeline_id: str) -> Any:
        found = self.store.pipelines.get(MINE, pipeline_id)
        assert found is not None
        return found

    def told(self, owner_id: str) -> list[dict[str, Any]]:
        """The events of a pipeline or call, the oldest first, each with its targets."""
        events = self.store.events.list(MINE, owner_id, limit=100).items[::-1]
        return [
            {**json.loads(event.body or b""), "to": [delivery.target for delivery in event.deliveries]}
            for event in events
        ]


@asynccontextmanager
async def working(folder: Path, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Office]:
    office = Office(folder, clock or Clock(), **settings)
    await office.background.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield office
    await office.background.stop()
    office.store.close()


async def _write_fragment(kept: KeptCall, label: str) -> str:
    stream = kept.streams[label]
    number = (await stream.reserve()).number
    now = Clock()()
    await stream.append(number, producer_timestamp=now, duration_ms=1_000, header=b"h", cluster=b"c")
    return number


async def test_a_call_without_a_configuration_has_streams_and_tells_of_them(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        access = office.connect(targets=("EventBridge", "SQS", "SNS"))
        assert await office.desk.access(access.connector_id) == access
        assert await office.desk.access("x" * 22) is None
        kept = await office.desk.begin(access, CALL, door="audiosocket")
        call = office.call(kept)
        assert (call.status, call.door, call.direction) == (CallStatus.IN_PROGRESS, "audiosocket", "Inbound")
        assert call.pipeline_id is None
        assert [(leg.label, leg.is_caller, leg.channel_id) for leg in call.legs] == [("1", True, 0), ("2", False, 1)]
        assert kept.stream_arns == {leg.label: leg.stream_arn for leg in call.legs}
        stream = office.store.streams.get(MINE, kept.stream_arns["1"])
        assert stream is not None
        assert stream.name.startswith(f"ChimeVoiceConnector-{access.connector_id}-")
        assert stream.retention_hours == 2
        number = await _write_fragment(kept, "1")
        assert len(number) == len(call.legs[0].start_fragment_number) == 47
        reader = await kept.streams["1"].read(AfterFragment(call.legs[0].start_fragment_number))
        first_heard: Any = await anext(reader)
        assert first_heard.fragment.info.number == number
        await office.desk.end(kept, CallEnded("hung up"))
        await office.desk.end(kept, CallEnded("again", failed=True))
        call = office.call(kept)
        assert (call.status, call.reason) == (CallStatus.ENDED, "hung up")
        events = office.told(kept.transaction_id)
        assert [(event["detail"]["streamingStatus"], event["detail"]["isCaller"]) for event in events] == [
            ("STARTED", True),
            ("STARTED", False),
            ("ENDED", True),
            ("ENDED", False),
        ]
        names = [target.rpartition(":")[2] for target in events[0]["to"]]
        assert names == ["event-bus/default", "ChimeVoiceConnector-Streaming", "ChimeVoiceConnector-Streaming"]
        first, last = events[0]["detail"], events[-1]["detail"]
        assert first["fromNumber"] == NUMBER
        assert first["siprecMetadata"] == "<recording/>"
        assert first["mediaType"] == "audio/PCMU"
        assert first["streamArn"] == kept.stream_arns["1"]
        assert first["startFragmentNumber"] == call.legs[0].start_fragment_number
        assert "endTime" in last
        assert "siprecMetadata" not in last
        assert events[0]["detail-type"] == "Chime VoiceConnector Streaming Status"


async def test_a_call_has_the_pipeline_of_its_configuration(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        kept = await office.desk.begin(office.associate(), CALL, door="siprec")
        call = office.call(kept)
        pipeline = office.pipeline(call.pipeline_id)
        source = pipeline.source["KinesisVideoStreamSourceRuntimeConfiguration"]
        roles = [
            (stream["StreamArn"], channel["ChannelId"], channel["ParticipantRole"])
            for stream in source["Streams"]
            for channel in stream["StreamChannelDefinition"]["ChannelDefinitions"]
        ]
        assert roles == [(kept.stream_arns["1"], 0, "CUSTOMER"), (kept.stream_arns["2"], 1, "AGENT")]
        assert pipeline.runtime_metadata == {
            "callId": "call-1",
            "transactionId": kept.transaction_id,
            "voiceConnectorId": call.connector_id,
            "direction": "Inbound",
            "fromNumber": NUMBER,
            "toNumber": "+493011",
        }
        created, ready, *started = office.told(pipeline.pipeline_id)
        assert created["detail"]["eventType"] == "chime:MediaInsightsCreated"
        assert created["detail"]["mediaInsightsPipelineConfigurationArn"] == configuration_arn("analytics")
        assert created["to"] == [BUS]
        assert ready["to"] == [QUEUE]
        flat = {name: ready["detail"][name] for name in ("isCaller", "transactionId", "voiceConnectorId")}
        assert ready["detail"]["callDetails"] == flat
        assert flat == {
            "isCaller": True,
            "transactionId": kept.transaction_id,
            "voiceConnectorId": call.connector_id,
        }
        assert [event["to"] for event in started] == [[BUS], [BUS]]
        await office.desk.end(kept, CallEnded("hung up"))
        pipeline = office.pipeline(call.pipeline_id)
        assert pipeline.status == "Stopped"
        assert office.told(pipeline.pipeline_id)[-1]["detail"]["eventType"] == "chime:MediaInsightsStopped"


@pytest.mark.parametrize("why", ["no configuration", "too many pipelines"])
async def test_a_call_whose_pipeline_cannot_be_made_goes_on(tmp_path: Path, why: str) -> None:
    quotas = Quotas(active_pipelines=1 if why == "too many pipelines" else 9)
    async with working(tmp_path, quotas=quotas) as office:
        access = office.associate()
        if why == "too many pipelines":
            await office.desk.begin(access, replace(CALL, call_id="first"), door="siprec")
        else:
            office.store.write(lambda unit: unit.configurations.delete(MINE, "analytics"))
        kept = await office.desk.begin(access, CALL, door="siprec")
        assert office.call(kept).pipeline_id is None
        assert set(kept.streams) == {"1", "2"}
        failed = office.told(kept.transaction_id)[0]
        assert failed["detail"]["eventType"] == "chime:MediaInsightsCreateFailed"
        assert failed["detail"]["failureOrigin"] == "Voice Connector"
        assert failed["to"] == [BUS]
        await office.desk.end(kept, CallEnded("hung up"))


async def test_insights_that_are_disabled_make_no_pipeline(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        access = office.connect(insights={"Disabled": True, "ConfigurationArn": configuration_arn("none")})
        kept = await office.desk.begin(access, CALL, door="siprec")
        assert [event["detail"].get("eventType") for event in office.told(kept.transaction_id)] == [None, None]


async def test_legs_that_come_later_are_heard_too(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        kept = await office.desk.begin(office.associate(), replace(CALL, legs=()), door="siprec")
        assert office.call(kept).pipeline_id is None
        kept = await office.desk.add_leg(kept, CALLER)
        first = office.call(kept)
        assert first.pipeline_id is not None
        kept = await office.desk.add_leg(kept, CALLEE)
        third = Leg(label="3", is_caller=False, coding=AudioCoding.L16, rate=16_000)
        kept = await office.desk.add_leg(kept, third)
        assert set(kept.streams) == {"1", "2", "3"}
        pipeline = office.pipeline(first.pipeline_id)
        source = pipeline.source["KinesisVideoStreamSourceRuntimeConfiguration"]
        assert [one["StreamArn"] for one in source["Streams"]] == [kept.stream_arns["1"], kept.stream_arns["2"]]
        before = kept.streams["1"]
        kept = await office.desk.add_leg(kept, replace(CALLER, coding=AudioCoding.PCMA))
        assert kept.streams["1"] is before
        told = [
            (event["detail"]["streamingStatus"], event["detail"]["sdp"]["mediaLabel"], event["detail"]["mediaType"])
            for event in office.told(first.pipeline_id)
            if "streamingStatus" in event["detail"]
        ]
        assert told == [
            ("STARTED", "1", "audio/PCMU"),
            ("STARTED", "2", "audio/PCMA"),
            ("STARTED", "3", "audio/L16"),
            ("UPDATED", "1", "audio/PCMA"),
        ]
        await office.desk.update(kept, CallUpdated(to_number="+49777", siprec_metadata="<x/>"))
        call = office.call(kept)
        assert (call.from_number, call.to_number) == (NUMBER, "+49777")
        assert [event["detail"]["toNumber"] for event in office.told(first.pipeline_id)[-3:]] == ["+49777"] * 3
        await office.desk.end(kept, CallEnded("broke off", failed=True))
        assert office.call(kept).status is CallStatus.FAILED
        with pytest.raises(Gone):
            await office.desk.add_leg(kept, replace(CALLEE, label="4"))
        await office.desk.update(kept, CallUpdated(to_number="late"))
        assert office.call(kept).to_number == "+49777"


async def test_who_may_not_call_leaves_nothing(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        access = office.connect()
        first = await office.desk.begin(access, CALL, door="siprec")
        with pytest.raises(Conflict):
            await office.desk.begin(access, CALL, door="sockets")
        key = access.connector_id
        office.store.write(
            lambda unit: unit.connectors.set_door(MINE, key, change=lambda _: DoorSettings(disabled=True))
        )
        with pytest.raises(Forbidden):
            await office.desk.begin(access, replace(CALL, call_id="second"), door="siprec")
        await office.desk.end(first, CallEnded("hung up"))
        office.store.write(lambda unit: unit.connectors.delete(MINE, key))
        with pytest.raises(NotFound):
            await office.desk.begin(access, replace(CALL, call_id="third"), door="siprec")
        assert len(office.store.connector_calls.list(MINE, limit=9).items) == 1
        assert len(office.store.streams.list(MINE, limit=9).items) == 2


async def test_names_that_are_too_long(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        access = office.connect()
        label = Leg(label="x" * 257, is_caller=True, coding=AudioCoding.PCMU, rate=8_000)
        for call in (replace(CALL, call_id="x" * 257), replace(CALL, legs=(label,)), replace(CALL, call_id="a\0b")):
            with pytest.raises(BadRequest):
                await office.desk.begin(access, call, door="siprec")
        long = replace(CALL, from_number="9" * 5_000, invite_headers={"X": "y" * 70_000}, siprec_metadata="z" * 70_000)
        kept = await office.desk.begin(access, long, door="siprec")
        told = office.told(kept.transaction_id)[0]["detail"]
        assert told["fromNumber"] == "9" * 256
        assert "inviteHeaders" not in told and "siprecMetadata" not in told
        assert len(office.store.connector_calls.list(MINE, limit=9).items) == 1


async def test_a_nonce_is_used_once_also_after_a_restart(tmp_path: Path) -> None:
    async with working(tmp_path) as first:
        access = first.connect()
        assert await first.desk.use_nonce(access, "VGhpc0lzQVVuaXF1ZU5vbmNl")
        assert not await first.desk.use_nonce(access, "VGhpc0lzQVVuaXF1ZU5vbmNl")
    async with working(tmp_path) as second:
        assert not await second.desk.use_nonce(access, "VGhpc0lzQVVuaXF1ZU5vbmNl")
        assert await second.desk.use_nonce(access, "another-nonce-of-22-letters")


async def test_an_announced_call_is_taken_once(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        access = office.connect()
        office.store.write(
            lambda unit: unit.connectors.announce(
                MINE, access.connector_id, call_id="uuid", expires_at=unit.now + timedelta(minutes=10)
            )
        )

        def stranger(_: DoorAccess) -> None:
            raise BadRequest("it may not come")

        def listed(_: DoorAccess) -> None:
            return

        with pytest.raises(BadRequest):
            await office.desk.announced("uuid", require=stranger)
        assert await office.desk.announced("uuid", require=listed) == access
        assert await office.desk.announced("uuid", require=listed) is None


async def test_a_call_that_nobody_announced_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with working(tmp_path) as office:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "write", lambda *_: pytest.fail("it wrote"))
            assert await office.desk.announced("a-stranger's", require=lambda _: None) is None


async def test_calls_that_nobody_ended_are_ended_at_the_next_start(tmp_path: Path) -> None:
    """As after kill -9: the records say that they are in progress, and no process knows of them."""
    clock = Clock()
    async with working(tmp_path, clock) as office:
        access = office.associate()
        kept = [
            await office.desk.begin(access, replace(CALL, call_id=f"call-{number}"), door="siprec")
            for number in range(3)
        ]
        await office.desk.end(kept[0], CallEnded("hung up"))
        domain = office.store.write(add_domain)
        call = office.call(kept[1])
        office.store.write(
            lambda unit: add_task(unit, domain.domain_id, call.pipeline_id, stream_arn=call.legs[0].stream_arn)
        )
    clock.advance(timedelta(seconds=5))
    async with working(tmp_path, clock) as office:
        again = await office.desk.begin(access, replace(CALL, call_id="call-1"), door="siprec")
        assert [office.call(one).status for one in (*kept, again)] == [
            CallStatus.ENDED,
            CallStatus.FAILED,
            CallStatus.FAILED,
            CallStatus.IN_PROGRESS,
        ]
        lost = office.call(kept[1])
        assert lost.reason == "the service ended while the call was in progress"
        statuses = [event["detail"].get("streamingStatus") for event in office.told(lost.pipeline_id)]
        assert statuses.count("FAILED") == 2
        (task,) = office.store.tasks.list(MINE, lost.pipeline_id, limit=9).items
        assert task.stop_reason is StopReason.PIPELINE_STOPPED


async def test_a_call_that_goes_on_with_a_lost_one_ends_that(tmp_path: Path) -> None:
    async with working(tmp_path) as office:
        access = office.associate()
        lost = await office.desk.begin(access, CALL, door="genesys")
        with pytest.raises(Conflict):
            await office.desk.begin(access, CALL, door="genesys")
        kept = await office.desk.begin(access, replace(CALL, is_continued=True), door="genesys")
        former, call = office.call(lost), office.call(kept)
        assert (former.status, former.reason) == (CallStatus.FAILED, CONTINUED)
        assert (call.status, call.call_id) == (CallStatus.IN_PROGRESS, CALL.call_id)
        assert office.pipeline(former.pipeline_id).status == "Stopped"
        assert office.pipeline(call.pipeline_id).status != "Stopped"
        statuses = [event["detail"].get("streamingStatus") for event in office.told(former.pipeline_id)]
        assert statuses.count("FAILED") == 2
        new = await office.desk.begin(access, replace(CALL, call_id="new", is_continued=True), door="genesys")
        assert office.call(new).status is CallStatus.IN_PROGRESS


@pytest.mark.parametrize("failure", [FragmentLogUnavailable("the disk is full; make room"), RuntimeError("a bug")])
async def test_a_call_whose_audio_cannot_be_kept_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async with working(tmp_path) as office:

        async def away(*_: Any) -> None:
            raise failure

        monkeypatch.setattr(office.background.streams, "open_to_write", away)
        with pytest.raises(type(failure)):
            await office.desk.begin(office.associate(), CALL, door="siprec")
        (call,) = office.store.connector_calls.list(MINE, limit=9).items
        assert call.status is CallStatus.FAILED
        assert call.pipeline_id is not None
        assert office.told(call.pipeline_id)[-1]["detail"]["eventType"] == "chime:MediaInsightsStopped"


def damaged(folder: Path, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(folder / "records.db", timeout=PATIENCE_SECONDS)) as records:
        records.execute(statement, values)
        records.commit()


async def test_a_damaged_call_of_a_former_process_holds_up_no_other(tmp_path: Path) -> None:
    clock = Clock()
    async with working(tmp_path, clock) as office:
        access = office.associate()
        for number in range(2):
            await office.desk.begin(access, replace(CALL, call_id=f"call-{number}"), door="siprec")
        ids = [call.transaction_id for call in office.store.connector_calls.list(MINE, limit=9).items]
    damaged(tmp_path, "UPDATE connector_call_legs SET coding = 'nonsense' WHERE transaction_id = ?", ids[0])
    clock.advance(timedelta(seconds=5))
    async with working(tmp_path, clock) as office:
        again = await office.desk.begin(access, replace(CALL, call_id="call-3"), door="siprec")
        (active,) = office.store.connector_calls.list_active_everywhere(limit=9).items
        assert active.transaction_id == again.transaction_id


@pytest.mark.parametrize(
    ("damage", "is_told"),
    [
        ("UPDATE voice_connectors SET secrets_ciphertext = x'00'", True),
        ("UPDATE voice_connectors SET wrapped_key = x'00', secrets_ciphertext = x'00'", True),
        ("UPDATE voice_connectors SET streaming = NULL", True),
        ("UPDATE voice_connectors SET streaming = replace(streaming, 'EventBridge', 'nobody')", False),
        ("UPDATE pipelines SET wrapped_key = x'00'", False),
        ("UPDATE connector_calls SET numbers_ciphertext = x'00'", True),
        ("UPDATE connector_calls SET wrapped_key = x'00'", False),
        ("UPDATE connector_call_legs SET coding = 'nonsense'", False),
    ],
)
async def test_a_call_ends_whatever_is_damaged_or_deleted_meanwhile(tmp_path: Path, damage: str, is_told: bool) -> None:
    async with working(tmp_path) as office:
        kept = await office.desk.begin(office.associate(), CALL, door="siprec")
        damaged(tmp_path, damage)
        with nullcontext() if is_told else suppress(Exception):
            await office.desk.update(kept, CallUpdated(to_number="+493012"))
        await office.desk.end(kept, CallEnded("hung up"))
        assert office.store.connector_calls.count_active(MINE) == 0
        if is_told:
            call = office.call(kept)
            assert (call.status, call.reason) == (CallStatus.ENDED, "hung up")
            assert office.pipeline(call.pipeline_id).status == "Stopped"


async def test_an_end_that_its_door_gives_up_is_written_when_the_records_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.tasks.background.OWED_SECONDS", 0.01)
    async with working(tmp_path) as office:
        kept = await office.desk.begin(office.associate(), CALL, door="siprec")
        with monkeypatch.context() as outage:
            outage.setattr(office.store, "write", _away)
            with pytest.raises(StoreUnavailable):
                await office.desk.end(kept, CallEnded("hung up"))
            assert office.call(kept).status is CallStatus.IN_PROGRESS
        while office.call(kept).status is CallStatus.IN_PROGRESS:
            await asyncio.sleep(0.001)
        assert (office.call(kept).status, office.call(kept).reason) == (CallStatus.ENDED, "hung up")
        assert office.pipeline(office.call(kept).pipeline_id).status == "Stopped"


async def test_a_call_that_was_written_though_the_records_said_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earwitness.tasks.background.OWED_SECONDS", 0.01)
    async with working(tmp_path) as office:
        access = office.connect()
        write = office.store.write

        def written_and_away(work: Any) -> None:
            write(work)
            _away()

        with monkeypatch.context() as outage:
            outage.setattr(office.store, "write", written_and_away)
            with pytest.raises(StoreUnavailable):
                await office.desk.begin(access, CALL, door="siprec")
        while office.store.connector_calls.count_active(MINE):
            await asyncio.sleep(0.001)
        await office.desk.begin(access, CALL, door="siprec")


def _away(*_: Any) -> None:
    raise StoreUnavailable("the database is away")


async def test_streams_of_calls_are_deleted_with_their_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.tasks.background.EXPIRE_SECONDS", 0.01)
    clock = Clock()
    async with working(tmp_path, clock) as office:
        kept = await office.desk.begin(office.connect(), CALL, door="siprec")
        await _write_fragment(kept, "1")
        await office.desk.end(kept, CallEnded("hung up"))
        clock.advance(timedelta(hours=3))
        while office.store.streams.list(MINE, limit=9).items:
            await asyncio.sleep(0.001)
        with pytest.raises(Gone):
            await kept.streams["1"].reserve()


def _candidate(profile_id: str) -> dict[str, Any]:
    return {"profile_id": profile_id, "score": 0.75, "confidence": 0.9}


async def _summaries(office: Office, pipeline_id: str) -> list[dict[str, Any]]:
    while True:
        is_due = bool(office.store.summaries.list_due(now=office.clock.now, limit=9))  # before: it may be written now
        told = [event for event in office.told(pipeline_id) if event["detail-type"] == "VoiceAnalyticsStatus"]
        summaries = [one for one in told if one["detail"]["detailStatus"] == "PostCallVoiceAnalytics"]
        if summaries or not is_due:
            return summaries
        await asyncio.sleep(0.001)


async def test_a_call_is_summed_up_five_minutes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earwitness.tasks.background.SUMMARY_SECONDS", 0.01)
    clock = Clock()
    async with working(tmp_path, clock) as office:
        kept = await office.desk.begin(office.associate(), CALL, door="siprec")
        call = office.call(kept)
        domain = office.store.write(add_domain)
        task = office.store.write(
            lambda unit: add_task(unit, domain.domain_id, call.pipeline_id, stream_arn=call.legs[0].stream_arn)
        )
        office.store.write(lambda unit: unit.connector_calls.give_task(call, task.task_id, CallLeg.CALLER))
        office.store.write(lambda unit: unit.attempts.adopt(MINE, task.task_id))
        result = {"outcome": "match", "threshold": {"score": 0.5}, "candidates": [_candidate("vp-1")]}
        office.store.write(
            lambda unit: unit.attempts.conclude_identification(MINE, task.task_id, attempt=1, identification=result)
        )
        await office.desk.end(kept, CallEnded("hung up"))
        office.store.write(lambda unit: unit.attempts.end(MINE, task.task_id, attempt=1))
        while office.pipeline(call.pipeline_id).ended_at is None:
            await asyncio.sleep(0.001)  # the supervisor sees that its last task has ended
        assert await _summaries(office, call.pipeline_id) == []
        clock.advance(timedelta(minutes=5))
        (summary,) = await _summaries(office, call.pipeline_id)
        assert summary["to"] == [QUEUE]
        detail = summary["detail"]
        assert detail["isCaller"] is True
        assert (detail["transactionId"], detail["callId"]) == (kept.transaction_id, "call-1")
        assert detail["speakerSearchResults"]["bestMatchedVoiceProfileId"] == "vp-1"
