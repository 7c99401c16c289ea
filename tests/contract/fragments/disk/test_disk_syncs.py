"""Syncs that fail, and power that goes: what was acknowledged is there, whatever the page cache lost.

The faults are put in at `os.fsync` and `os.fdatasync`, in this process; a shim under a real service does it in
tests/acceptance/test_failing_disks.py.
"""

import asyncio
import errno
import os
import random
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fragments_examples import START, World, everything, files_of_at_most, numbers_of

from earwitness.errors import FragmentLogUnavailable
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.stream import FragmentStream

pytestmark = pytest.mark.anyio


class Disk:
    """What a disk has when the power goes: of each file what was last synced, of each folder the names of then."""

    def __init__(self) -> None:
        self.failing = False
        self.calls = 0
        self.acknowledged: list[str] = []
        self.images: list[tuple[list[str], dict[str, dict[str, bytes]]]] = []
        self.image_every = 0
        self._lock = threading.Lock()
        self._content: dict[int, bytes] = {}
        self._names: dict[str, dict[str, int]] = {}
        self._chosen = random.Random(0)

    def sync(self, descriptor: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        with self._lock:
            self.calls += 1
            if self.image_every and self.calls % self.image_every == 0:
                self.images.append((list(self.acknowledged), self._image()))
            status, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}").resolve()
            if stat.S_ISDIR(status.st_mode):
                self._names[str(path)] = {entry.name: entry.inode() for entry in os.scandir(path)}
            else:
                self._content[status.st_ino] = path.read_bytes() if path.exists() else b""

    def _image(self) -> dict[str, dict[str, bytes]]:
        """Files by folder; what was written to them and not synced is there, half of it, or noise."""
        return {
            folder: {name: self._after_a_crash(Path(folder) / name, inode) for name, inode in names.items()}
            for folder, names in self._names.items()
            if "fragments" in folder
        }

    def _after_a_crash(self, path: Path, inode: int) -> bytes:
        synced = self._content.get(inode, b"")
        if not path.is_file() or path.stat().st_ino != inode:
            return synced
        tail = path.read_bytes()[len(synced) :]
        kept = tail[: self._chosen.randint(0, len(tail))]
        return synced + self._chosen.choice([kept, self._chosen.randbytes(len(tail)), bytes(len(tail)), b""])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr(os, "fsync", made.sync)
    monkeypatch.setattr(os, "fdatasync", made.sync)
    yield made
    made.failing = False


async def _append(stream: FragmentStream, number: str, cluster: bytes = b"media") -> None:
    await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=cluster)


async def test_after_a_failed_sync_nothing_is_acknowledged_until_one_succeeds(
    disk: Disk, world: World, files: Path
) -> None:
    stream = await world.stream()
    before = await world.append_many(stream, 2)
    (first,) = files.glob("*.segment")
    size = first.stat().st_size
    numbers = [(await stream.reserve()).number for _ in range(3)]
    disk.failing = True
    for number in numbers:
        with pytest.raises(FragmentLogUnavailable):
            await _append(stream, number)
        assert await numbers_of(stream) == before
    disk.failing = False
    after = [await world.append(stream) for _ in range(2)]
    assert await numbers_of(stream) == before + after
    assert first.stat().st_size == size
    assert len(list(files.glob("*.segment"))) == 2
    await world.reopen()
    assert await numbers_of(await world.stream()) == before + after


async def test_a_file_whose_sync_failed_is_not_written_to_again(disk: Disk, world: World, files: Path) -> None:
    stream = await world.stream()
    before = await world.append(stream)
    (first,) = files.glob("*.segment")
    content, number = first.read_bytes(), (await stream.reserve()).number
    disk.failing = True
    with pytest.raises(FragmentLogUnavailable):
        await _append(stream, number)
    disk.failing = False
    with pytest.raises(FragmentLogUnavailable, match="not written to again"):
        await stream.append_tags(before, b"<late>")
    later = await world.append(stream)
    await stream.append_tags(later, b"<tags>")
    assert first.read_bytes() == content
    assert [each.fragment.tags for each in await everything(stream)] == [b"", b"<tags>"]
    await world.reopen()
    stream = await world.stream()
    await stream.append_tags(before, b"<late>")  # what the file holds was read from the disk, so it may go on
    assert [each.fragment.tags for each in await everything(stream)] == [b"<late>", b"<tags>"]


