"""Disks that fail under a real service: a file system without room, and syncs that the kernel says have failed.

The disk is a small file system in memory; mounting one needs rights, and without them these tests are skipped. Syncs
fail by a library that is put before the C library's, which needs a C compiler.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from media_client import HEADER, Producer, client, cluster, fragments, new_stream, put, tone
from serving import Served, kill, start, stop

pytestmark = pytest.mark.slow

NOW_MS = 1_790_000_000_000
DISK_BYTES = 32 * 2**20
SECOND = tone(1.0)
ARCHIVAL_ERROR = (5001, "ARCHIVAL_ERROR")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here; run as root to test a full disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def on_small_disk(small_disk: Path) -> Iterator[Served]:
    served = start(small_disk / "data")
    try:
        yield served
    finally:
        stop(served)


@contextlib.contextmanager
def no_room(disk: Path) -> Iterator[None]:
    """Somebody else fills the disk to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4_096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    continue
    assert os.statvfs(disk).f_bavail == 0
    yield
    ballast.unlink()


def errors(acks: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(ack["ErrorId"], ack["ErrorCode"]) for ack in acks if ack["EventType"] == "ERROR"]


def clusters_of(url: str, stream: str, *, count: int) -> list[bytes]:
    return [fragment.cluster for fragment in fragments(url, stream, at_most=count)]


def test_a_full_disk_under_a_producer(on_small_disk: Served, small_disk: Path) -> None:
    url = on_small_disk.url
    stream, other = new_stream(url), new_stream(url)
    put(url, other, HEADER + cluster(NOW_MS, SECOND))
    media = [cluster(NOW_MS + 1_000 * index, SECOND) for index in range(20)]
    with Producer(url, stream) as producer:
        producer.opened().send(HEADER + media[0])
        producer.until("PERSISTED")
        with no_room(small_disk):
            for each in media[1:]:
                with contextlib.suppress(OSError):  # it is hung up on
                    producer.send(each)
            acks = list(producer.acks())
            assert errors(acks) == [ARCHIVAL_ERROR]
            first = [ack["EventType"] for ack in acks].index("ERROR")
            assert not any(ack["EventType"] == "PERSISTED" for ack in acks[first:])
            kept = 1 + sum(ack["EventType"] == "PERSISTED" for ack in acks)
            assert kept < len(media)
            assert clusters_of(url, other, count=1) == [cluster(NOW_MS, SECOND)]
            assert clusters_of(url, stream, count=kept) == media[:kept]
            assert errors(put(url, stream, HEADER + media[-1])) == [ARCHIVAL_ERROR]
    assert errors(put(url, stream, HEADER + b"".join(media[kept:]))) == []
    assert clusters_of(url, stream, count=len(media)) == media


def test_a_full_disk_under_the_records(on_small_disk: Served, small_disk: Path) -> None:
    voice = client(on_small_disk.url, "chime-sdk-voice")

    def make(name: str) -> str:
        key = {"KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000"}
        made = voice.create_voice_profile_domain(Name=name, ServerSideEncryptionConfiguration=key)
        return made["VoiceProfileDomain"]["VoiceProfileDomainId"]

    def listed() -> set[str]:
        page = voice.list_voice_profile_domains(MaxResults=99)
        found = {one["VoiceProfileDomainId"] for one in page["VoiceProfileDomains"]}
        while token := page.get("NextToken"):
            page = voice.list_voice_profile_domains(MaxResults=99, NextToken=token)
            found |= {one["VoiceProfileDomainId"] for one in page["VoiceProfileDomains"]}
        return found

    made = {make("before")}
    with no_room(small_disk):
        refused = None
        for index in range(900):
            try:
                made.add(make(f"domain {index}"))
            except ClientError as error:
                refused = error.response
                break
        assert refused is not None
        assert refused["Error"]["Code"] == "ServiceUnavailableException"
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert listed() == made
    assert listed() == made
    made.add(make("after"))
    assert listed() == made


def ready(url: str) -> tuple[int, str]:
    answer = httpx.get(f"{url}/ready")
    return answer.status_code, answer.json().get("reason", "")


def test_media_leave_room_for_the_records(on_small_disk: Served, small_disk: Path) -> None:
    """A producer cannot fill the disk; what is kept stays, records change, and a deletion lets media in again."""
    url = on_small_disk.url
    stream, other = new_stream(url), new_stream(url)
    with Producer(url, stream) as producer:
        producer.opened().send(HEADER)
        for index in range(120):
            with contextlib.suppress(OSError):  # it is hung up on
                producer.send(cluster(NOW_MS + 19_000 * index, bytes(300_000)))
        acks = list(producer.acks())
    assert errors(acks) == [ARCHIVAL_ERROR]
    kept = sum(ack["EventType"] == "PERSISTED" for ack in acks)
    assert 50 <= kept < 107
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    assert free >= DISK_BYTES // 20 - 200_000
    # More at once than the 4 MB that the records give back when their log of changes is taken in.
    others = (cluster(NOW_MS + 19_000 * index, bytes(300_000)) for index in range(24))
    assert errors(put(url, other, HEADER + b"".join(others))) == [ARCHIVAL_ERROR]
    status, reason = ready(url)
    assert status == 503
    assert "are kept for the records: media are refused" in reason
    told = httpx.get(f"{url}/earwitness/v1/status", headers={"authorization": "Bearer test"}).json()
    assert told["mediaRefusal"] == reason
    assert told["keepsEnrolmentAudio"] is False
    assert len(clusters_of(url, stream, count=kept)) == kept
    new_stream(url)
    kinesis = client(url, "kinesisvideo")
    arn = kinesis.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
    kinesis.delete_stream(StreamARN=arn)
    assert errors(put(url, other, HEADER + cluster(NOW_MS + 19_000 * 24, SECOND))) == []
    assert ready(url) == (200, "")


