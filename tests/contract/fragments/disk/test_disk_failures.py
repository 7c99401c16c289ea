"""A disk that is full, a process that is killed, a crowd before a slow disk."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fragment_writer
import pytest
from fragments_examples import DAY, START, World, everything, files_of_at_most, identity, numbers_of, turns

import started
from earwitness.errors import CiphertextRefused, Conflict, FragmentLogUnavailable
from earwitness.fragments import log
from earwitness.fragments.interface import Fragment
from earwitness.fragments.log import open_fragment_log
from earwitness.fragments.writer import AppendLimiter
from earwitness.vault.data_key import DataKey
from patience import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kept_before", [0, 1])
async def test_a_full_disk_fails_the_append_and_nothing_else(world: World, files: Path, kept_before: int) -> None:
    full, other = await world.stream("a"), await world.stream("b")
    numbers = [await world.append(full, bytes(30_000)) for _ in range(kept_before)]
    number = (await full.reserve()).number
    with files_of_at_most(50_000):
        append = full.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=bytes(60_000))
        with pytest.raises(FragmentLogUnavailable):
            await append
        others = [await world.append(other, b"small") for _ in range(3)]
        assert await numbers_of(other) == others
        assert await numbers_of(full) == numbers
    assert sum(path.stat().st_size for path in files.glob("*.segment")) < 31_000 * kept_before + 1
    await full.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"tried again")
    numbers += [number, await world.append(full)]
    assert await numbers_of(full) == numbers
    await world.reopen()
    assert await numbers_of(await world.stream("a")) == numbers


async def test_after_a_later_fragment_a_failed_one_is_refused(world: World) -> None:
    stream = await world.stream()
    number = (await stream.reserve()).number
    with files_of_at_most(1_000), pytest.raises(FragmentLogUnavailable):
        await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=bytes(5_000))
    later = await world.append(stream)
    with pytest.raises(Conflict):
        await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"")
    assert await numbers_of(stream) == [later]


async def test_numbers_that_cannot_be_remembered_are_not_given_out(world: World) -> None:
    stream = await world.stream()
    with files_of_at_most(0), pytest.raises(FragmentLogUnavailable):
        await stream.reserve()
    assert (await stream.reserve()).number


async def test_a_key_that_is_gone_fails_its_stream_only(world: World) -> None:
    def no_key() -> DataKey:
        raise CiphertextRefused("the key was destroyed")

    stream = await world.log.open_stream(identity("a"), key=no_key, retention=DAY)
    number = (await stream.reserve()).number
    with pytest.raises(CiphertextRefused, match="destroyed"):
        await stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
    assert await world.append(await world.stream("b"))


async def test_a_log_on_a_file_cannot_be_opened(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FragmentLogUnavailable):
        await open_fragment_log(tmp_path / "file", clock=lambda: START)


async def test_those_who_wait_for_room_go_in_order() -> None:
    limiter = AppendLimiter(waiting_max=2, waiting_bytes_max=100)
    entered: list[int] = []

    async def enter(name: int, size: int) -> None:
        await limiter.enter(size)
        entered.append(name)

    sizes = {0: 60, 1: 60, 2: 10, 3: 10, 4: 500}
    tasks = [asyncio.create_task(enter(name, size)) for name, size in sizes.items()]
    await turns()
    assert entered == [0]  # 2 would fit, and 1 was there before it
    tasks[1].cancel()
    await turns()
    assert entered == [0, 2]
    limiter.leave(60)
    await turns()
    assert entered == [0, 2, 3]
    limiter.leave(10)
    limiter.leave(10)
    await turns()
    assert entered == [0, 2, 3, 4]  # more than fits counts as all
    limiter.leave(500)
    await limiter.enter(100)


async def test_a_turn_that_comes_while_its_task_is_cancelled_is_given_back() -> None:
    limiter = AppendLimiter(waiting_max=1, waiting_bytes_max=100)
    await limiter.enter(1)
    task = asyncio.create_task(limiter.enter(1))
    await turns()
    limiter.leave(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE_SECONDS):
        await limiter.enter(1)


async def test_appends_wait_while_there_is_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "AppendLimiter", lambda: AppendLimiter(waiting_max=2, waiting_bytes_max=10**6))
    world = World(lambda clock: open_fragment_log(folder, clock=clock))
    await world.open()
    stream = await world.stream()
    numbers = [(await stream.reserve()).number for _ in range(50)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(
            *(
                stream.append(number, producer_timestamp=START, duration_ms=1, header=b"", cluster=b"c")
                for number in numbers
            )
        )
    assert await numbers_of(stream) == numbers
    await world.close()


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged_at_least", [40, 130])
async def test_what_was_acknowledged_before_a_kill_is_there_after_it(folder: Path, acknowledged_at_least: int) -> None:
    """A process appends to several streams at once and says which appends are done; it is killed in the middle."""
    script = Path(fragment_writer.__file__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with started.process([sys.executable, script, folder], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged_at_least)]
        os.kill(process.pid, signal.SIGKILL)
        lines += [line for line in process.stdout if line.endswith(b"\n")]
    assert process.returncode == -signal.SIGKILL
    acknowledged: list[dict[str, str]] = [json.loads(line) for line in lines]
    world = fragment_writer.world_on(folder)
    await world.open()
    for name in fragment_writer.STREAMS:
        stream = await world.stream(name)
        numbers = [each["number"] for each in acknowledged if each["stream"] == name]
        found = [item async for item in stream.get(numbers)]
        for number, fragment in zip(numbers, found, strict=True):
            assert isinstance(fragment, Fragment)
            assert fragment.cluster == fragment_writer.media_of(number)
            assert fragment.tags == b"<tags>"
        kept = await everything(stream)
        assert all(each.fragment.cluster == fragment_writer.media_of(each.fragment.info.number) for each in kept)
        assert not any(each.gap for each in kept)
        assert (await stream.reserve()).number > max(numbers, default="")
    await world.close()
