"""PostgreSQL on a real disk that has no byte left: it is called by its name, and nothing acknowledged is lost."""

from contextlib import closing, suppress

import pytest
from postgres_machines import Machine, machines
from store_examples import MINE, add_stream, opened

from earwitness.errors import StoreFull
from earwitness.store.store import Store

pytestmark = pytest.mark.slow

DISK_BYTES = 160 * 2**20
"""An empty database takes 40 MB, its log 32 MB."""

SETTINGS = ("max_wal_size=48MB", "min_wal_size=32MB", "shared_buffers=16MB")


def fill(machine: Machine) -> None:
    """Take all that is left of its disk."""
    with (machine.folder.parent / "filler").open("ab", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4_096))


def write(store: Store, number: int) -> None:
    store.write(lambda unit: [add_stream(unit, f"{number}-{n}-" + "x" * 200) for n in range(20)])


def test_a_full_disk_is_told_until_there_is_room() -> None:
    with machines(disk_bytes=DISK_BYTES, settings=SETTINGS) as (machine,):
        machine.make()
        machine.start()
        with closing(opened(machine.url)) as store:
            write(store, 0)
            store.require_ready()
            fill(machine)
            done = 1
            with pytest.raises(StoreFull, match="disk of PostgreSQL is full; make room there"):
                while True:  # pages that are there already are filled first
                    write(store, done)
                    done += 1
            for _ in range(2):
                with pytest.raises(StoreFull, match="disk of PostgreSQL is full"):
                    store.require_ready()
            assert store.streams.count(MINE) == 20 * done
            (machine.folder.parent / "filler").unlink()
            store.require_ready()
            write(store, done)
            assert store.streams.count(MINE) == 20 * (done + 1)
