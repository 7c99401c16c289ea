"""The second place of the audit trail: a folder and a bucket keep the same, and the same is noticed at both."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal

import boto3
import pytest
from store_examples import MINE, Clock, opened

from earwitness.audit.bucket import AuditObject
from earwitness.audit.checkpoints import ReadCheckpoint, read_checkpoints
from earwitness.audit.keeping import AuditKeeping
from earwitness.audit.places import AuditFile, AuditPlace, content_of, fetched_ahead, place_of
from earwitness.audit.verify import AuditVerdict, verify_records
from earwitness.errors import AuditPlaceUnavailable, ConfigurationError
from earwitness.progress import not_shown
from earwitness.store.store import Store, Unit
from earwitness.tasks.auditing import Auditing
from moto_server import moto

pytestmark = pytest.mark.slow

ENTRIES = 12
_YEAR = timedelta(days=367)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with closing(opened(f"sqlite:///{tmp_path / 'records.db'}", clock=clock)) as store:
        yield store


class FolderOfFiles:
    """What somebody else can do to a folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self.place: AuditPlace = place_of(str(folder), endpoint_url="", region="us-east-1", clock=clock)

    def read(self) -> dict[str, bytes]:
        return {str(path.relative_to(self._folder)): path.read_bytes() for path in self._folder.rglob("*.jsonl")}

    def write(self, name: str, content: bytes) -> None:
        (self._folder / name).write_bytes(content)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()


class BucketOfObjects:
    """What somebody else can do to a bucket."""

    def __init__(self, endpoint: str, bucket: str, clock: Clock) -> None:
        self._client: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        self._bucket = bucket
        self._client.create_bucket(Bucket=bucket)
        address = f"s3://{bucket}/some/where/"
        self.place: AuditPlace = place_of(address, endpoint_url=endpoint, region="us-east-1", clock=clock)

    def read(self) -> dict[str, bytes]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {
            key.removeprefix("some/where/"): self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            for key in keys
        }

    def write(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=f"some/where/{name}", Body=content)

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=f"some/where/{name}")


Elsewhere = FolderOfFiles | BucketOfObjects


@pytest.fixture(params=["folder", "bucket"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Elsewhere:
    if request.param == "folder":
        return FolderOfFiles(tmp_path / "elsewhere", clock)
    return BucketOfObjects(request.getfixturevalue("endpoint"), f"bucket-{abs(hash(tmp_path))}", clock)


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, clock: Clock) -> BucketOfObjects:
    return BucketOfObjects(endpoint, f"bucket-{abs(hash(tmp_path))}", clock)


def fill(store: Store, count: int = ENTRIES) -> None:
    def append(unit: Unit) -> None:
        unit.audit.append(MINE, key_id="AKIA", operation="Op", resource_arn="", outcome="done", request_id="")

    for _ in range(count):
        store.write(append)


def checkpoints(store: Store, files: Sequence[AuditFile]) -> list[ReadCheckpoint]:
    return list(read_checkpoints(files, lambda: store.signer().public))


def verdict(store: Store, place: AuditPlace) -> AuditVerdict:
    key = store.signer().public
    return verify_records(store, place.entry_files(), checkpoints(store, place.checkpoint_files()), key, not_shown)


def expired(store: Store, place: AuditPlace, clock: Clock) -> AuditKeeping:
    """Three files of entries that had expired, and checkpoints before and behind them."""
    keeping = AuditKeeping(store, place, keeps_expired=True)
    for _ in range(3):
        fill(store)
        assert keeping.checkpoint(clock()) == 1
        clock.advance(_YEAR)
        fill(store, 1)
        assert keeping.checkpoint(clock()) == 1
        keeping.expire(clock())
    return keeping


def test_what_a_place_keeps_fits_the_records(store: Store, clock: Clock, elsewhere: Elsewhere) -> None:
    keeping = AuditKeeping(store, elsewhere.place, keeps_expired=True)
    for _ in range(3):
        fill(store)
        assert keeping.checkpoint(clock()) == 1
    assert keeping.checkpoint(clock()) == 0
    found = verdict(store, elsewhere.place)
    assert (found.problems, found.after_checkpoints, found.remarks) == ([], 0, [])
    assert found.checkpoints >= 3
    fill(store, 1)
    assert verdict(store, elsewhere.place).after_checkpoints == 1


def test_a_tail_that_was_cut_off_is_noticed(store: Store, clock: Clock, elsewhere: Elsewhere) -> None:
    fill(store)
    AuditKeeping(store, elsewhere.place, keeps_expired=True).checkpoint(clock())
    with store._database.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM audit_entries WHERE number > {ENTRIES - 5}")  # noqa: S608
    (problem,) = verdict(store, elsewhere.place).problems
    assert (problem.number, "missing at the end" in problem.says) == (ENTRIES - 4, True), problem


def test_entries_that_expired_are_whole_and_a_missing_file_is_noticed(
    store: Store, clock: Clock, elsewhere: Elsewhere
) -> None:
    expired(store, elsewhere.place, clock)
    found = verdict(store, elsewhere.place)
    assert (found.problems, found.files, found.without_a_chain) == ([], 3, 0)
    _, second, _ = sorted(name for name in elsewhere.read() if name.startswith("entries/"))
    elsewhere.remove(second)
    assert "is missing" in verdict(store, elsewhere.place).problems[0].says


def _cut(content: bytes) -> bytes:
    return content[:-40]


def _without_a_line(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:3], *lines[4:]])