async def test_a_file_whose_cut_could_not_be_synced_is_not_written_to_again(
    disk: Disk, world: World, files: Path
) -> None:
    stream = await world.stream()
    before = await world.append(stream)
    (first,) = files.glob("*.segment")
    content, number = first.read_bytes(), (await stream.reserve()).number
    disk.failing = True
    with files_of_at_most(len(content) + 50), pytest.raises(FragmentLogUnavailable):
        await _append(stream, number)  # the write fails, and the sync of what is cut off after it
    disk.failing = False
    await _append(stream, number)
    with pytest.raises(FragmentLogUnavailable, match="not written to again"):
        await stream.append_tags(before, b"<late>")
    assert first.read_bytes() == content
    assert await numbers_of(stream) == [before, number]


async def test_what_a_cut_left_behind_hides_nothing_that_was_acknowledged(
    disk: Disk, world: World, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk says that it has cut, and has not; the number is tried again, in another file."""
    stream = await world.stream()
    before = await world.append(stream)
    number = (await stream.reserve()).number
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    disk.failing = True
    with pytest.raises(FragmentLogUnavailable):
        await _append(stream, number, b"not acknowledged")
    disk.failing = False
    await _append(stream, number, b"acknowledged")
    assert len(list(files.glob("*.segment"))) == 2
    await world.reopen()
    deliveries = await everything(await world.stream())
    assert [each.fragment.info.number for each in deliveries] == [before, number]
    assert deliveries[1].fragment.cluster == b"acknowledged"


async def test_a_failing_disk_gives_out_no_numbers(disk: Disk, world: World) -> None:
    stream = await world.stream()
    disk.failing = True
    with pytest.raises(FragmentLogUnavailable):
        await stream.reserve()
    disk.failing = False
    assert await world.append(stream)


@pytest.mark.slow
async def test_power_that_goes_at_any_sync_loses_nothing_acknowledged(disk: Disk, tmp_path: Path) -> None:
    disk.image_every = 3
    world = World(lambda clock: open_fragment_log(tmp_path / "fragments", clock=clock))
    await world.open()

    async def fill(name: str) -> None:
        stream = await world.stream(name)
        for index in range(40):
            number = await world.append(stream, f"{name} {index}".encode() * 50)
            await stream.append_tags(number, b"<tags>")
            disk.acknowledged.append(f"{name} {number}")

    await asyncio.gather(*(fill(name) for name in "abc"))
    await world.close()
    disk.image_every = 0
    assert len(disk.images) > 30
    for count, (acknowledged, image) in enumerate(disk.images):
        root = tmp_path / str(count)
        for folder, found in image.items():
            target = root / Path(folder).relative_to(tmp_path)
            target.mkdir(parents=True, exist_ok=True)
            for name, content in found.items():
                if not (target / name).is_dir() and len(name) != 64:
                    (target / name).write_bytes(content)
        await _require_all(root / "fragments", acknowledged)
    assert len(disk.images[-1][0]) > 100


async def _require_all(folder: Path, acknowledged: list[str]) -> None:
    world = World(lambda clock: open_fragment_log(folder, clock=clock))
    await world.open()
    for name in "abc":
        stream = await world.stream(name)
        numbers = [each.split()[1] for each in acknowledged if each.startswith(name)]
        kept = {each.fragment.info.number: each.fragment for each in await everything(stream)}
        for index, number in enumerate(numbers):
            assert kept[number].cluster == f"{name} {index}".encode() * 50
            assert kept[number].tags == b"<tags>"
        assert (await stream.reserve()).number > max(kept, default="")
    await world.close()
