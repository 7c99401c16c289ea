"""Domains whose data key is at KMS, on moto's: who reads them, and what becomes of it when KMS says no or nothing."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from key_states import minding_key_states

from earwitness.aws.clients import AwsCredentials, AwsSettings
from earwitness.aws.kms import KeyPlace, KeyService, key_places
from earwitness.errors import CiphertextRefused, ConfigurationError, KeyServiceUnavailable, NotFound, StoreBusy
from earwitness.store.records import NewVoiceprint, Scope, VoiceProfileDomain
from earwitness.store.store import Store, Unit, open_store
from earwitness.tasks.galleries import Galleries
from earwitness.vault.master_key import MasterKey
from earwitness.vault.vault import KEY_SERVICE_SECONDS, Vault, is_of_key_service
from earwitness.vault.wrapping import MasterKeyWrapper
from earwitness.voice.band import Band
from moto_server import moto
from spaces import plain_space

REGION = "eu-central-1"
MINE = Scope(account_id="111122223333", region=REGION)
CREDENTIALS = AwsCredentials(access_key_id="AKIDEXAMPLE", secret_access_key="an example's secret")  # noqa: S106
OWNER = "a/b/c"


class Turned:
    """A monotonic clock that is turned."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def kms_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def kms(kms_url: str) -> Any:
    return boto3.client(
        "kms",
        region_name=REGION,
        endpoint_url=kms_url,
        aws_access_key_id=CREDENTIALS.access_key_id,
        aws_secret_access_key=CREDENTIALS.secret_access_key,
    )


@pytest.fixture
def arn(kms: Any) -> str:
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
def service(kms_url: str, kms: Any, clock: Turned) -> Iterator[KeyService]:
    with minding_key_states(kms_url, kms) as url:
        yield service_at(url, clock)


def service_at(url: str, clock: Callable[[], float], *, seconds: float = 10.0) -> KeyService:
    settings = AwsSettings(credentials=CREDENTIALS, connect_seconds=seconds, read_seconds=seconds)
    return KeyService(key_places(f"arn:aws:kms:*={url}"), settings, monotonic=clock)


def named(arn: str) -> str:
    """As moto's operations that change a key take it."""
    return arn.rpartition("/")[2]


@pytest.fixture
def store(service: KeyService, clock: Turned, tmp_path: Path) -> Iterator[Store]:
    with closing(store_with(service, clock, tmp_path)) as opened:
        yield opened


def store_with(service: KeyService | None, clock: Callable[[], float], folder: Path) -> Store:
    vault = Vault(MasterKeyWrapper(MasterKey(key=b"m" * 32)), key_service=service, monotonic=clock)
    return open_store(f"sqlite:///{folder / 'records.db'}", vault=vault, clock=lambda: datetime.now(UTC))


def make_domain(store: Store, arn: str, domain_id: str) -> VoiceProfileDomain:
    def make(unit: Unit) -> VoiceProfileDomain:
        made = unit.domains.create(
            MINE,
            domain_id=domain_id,
            arn=f"arn:{domain_id}",
            name="callers",
            description="",
            kms_key_arn=arn,
            band=Band.TELEPHONE,
        )
        unit.profiles.create(
            MINE,
            profile_id=f"vp-{domain_id}",
            domain_id=domain_id,
            arn=f"arn:vp-{domain_id}",
            expires_at=datetime.now(UTC) + timedelta(days=9),
        )
        return made

    return store.write(make)


def enrol(store: Store, domain_id: str) -> None:
    vector = b"\x00\x00\x80\x3f" + bytes(4 * 7)
    made = NewVoiceprint(encoder_id="e-1/telephone", vector=vector, net_speech_seconds=20.0, quality={})
    store.write(
        lambda unit: unit.profiles.add_voiceprint(
            MINE,
            f"vp-{domain_id}",
            voiceprint_id="p",
            voiceprint=made,
            expires_at=datetime.now(UTC) + timedelta(days=9),
        )
    )