def _changed(content: bytes) -> bytes:
    return content.replace(b"AKIA", b"AKIB", 1)


@pytest.mark.parametrize("done", [_cut, _without_a_line, _changed])
def test_a_file_of_entries_that_was_replaced_is_noticed(
    store: Store, clock: Clock, elsewhere: Elsewhere, done: Callable[[bytes], bytes]
) -> None:
    expired(store, elsewhere.place, clock)
    name, content = sorted((name, content) for name, content in elsewhere.read().items() if "entries/" in name)[1]
    elsewhere.write(name, done(content))
    assert verdict(store, elsewhere.place).problems


def test_a_checkpoint_of_which_a_bit_was_changed_is_noticed(store: Store, clock: Clock, elsewhere: Elsewhere) -> None:
    fill(store)
    AuditKeeping(store, elsewhere.place, keeps_expired=True).checkpoint(clock())
    for name, content in elsewhere.read().items():
        elsewhere.write(name, content.replace(b'"number":12', b'"number":13'))
    assert "cannot be believed" in verdict(store, elsewhere.place).problems[0].says


def test_what_a_run_wrote_before_it_was_killed_is_no_error(store: Store, clock: Clock, elsewhere: Elsewhere) -> None:
    """Entries are in the file, and still in the records, where it was killed between."""
    lines = [b'{"line":1}\n', b'{"entries":1}\n']
    elsewhere.place.put_entries("n", first=1, last=1, lines=lines)
    elsewhere.place.put_entries("n", first=1, last=1, lines=[lines[0], b'{"entries":1,"later":true}\n'])
    ((_, content),) = elsewhere.read().items()
    assert content.startswith(lines[0])


def test_each_object_is_written_once(store: Store, clock: Clock, bucket: BucketOfObjects) -> None:
    keeping = expired(store, bucket.place, clock)
    before = bucket.read()
    again = AuditKeeping(store, bucket.place, keeps_expired=True)  # another run of the service
    fill(store)
    assert again.checkpoint(clock()) == 1
    keeping.expire(clock())
    after = bucket.read()
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1  # the day's first is there
    name = next(name for name in before if name.startswith("entries/"))
    _, chain, numbers = name.split("/")
    first, last = (int(one) for one in numbers.removesuffix(".jsonl").split("-"))
    assert chain == "records"
    with pytest.raises(AuditPlaceUnavailable, match="holds something else"):
        bucket.place.put_entries("", first=first, last=last, lines=[b"{1}\n", b"{2}\n"])


def test_an_object_that_was_copied_over_another_is_noticed(store: Store, clock: Clock, bucket: BucketOfObjects) -> None:
    """It is signed, and so would be believed; its name tells."""
    keeping = AuditKeeping(store, bucket.place, keeps_expired=True)
    for _ in range(2):
        fill(store)
        keeping.checkpoint(clock())
    early, late = sorted(name for name in bucket.read() if "minutes/" in name)
    bucket.write(late, bucket.read()[early])
    (problem,) = verdict(store, bucket.place).problems
    assert "another was put in its place" in problem.says
    assert problem.where.startswith(f"{bucket.place.address}/{late}")


def test_an_object_that_was_cut_short_is_no_torn_line(store: Store, clock: Clock, bucket: BucketOfObjects) -> None:
    fill(store)
    AuditKeeping(store, bucket.place, keeps_expired=True).checkpoint(clock())
    for name, content in bucket.read().items():
        bucket.write(name, content[:-20])
    found = verdict(store, bucket.place)
    assert (len(found.problems), found.remarks) == (2, [])


def test_of_days_long_past_one_checkpoint_is_read(store: Store, clock: Clock, bucket: BucketOfObjects) -> None:
    keeping = AuditKeeping(store, bucket.place, keeps_expired=True)
    for _ in range(2):
        for _ in range(3):
            fill(store, 1)
            keeping.checkpoint(clock())
        clock.advance(timedelta(days=1))
    assert len(bucket.place.checkpoint_files()) == 2 + 6
    clock.advance(timedelta(days=29))
    assert len(bucket.place.checkpoint_files()) == 2 + 3
    clock.advance(timedelta(days=40))
    read = checkpoints(store, bucket.place.checkpoint_files())
    assert [one.checkpoint and one.checkpoint.number for one in read] == [1, 4]
    keeping.expire(clock())
    assert len(bucket.read()) == 8  # nothing is deleted


