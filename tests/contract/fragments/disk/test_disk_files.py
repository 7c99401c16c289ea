"""What lies on the disk: names, rights, nothing in clear, nothing left behind."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from fragments_examples import DAY, HOUR, SECOND, OpenLog, World, descriptors_at_most, identity, numbers_of

from earwitness.errors import FragmentLogUnavailable
from earwitness.fragments import appender, names
from earwitness.fragments import folder as folder_module
from earwitness.fragments.interface import Retention, StreamIdentity
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.numbers import read_number

pytestmark = pytest.mark.anyio

SECRET = b"a caller's voice, 16 bit, 8 kHz"


async def test_only_the_owner_may_read_and_names_say_nothing(world: World, folder: Path) -> None:
    arn = "arn:aws:kinesisvideo:eu-central-1:111122223333:stream/../../etc/passwd/1"
    evil = StreamIdentity(account_id="../..", stream_arn=arn)
    stream = await world.log.open_stream(evil, key=lambda: pytest.fail("no key is needed"), retention=DAY)
    await stream.reserve()
    await world.append(await world.stream())
    await world.close()
    paths = list(folder.rglob("*"))
    assert len([path for path in paths if path.is_dir()]) == 2
    assert len([path for path in paths if path.suffix == ".segment"]) == 1
    for path in [folder, *paths]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert "passwd" not in str(path)


async def test_media_are_in_no_file_at_any_time(world: World, folder: Path) -> None:
    stream = await world.stream()
    number = await world.append(stream, SECRET * 1_000, tags=SECRET)
    await stream.append_tags(number, SECRET)
    for _ in range(2):
        for path in folder.rglob("*"):
            assert path.is_dir() or SECRET not in path.read_bytes()
            assert path.is_dir() or b"arn:aws" not in path.read_bytes()
        await world.close()
    await world.open()


async def test_retention_removes_files(world: World, files: Path) -> None:
    stream = await world.stream(retention=Retention(hours=1))
    for _ in range(6):
        await world.append(stream, lasting=10 * 60 * SECOND)
    assert len(list(files.glob("*.segment"))) == 6  # a file spans a 24th of the retention
    await world.log.expire(world.now + 30 * 60 * SECOND)
    assert len(list(files.glob("*.segment"))) == 3
    await world.log.expire(world.now + 2 * HOUR)
    await world.close()
    assert [path.name for path in files.iterdir()] == ["sequence"]


@pytest.mark.parametrize("minutes", [1, 5])
async def test_without_retention_no_byte_is_older_than_the_live_window_and_a_minute(
    world: World, files: Path, minutes: int
) -> None:
    stream = await world.stream(retention=Retention(hours=0, live_minutes=minutes))
    began_at = {0: world.now}
    for _ in range(3 * minutes * 15):
        began_at[read_number(await world.append(stream, lasting=4 * SECOND)).sequence] = world.now
        await world.log.expire(world.now)
        oldest = min(int(path.stem) for path in files.glob("*.segment"))
        assert world.now - began_at[oldest - 1] <= (minutes + 1) * 60 * SECOND + 4 * SECOND
    world.now += minutes * 60 * SECOND + SECOND
    await world.log.expire(world.now)
    await world.close()
    assert [path.name for path in files.iterdir()] == ["sequence"]


async def test_less_retention_erases_what_shares_a_file_with_what_is_kept(world: World, files: Path) -> None:
    stream = await world.stream(retention=Retention(hours=240))
    for number in range(4):
        await world.append(stream, bytes([number]) * 5_000, lasting=10 * 60 * SECOND)
    (path,) = files.glob("*.segment")
    before = path.read_bytes()
    kept = (await numbers_of(stream))[2:]
    await stream.set_retention(Retention(hours=1, bytes_max=11_000))
    after = path.read_bytes()
    assert len(after) == len(before)
    assert after.count(bytes(4_900)) == 2
    assert after[len(before) // 2 :] == before[len(before) // 2 :]
    await world.reopen()  # by walking: the index file was removed before the erasure
    assert await numbers_of(await world.stream(retention=Retention(hours=240))) == kept


async def test_deletion_leaves_nothing(world: World, folder: Path, files: Path) -> None:
    await world.append(await world.stream())
    await world.log.delete_stream(identity("a"))
    assert not files.exists()
    assert [path.name for path in folder.iterdir()] == ["lock"]


async def test_a_deletion_that_was_interrupted_is_finished_at_the_next_start(world: World, files: Path) -> None:
    await world.append(await world.stream())
    await world.close()
    doomed = files.with_suffix(names.DELETED_SUFFIX)
    files.rename(doomed)
    await world.open()
    assert not doomed.exists()
    assert await numbers_of(await world.stream()) == []


async def test_one_process_has_the_log(world: World, folder: Path) -> None:
    with pytest.raises(FragmentLogUnavailable, match="another process"):
        await open_fragment_log(folder, clock=lambda: world.now)


async def test_index_files_spare_the_walk(world: World, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "SEGMENT_BYTES_MAX", 10_000)
    stream = await world.stream()
    numbers = [await world.append(stream, bytes(4_000)) for _ in range(10)]
    await stream.append_tags(numbers[-1], b"<tags>")
    status = await stream.status()
    await world.reopen()
    assert len(list(files.glob("*.segment"))) == len(list(files.glob("*.index"))) > 2
    monkeypatch.setattr(folder_module, "walk", lambda *_, **__: pytest.fail("a segment was walked"))
    stream = await world.stream()
    assert await numbers_of(stream) == numbers
    assert await stream.status() == status


async def test_an_index_file_that_lies_is_not_believed(world: World, files: Path) -> None:
    stream = await world.stream()
    numbers = await world.append_many(stream, 3)
    await world.close()
    (path,) = files.glob("*.index")
    content = path.read_bytes()
    for wrong in [b"", b"EWI1", content[:-1], content[:40] + b"\xff" + content[41:], content * 2]:
        path.write_bytes(wrong)
        await world.open()
        assert await numbers_of(await world.stream()) == numbers
        await world.close()
        assert path.read_bytes() == content  # made anew


async def test_no_file_stays_open_however_many_streams_there_are(world: World) -> None:
    streams = [await world.stream(f"s{number}") for number in range(24)]
    numbers = [[await world.append(stream) for stream in streams] for _ in range(3)]
    open_files = [path for path in Path("/proc/self/fd").iterdir() if path.resolve().suffix == ".segment"]
    assert open_files == []
    for place, stream in enumerate(streams):
        assert await numbers_of(stream) == [row[place] for row in numbers]


@pytest.mark.slow
async def test_a_thousand_streams_are_written_at_once_with_256_descriptors(open_log: OpenLog) -> None:
    world = World(open_log)
    with descriptors_at_most(256):
        await world.open()
        streams = [await world.stream(f"s{number}") for number in range(1_000)]
        for _ in range(2):
            await asyncio.gather(*(world.append(stream) for stream in streams))
        assert [len(await numbers_of(stream)) for stream in streams] == [2] * 1_000
        await world.close()


async def test_without_a_free_descriptor_nothing_is_kept_and_it_is_said_why(world: World) -> None:
    stream = await world.stream()
    before = [await world.append(stream)]
    os.close(free := os.open(os.devnull, os.O_RDONLY))
    with (
        descriptors_at_most(free),
        pytest.raises(FragmentLogUnavailable, match=r"no file descriptor is free: .* nofile="),
    ):
        await world.append(stream)
    assert await numbers_of(stream) == before
    after = await world.append(stream)
    assert await numbers_of(stream) == [*before, after]