def test_a_domain_is_read_with_its_key_at_kms_alone(store: Store, service: KeyService, arn: str, kms: Any) -> None:
    domain = make_domain(store, arn, "vpd-1")
    assert is_of_key_service(domain.wrapped_key)
    assert arn.encode() in domain.wrapped_key
    enrol(store, "vpd-1")
    galleries = Galleries(store)
    assert len(galleries.get(MINE, "vpd-1", space=plain_space("e-1/telephone", 8))) == 1
    assert service.fault() == ""


def test_other_arns_are_texts_as_before(store: Store, arn: str) -> None:
    assert not is_of_key_service(make_domain(store, "arn:aws:other:1:2:key/3", "vpd-1").wrapped_key)


@pytest.mark.parametrize("how", ["disabled", "to be deleted"])
def test_a_key_that_is_off_makes_its_domain_unreadable_and_no_other(
    store: Store, clock: Turned, arn: str, kms: Any, how: str
) -> None:
    other = kms.create_key()["KeyMetadata"]["Arn"]
    for domain_id, key in (("vpd-1", arn), ("vpd-2", other), ("vpd-3", "arn:none")):
        make_domain(store, key, domain_id)
        enrol(store, domain_id)
    galleries, space = Galleries(store), plain_space("e-1/telephone", 8)
    for domain_id in ("vpd-1", "vpd-2", "vpd-3"):
        galleries.get(MINE, domain_id, space=space)
    assert galleries.size() == 3
    if how == "disabled":
        kms.disable_key(KeyId=named(arn))
    else:
        kms.schedule_key_deletion(KeyId=named(arn), PendingWindowInDays=7)
    clock.now += KEY_SERVICE_SECONDS
    with pytest.raises(KeyServiceUnavailable, match="until it is enabled"):
        galleries.get(MINE, "vpd-1", space=space)
    assert galleries.size() == 2, "nothing is in memory that could not be read"
    with pytest.raises(KeyServiceUnavailable):
        enrol(store, "vpd-1")
    with pytest.raises(KeyServiceUnavailable):
        store.profile_voiceprints.gallery_page(MINE, "vpd-1", limit=9)
    assert "vpd" not in store.key_service_fault()
    assert arn in store.key_service_fault()
    for domain_id in ("vpd-2", "vpd-3"):
        assert len(galleries.get(MINE, domain_id, space=space)) == 1
    assert store.verify_master_key(lambda *_: None)[1] == {"voice_profile_domains": 1}
    if how == "disabled":
        kms.enable_key(KeyId=named(arn))
        assert len(galleries.get(MINE, "vpd-1", space=space)) == 1
        assert store.key_service_fault() == ""
    # It can be deleted all the same: without reading it.
    kms.disable_key(KeyId=named(other))
    clock.now += KEY_SERVICE_SECONDS
    assert store.write(lambda unit: unit.domains.delete(MINE, "vpd-2"))
    with pytest.raises(NotFound):
        galleries.get(MINE, "vpd-2", space=space)


def test_voices_leave_memory_without_a_search(store: Store, clock: Turned, arn: str, kms: Any) -> None:
    for domain_id, key in (("vpd-1", arn), ("vpd-2", "arn:none")):
        make_domain(store, key, domain_id)
        enrol(store, domain_id)
    galleries, space = Galleries(store), plain_space("e-1/telephone", 8)
    for domain_id in ("vpd-1", "vpd-2"):
        galleries.get(MINE, domain_id, space=space)
    kms.disable_key(KeyId=named(arn))
    galleries.renew()
    assert galleries.size() == 2, "an opened key is used for five minutes"
    clock.now += KEY_SERVICE_SECONDS
    galleries.renew()
    assert galleries.size() == 1


def test_what_was_moved_to_another_row_does_not_open(service: KeyService, arn: str) -> None:
    blob = service.wrap(b"k" * 32, arn=arn, owner=OWNER)
    assert service.unwrap(blob, arn=arn, owner=OWNER) == b"k" * 32
    with pytest.raises(CiphertextRefused, match="moved here"):
        service.unwrap(blob, arn=arn, owner="a/b/d")


