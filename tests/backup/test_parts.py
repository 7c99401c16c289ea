"""Parts of a backup: a stream of any blocks comes back as it was, few parts are in memory, and a service goes first."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from earwitness.backup import parts
from earwitness.backup.parts import PartWriter, read_parts
from earwitness.backup.places import FolderPlace
from earwitness.errors import BackupPlaceUnavailable
from earwitness.vault.age import new_identity
from patience import until

SECRET, PUBLIC = new_identity()
PART = 70_000
"""More than a chunk of age, and no multiple of a page of memory."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)


class _Place(FolderPlace):
    """A folder that does something of its own before it writes a part."""

    def __init__(self, folder: Path, before: Callable[[], object]) -> None:
        super().__init__(folder)
        self._before = before

    def put_soon(self, name: str, content: memoryview) -> None:
        self._before()
        super().put_soon(name, content)


def _content(size: int) -> bytes:
    return b"".join(number.to_bytes(4) for number in range(size // 4 + 1))[:size]


def _told(_: int) -> None:
    pass


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("block", [999, PART, PART + 512, 10 * PART])
@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 9 * PART + 77])
def test_a_stream_comes_back_as_it_was(tmp_path: Path, size: int, block: int, encrypted: bool) -> None:
    place, content, taken = FolderPlace(tmp_path), _content(size), list[int]()
    blocks = (content[start : start + block] for start in range(0, size, block))
    with PartWriter(place, "backups/b", recipient=PUBLIC if encrypted else None, written=taken.append) as writer:
        writer.write("records", blocks)
        writer.write("salt", iter([b"salt"]))
        writer.settle()
    records, salt = [one for one in writer.parts if one.kind == "records"], writer.parts[-1]
    assert [one.plain_bytes for one in records] == [min(PART, size - start) for start in range(0, size, PART)]
    assert sum(taken) == size + 4
    identity = SECRET if encrypted else None
    assert b"".join(read_parts(place, "backups/b", records, identity=identity, read=_told)) == content
    assert b"".join(read_parts(place, "backups/b", [salt], identity=identity, read=_told)) == b"salt"
    assert all((tmp_path / "backups/b" / one.name).stat().st_mode & 0o777 == 0o600 for one in writer.parts)


def _is_in(thread: threading.Thread, function: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


def test_no_more_is_read_than_a_slow_place_takes(tmp_path: Path) -> None:
    read, may_write, over = 0, threading.Event(), threading.Event()

    def blocks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(20):
            read += 1
            yield bytes(PART)

    def write() -> None:
        with PartWriter(_Place(tmp_path, may_write.wait), "backups/b", recipient=None, written=_told) as writer:
            writer.write("records", blocks())
            over.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        until(lambda: _is_in(thread, "_end_one"))
        assert not over.is_set()
        assert read == parts.BUFFERS + 1  # and the one that waits for a buffer
    finally:
        may_write.set()
        thread.join()
    assert over.is_set()
    assert read == 20


def test_a_place_that_fails_is_told_and_nothing_goes_on(tmp_path: Path) -> None:
    read = 0

    def blocks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(20):
            read += 1
            yield bytes(PART)

    def fail() -> None:
        raise BackupPlaceUnavailable("the disk is full; make room, and run this again")

    with (
        pytest.raises(BackupPlaceUnavailable, match="make room"),
        PartWriter(_Place(tmp_path / "place", fail), "backups/b", recipient=None, written=_told) as writer,
    ):
        writer.write("records", blocks())
    assert not (tmp_path / "place").exists()
    assert read <= parts.BUFFERS + 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no urgency of their own here")
def test_a_service_on_the_same_machine_goes_first(tmp_path: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    urgencies = list[int]()
    place = _Place(tmp_path, lambda: urgencies.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    with PartWriter(place, "backups/b", recipient=None, written=_told) as writer:
        writer.write("records", iter([bytes(PART)] * 5))
    assert set(urgencies) == {min(own + 10, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