@pytest.mark.parametrize("address", ["", "http://a/b", "s3://", "s3:///x", "s3://UPPER/x", "file:///tmp"])
def test_an_address_that_is_no_place_is_told(address: str, clock: Clock) -> None:
    with pytest.raises(ConfigurationError):
        place_of(address, endpoint_url="", region="us-east-1", clock=clock)


def test_a_bucket_that_refuses_or_is_away_is_told(endpoint: str, clock: Clock) -> None:
    refusing = place_of("s3://no-such-bucket", endpoint_url=endpoint, region="us-east-1", clock=clock)
    away = place_of("s3://no-such-bucket/x", endpoint_url="http://127.0.0.1:1", region="us-east-1", clock=clock)
    for place, says in ((refusing, "answers NoSuchBucket"), (away, "cannot be reached")):
        for act in (
            lambda place=place: place.add_checkpoint("", b"{}", now=clock()),
            lambda place=place: place.put_entries("", first=1, last=1, lines=[b"{}"]),
            place.checkpoint_files,
            place.entry_files,
        ):
            with pytest.raises(AuditPlaceUnavailable, match=says):
                act()


def test_objects_are_fetched_ahead_but_not_all_at_once(store: Store, clock: Clock, bucket: BucketOfObjects) -> None:
    for first in range(1, 41, 2):
        bucket.place.put_entries("", first=first, last=first + 1, lines=[b"%d\n" % first])
    asked: list[AuditFile] = []

    class Noted(AuditObject):
        def __init__(self, file: AuditFile) -> None:
            self._file = file

        def open(self, _mode: Literal["rb"]) -> BinaryIO:
            asked.append(self)
            return self._file.open("rb")

    files = [Noted(file) for file in bucket.place.entry_files()]
    contents: list[bytes] = []
    for number, (file, content) in enumerate(fetched_ahead(files), start=1):
        assert file is files[number - 1]
        assert content is not None
        contents.append(content.read())
        assert len(asked) <= number + 4
    assert contents == [b"%d\n" % first for first in range(1, 41, 2)]
    bucket.remove("entries/records/000000000003-000000000004.jsonl")
    told = fetched_ahead(files)
    assert next(told)[0] is files[0]
    with pytest.raises(AuditPlaceUnavailable, match="is missing"):
        next(told)


def test_an_object_that_is_gone_or_too_large_is_told(store: Store, clock: Clock, bucket: BucketOfObjects) -> None:
    bucket.place.add_checkpoint("", b"{}", now=clock())
    file = bucket.place.checkpoint_files()[0]
    with pytest.raises(AuditPlaceUnavailable, match="has more than 2 bytes"):
        content_of(file, bytes_max=2, what="file of checkpoints")
    for name in bucket.read():
        bucket.remove(name)
    with pytest.raises(AuditPlaceUnavailable, match="is missing"):
        checkpoints(store, [file])


@pytest.mark.anyio
async def test_a_place_that_does_not_answer_holds_one_thread_and_nothing_else(store: Store, clock: Clock) -> None:
    fill(store)
    begun = 0

    async def in_thread(work: Callable[[], Any]) -> Any:
        nonlocal begun
        begun += 1
        return await asyncio.to_thread(work)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        place = place_of("s3://bucket/x", endpoint_url=url, region="us-east-1", clock=clock)
        auditing = Auditing(store, place, keeps_expired=True, run_in_thread=in_thread, clock=clock, seconds_max=0.01)
        (checkpoint, _), started = auditing.works, auditing.told_at
        for _ in range(3):
            with pytest.raises(AuditPlaceUnavailable, match=r"s3://bucket/x has not answered for 0\.01 s"):
                await checkpoint.run_once()
            fill(store, 1)  # meanwhile changes are written
        assert (begun, auditing.told_at) == (1, started)
        await auditing.close()
        connection, _ = silent.accept()
        connection.close()


@pytest.mark.anyio
async def test_it_is_known_when_a_place_last_had_all(store: Store, clock: Clock, elsewhere: Elsewhere) -> None:
    fill(store)
    auditing = Auditing(store, elsewhere.place, keeps_expired=True, run_in_thread=asyncio.to_thread, clock=clock)
    started = auditing.told_at
    clock.advance(timedelta(minutes=1))
    await auditing.close()
    assert auditing.told_at - started > timedelta(minutes=1)
    assert verdict(store, elsewhere.place).after_checkpoints == 0