def test_all_can_be_deleted_from_a_full_disk(on_small_disk: Served, small_disk: Path) -> None:
    """Domains, tags, streams with their media, keys; what is new is refused all the while."""
    url = on_small_disk.url
    voice, kinesis = client(url, "chime-sdk-voice"), client(url, "kinesisvideo")
    stream = new_stream(url)
    put(url, stream, HEADER + cluster(NOW_MS, SECOND))
    key = {"KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000"}

    def make(name: str) -> str:
        made = voice.create_voice_profile_domain(Name=name, ServerSideEncryptionConfiguration=key)
        return made["VoiceProfileDomain"]["VoiceProfileDomainId"]

    made = [make(f"domain {index}") for index in range(20)]
    with no_room(small_disk):
        with pytest.raises(ClientError) as refused:
            for index in range(900):
                made.append(make(f"full {index}"))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        for domain in made:
            voice.delete_voice_profile_domain(VoiceProfileDomainId=domain)
        assert voice.list_voice_profile_domains()["VoiceProfileDomains"] == []
        with pytest.raises(ClientError):
            make("while full")
        arn = kinesis.describe_stream(StreamName=stream)["StreamInfo"]["StreamARN"]
        kinesis.delete_stream(StreamARN=arn)
        for arguments in (["create", "--json"], ["list"], ["disable", "test"]):
            command = [sys.executable, "-m", "earwitness", "keys", *arguments, "--data", str(on_small_disk.data)]
            done = subprocess.run(command, env=on_small_disk.environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    with pytest.raises(ClientError, match="unknown or disabled"):
        voice.list_voice_profile_domains()


def test_keys_work_on_a_full_disk_without_a_service(small_disk: Path) -> None:
    served = start(small_disk / "data")
    stop(served)
    with no_room(small_disk):
        for arguments in (["list"], ["create", "--json"], ["disable", "test"]):
            command = [sys.executable, "-m", "earwitness", "keys", *arguments, "--data", str(served.data)]
            done = subprocess.run(command, env=served.environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


SHIM = """
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int failing(void) { const char *flag = getenv("FAIL_SYNCS_WHILE"); return flag && access(flag, F_OK) == 0; }
int fsync(int fd) { if (failing()) { errno = EIO; return -1; } return (int) syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (failing()) { errno = EIO; return -1; } return (int) syscall(SYS_fdatasync, fd); }
"""


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """While there is a file of this name, no sync succeeds."""
    return tmp_path / "fail"


@pytest.fixture
def with_shim(tmp_path: Path, failing: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    compiler, library = shutil.which("cc"), tmp_path / "shim.so"
    if compiler is None:
        pytest.skip("there is no C compiler; the same faults are put in by tests/contract/fragments/disk")
    source = tmp_path / "shim.c"
    source.write_text(SHIM, encoding="ascii")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(library))
        environment.setenv("FAIL_SYNCS_WHILE", str(failing))
        served = start(tmp_path / "data")
    try:
        yield served
    finally:
        failing.unlink(missing_ok=True)
        if served.process.poll() is None:
            stop(served)


def test_a_sync_that_fails(with_shim: Served, failing: Path, tmp_path: Path) -> None:
    url = with_shim.url
    stream, media = new_stream(url), [cluster(NOW_MS + 1_000 * index, SECOND) for index in range(4)]
    with Producer(url, stream) as producer:
        producer.opened().send(HEADER + media[0])
        producer.until("PERSISTED")
        failing.touch()
        producer.send(media[1])
        acks = list(producer.acks())
    assert [ack["EventType"] for ack in acks] == ["BUFFERING", "RECEIVED", "ERROR"]
    assert errors(acks) == [ARCHIVAL_ERROR]
    assert clusters_of(url, stream, count=1) == media[:1]
    with pytest.raises(ClientError) as refused:
        new_stream(url)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    failing.unlink()
    assert errors(put(url, stream, HEADER + media[2] + media[3])) == []
    expected = [media[0], *media[2:]]
    assert clusters_of(url, stream, count=3) == expected
    assert new_stream(url)
    kill(with_shim)
    again = start(tmp_path / "data")
    try:
        assert clusters_of(again.url, stream, count=3) == expected
    finally:
        stop(again)
