"""Places of backups: a folder and a bucket do the same, and refuse names that lead out."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from earwitness.backup.places import FolderPlace, Place, place_of
from earwitness.errors import BackupInvalid, BackupPlaceUnavailable, ConfigurationError
from moto_server import moto


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "folder":
        return place_of(str(tmp_path / "backups"))
    endpoint = request.getfixturevalue("endpoint")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    bucket = f"bucket-{abs(hash(tmp_path))}"
    client.create_bucket(Bucket=bucket)
    return place_of(f"s3://{bucket}/some/where/", endpoint_url=endpoint)


def test_what_is_put_is_got_listed_and_deleted(place: Place) -> None:
    assert place.names("") == []
    place.put("ledger/a/head.json", b"1")
    place.put("ledger/a/head.json", b"22")
    place.put_soon("backups/b/records-000001.tar-part", memoryview(b"onetwo"))
    place.settle(["backups/b/records-000001.tar-part"])
    assert place.names("") == ["backups/b/records-000001.tar-part", "ledger/a/head.json"]
    assert place.names("backups/b/") == ["backups/b/records-000001.tar-part"]
    assert place.names("nowhere/") == []
    assert place.get("ledger/a/head.json") == b"22"
    assert place.get("backups/b/records-000001.tar-part") == b"onetwo"
    place.delete("ledger/a/head.json")
    place.delete("ledger/a/head.json")
    with pytest.raises(BackupInvalid, match="is missing"):
        place.get("ledger/a/head.json")


@pytest.mark.parametrize("begins_at", [0, 1, 512], ids=["a page", "an odd place", "a sector"])
@pytest.mark.parametrize("size", [0, 1, 4_095, 4_096, 4_097, 3 * 4_096, 5 * 4_096 + 77])
def test_a_part_is_written_whole_whatever_its_size_and_place_in_memory(place: Place, size: int, begins_at: int) -> None:
    memory = memoryview(mmap.mmap(-1, 65_536))
    memory[:] = os.urandom(65_536)
    content = memory[begins_at : begins_at + size]
    place.put_soon("backups/b/records-000001.tar-part", content)
    place.settle(["backups/b/records-000001.tar-part"])
    assert place.get("backups/b/records-000001.tar-part") == content


def test_a_part_that_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path)
    place.put_soon("a", memoryview(b"first"))
    with pytest.raises(BackupPlaceUnavailable):
        place.put_soon("a", memoryview(b"second"))
    assert place.get("a") == b"first"


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../b", "a//b", ".hidden", "", "a\n"])
def test_no_name_leads_out_of_a_place(place: Place, name: str) -> None:
    for act in (lambda: place.put(name, b""), lambda: place.get(name), lambda: place.delete(name)):
        with pytest.raises(BackupInvalid):
            act()


def test_a_bucket_that_is_not_there_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    place = place_of("s3://no-such-bucket", endpoint_url=endpoint)
    with pytest.raises(BackupPlaceUnavailable, match="NoSuchBucket"):
        place.names("")
    away = place_of("s3://no-such-bucket", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(BackupPlaceUnavailable, match="cannot be reached"):
        away.put("a", b"")


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackupPlaceUnavailable, match="cannot be written"):
        FolderPlace(tmp_path / "file").put("a", b"")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path / "place")
    place.put("a", b"")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "place" / "b").symlink_to(tmp_path / "secret")
    with pytest.raises(BackupPlaceUnavailable):
        place.get("b")


@pytest.mark.parametrize("address", ["", "http://a/b", "s3://", "s3:///x", "s3://UPPER/x", "file:///tmp"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(ConfigurationError):
        place_of(address)
