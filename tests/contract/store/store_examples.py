"""What the tests of the store have in common: a vault, a clock that runs by itself, one of each resource."""

import itertools
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from earwitness.store.columns import JsonObject
from earwitness.store.records import Configuration, KinesisStream, Pipeline, Scope, VoiceProfile, VoiceProfileDomain
from earwitness.store.store import Store, Unit, open_store
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper
from earwitness.voice.band import Band

MINE = Scope(account_id="111122223333", region="eu-central-1")
OTHERS = [
    Scope(account_id="999988887777", region="eu-central-1"),
    Scope(account_id="111122223333", region="us-east-1"),
]
MASTER_KEY = MasterKey(key=bytes(range(32)))
START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Every look at it is a millisecond later than the one before."""

    def __init__(self) -> None:
        self.now = START
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self.now += timedelta(milliseconds=1)
            return self.now

    def advance(self, by: timedelta) -> None:
        with self._lock:
            self.now += by


_numbers = itertools.count(1)


def guid() -> str:
    return str(UUID(int=next(_numbers)))


def vault(master_key: MasterKey = MASTER_KEY) -> Vault:
    return Vault(MasterKeyWrapper(master_key))


def opened(url: str, *, wait_seconds_max: float = 20.0, clock: Clock | None = None) -> Store:
    """The store, patient enough for a busy machine."""
    return open_store(url, vault=vault(), clock=clock or Clock(), wait_seconds_max=wait_seconds_max)


def add_domain(unit: Unit, scope: Scope = MINE, *, domain_id: str = "", limit: int | None = None) -> VoiceProfileDomain:
    domain_id = domain_id or f"vpd-{guid()}"
    return unit.domains.create(
        scope,
        domain_id=domain_id,
        arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile-domain/{domain_id}",
        name="callers",
        description="",
        kms_key_arn="arn:aws:kms:eu-central-1:111122223333:key/1",
        band=Band.TELEPHONE,
        limit=limit,
    )


def add_profile(unit: Unit, domain_id: str, scope: Scope = MINE, *, limit: int | None = None) -> VoiceProfile:
    profile_id = f"vp-{guid()}"
    return unit.profiles.create(
        scope,
        profile_id=profile_id,
        domain_id=domain_id,
        arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:voice-profile/{profile_id}",
        expires_at=START + timedelta(days=3 * 365),
        limit=limit,
    )


def add_pipeline(
    unit: Unit,
    scope: Scope = MINE,
    *,
    metadata: dict[str, object] | None = None,
    streams: Sequence[JsonObject] = (),
    active_limit: int | None = None,
) -> Pipeline:
    pipeline_id = guid()
    return unit.pipelines.create(
        scope,
        pipeline_id=pipeline_id,
        arn=f"arn:aws:chime:{scope.region}:{scope.account_id}:media-pipeline/{pipeline_id}",
        configuration_arn=configuration_arn("analytics", scope),
        configuration={"Elements": [{"Type": "VoiceAnalyticsProcessor"}]},
        status="NotStarted",
        element_statuses=[{"Type": "VoiceAnalyticsProcessor", "Status": "NotStarted"}],
        source={"KinesisVideoStreamSourceRuntimeConfiguration": {"MediaSampleRate": 8000, "Streams": [*streams]}},
        runtime_metadata=metadata,
        active_limit=active_limit,
    )


def stream_record(arn: str, at: datetime = START) -> KinesisStream:
    """The record of a stream, for what works without records."""
    return KinesisStream(
        name="calls",
        arn=arn,
        version="v",
        device_name=None,
        media_type=None,
        kms_key_id=None,
        retention_hours=1,
        status="ACTIVE",
        wrapped_key=b"",
        created_at=at,
    )


def add_stream(unit: Unit, name: str, scope: Scope = MINE, *, limit: int | None = None) -> KinesisStream:
    created_ms = int(unit.now.timestamp() * 1000)
    return unit.streams.create(
        scope,
        name=name,
        arn=f"arn:aws:kinesisvideo:{scope.region}:{scope.account_id}:stream/{name}/{created_ms}",
        version="a" * 20,
        retention_hours=0,
        status="ACTIVE",
        limit=limit,
    )


def configuration_arn(name: str, scope: Scope = MINE) -> str:
    return f"arn:aws:chime:{scope.region}:{scope.account_id}:media-insights-pipeline-configuration/{name}"


BODY = {"ResourceAccessRoleArn": "arn:aws:iam::1:role/r", "Elements": [{"Type": "VoiceAnalyticsProcessor"}], "n": 0.5}


def configure(store: Store, name: str = "analytics", *, limit: int | None = None) -> Configuration:
    return store.write(
        lambda unit: unit.configurations.create(
            MINE, configuration_id=guid(), name=name, arn=configuration_arn(name), body=BODY, limit=limit
        )
    )
