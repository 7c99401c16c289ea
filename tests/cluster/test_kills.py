"""Nodes and PostgreSQL are killed at random moments while calls run; afterwards nothing is lost, doubled or left over.

`make cluster-faults` has it do so more often, with more calls. One seed gives the same kills at the same moments after
the calls began; what the calls have come to by then is up to the machine.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest
from local_cluster import Node, Postgres
from traffic import Line, Lines, Watched

from patience import until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "2"))
SEED = int(os.environ.get("SEED", "1"))
CALLS = int(os.environ.get("CALLS", "4"))
NODES = 3
PACE_SECONDS = max(0.5, 0.08 * CALLS)
"""Between two seconds of audio: a call of 35 s costs a second of computing, which the calls share two cores for."""

DOWN_SECONDS_MAX = 12.0
"""Twice a lease: some come back before anybody has missed them, some long after."""

_AWAY_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class _GoneOn:
    """How long it took until a call was told PERSISTED again, and what was killed."""

    victim: str
    seconds: float


def test_nothing_is_lost_or_doubled_by_kills(start_cluster: Callable[..., Watched], database: Postgres) -> None:
    watched = start_cluster(NODES)
    chance, gone_on = random.Random(SEED), list[_GoneOn]()
    lines = Lines(watched.cluster, watched.seen, count=CALLS, pace_seconds=PACE_SECONDS, has_voices=True)
    with lines.running():
        until(lines.all_have_spoken)
        for number in range(KILLS):
            time.sleep(chance.uniform(0.0, 4.0))
            victim, down = chance.choice(watched.cluster.nodes), chance.uniform(0.0, DOWN_SECONDS_MAX)
            if number % 4 == 1:
                gone_on += _kill_database(database, lines, down)
            else:
                gone_on += _kill(victim, lines, down, database)
    assert lines.wrong == []
    assert watched.broken() == []
    _print_measured(watched, lines, gone_on)


def _kill(node: Node, lines: Lines, down: float, database: Postgres) -> list[_GoneOn]:
    with psycopg.connect(database.url) as connection:
        of_node = "SELECT arn FROM kinesis_streams WHERE home_node = %s"
        theirs = {arn for (arn,) in connection.execute(of_node, [node.node_id()])}
    hit = [line for line in lines.lines if line.speaks and line.stream in theirs]
    at = time.monotonic()
    node.kill()
    time.sleep(down)
    node.start()
    return _measured("node", hit, at)


def _kill_database(database: Postgres, lines: Lines, down: float) -> list[_GoneOn]:
    hit = [line for line in lines.lines if line.speaks]
    database.kill()
    time.sleep(down)
    database.start()
    return _measured("PostgreSQL, from its start on", hit, time.monotonic())


def _measured(victim: str, hit: list[Line], at: float) -> list[_GoneOn]:
    """Wait until calls that were in progress go on; a call that has ended is not counted."""
    give_up = at + _AWAY_SECONDS_MAX
    until(lambda: all(line.gone_on_after(at) or not line.speaks or time.monotonic() > give_up for line in hit))
    times = [moment - at for line in hit if (moment := line.gone_on_after(at)) is not None]
    sys.stdout.write(f"\n{victim}: {', '.join(f'{seconds:.1f} s' for seconds in times) or 'no call was there'}")
    sys.stdout.flush()
    return [_GoneOn(victim, seconds) for seconds in times]


def _print_measured(watched: Watched, lines: Lines, gone_on: list[_GoneOn]) -> None:
    seen = watched.seen
    sys.stdout.write(
        f"\n{KILLS} kills, seed {SEED}, {CALLS} calls at once, a second of audio every {PACE_SECONDS:.1f} s: "
        f"{sum(line.calls for line in lines.lines)} calls, {sum(map(len, seen.persisted.values()))} fragments, "
        f"{len(seen.told)} events, {len(seen.deleted)} voices deleted; nothing lost or doubled\n"
    )
    for victim in sorted({one.victim for one in gone_on}):
        times = sorted(one.seconds for one in gone_on if one.victim == victim)
        sys.stdout.write(
            f"calls were told PERSISTED again after a kill of {victim}: median {statistics.median(times):.1f} s, "
            f"at most {times[-1]:.1f} s, of {len(times)}\n"
        )