@pytest.mark.parametrize("wrapped", [b"\x02", b"\x02\xff\xff", b"\x02\x00\x03arn", b"\x02\x00\x01\xff\x00"])
def test_a_damaged_wrapped_key_is_refused(service: KeyService, clock: Turned, wrapped: bytes) -> None:
    vault = Vault(MasterKeyWrapper(MasterKey(key=b"m" * 32)), key_service=service, monotonic=clock)
    with pytest.raises((KeyServiceUnavailable, CiphertextRefused)):
        vault.key(wrapped, owner=OWNER)


def test_without_the_setting_the_domain_says_what_it_lacks(
    store: Store, clock: Turned, arn: str, tmp_path: Path
) -> None:
    make_domain(store, arn, "vpd-1")
    with closing(store_with(None, clock, tmp_path)) as without, pytest.raises(KeyServiceUnavailable, match="kms_keys"):
        enrol(without, "vpd-1")


def test_kms_away_is_told_in_time_and_not_asked_by_everybody(clock: Turned, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        service = service_at(url, clock, seconds=0.3)
        with closing(store_with(service, clock, tmp_path)) as store:
            arn = "arn:aws:kms:eu-central-1:1:key/1"
            with pytest.raises(KeyServiceUnavailable, match="does not answer"):
                make_domain(store, arn, "vpd-1")
            config = service._clients.client("kms", "eu-central-1", endpoint_url=url).meta.config
            # boto3 by itself waits a minute, and asks five times.
            assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (0.3, 0.3, 1)
            asked = _connections(silent)
            with pytest.raises(KeyServiceUnavailable):
                make_domain(store, arn, "vpd-2")
            assert asked
            assert _connections(silent) == 0, "it is left alone for two seconds"
            assert store.domains.count(MINE) == 0
            make_domain(store, "arn:none", "vpd-3")


def _connections(server: socket.socket) -> int:
    server.settimeout(0.05)
    count = 0
    try:
        while True:
            server.accept()[0].close()
            count += 1
    except TimeoutError:
        return count


def test_nobody_waits_for_kms_in_a_transaction_or_on_the_loop(store: Store, service: KeyService, arn: str) -> None:
    domain = make_domain(store, arn, "vpd-1")
    vault = store._vault
    owner = "111122223333/voice_profile_domains/eu-central-1/vpd-1"
    vault.forget(domain.wrapped_key, owner=owner)
    asked: list[bool] = []
    real = service.unwrap

    def unwrap(blob: bytes, *, arn: str, owner: str) -> bytes:
        asked.append(vault._thread.may_wait)
        return real(blob, arn=arn, owner=owner)

    service.unwrap = unwrap  # type: ignore[method-assign]
    enrol(store, "vpd-1")
    assert asked == [True]
    vault.forget(domain.wrapped_key, owner=owner)

    async def on_loop() -> None:
        vault.key(domain.wrapped_key, owner=owner)

    with pytest.raises(StoreBusy):
        asyncio.run(on_loop())
    assert asked == [True]


def test_a_place_is_read_from_the_setting() -> None:
    first, second = key_places("arn:aws:kms:eu-central-1:1:key/1=aws, arn:aws:kms:*=http://127.0.0.1:5000#alias/voices")
    assert first == KeyPlace(pattern="arn:aws:kms:eu-central-1:1:key/1", endpoint_url=None)
    assert second.is_of("arn:aws:kms:us-east-1:2:key/9")
    assert (second.endpoint_url, second.key_id) == ("http://127.0.0.1:5000", "alias/voices")
    for wrong in ("aws", "key/1=aws", "arn:aws:kms:x=", "arn:a=b,=c"):
        with pytest.raises(ConfigurationError, match="kms_keys"):
            key_places(wrong)
    with pytest.raises(ConfigurationError, match="http or https"):
        KeyService(key_places("arn:aws:kms:*=ftp://x"), AwsSettings())
