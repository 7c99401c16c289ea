"""What must be true of several nodes' records and media whatever happened to them, judged by what their clients saw.

`broken` reads the whole database and the media of every living node, and returns a sentence for each thing that is not
as it must be. Nothing may be under way any more: calls have ended, and what was down is up again, or stays dead.
"""

import asyncio
import itertools
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from local_cluster import MASTER_KEY
from psycopg import sql
from psycopg.rows import dict_row

from earwitness.audio.matroska.get_media import ConsumedFragment, GetMediaReader
from earwitness.fragments.interface import LIST_LENGTH_MAX, TimeAxis
from earwitness.fragments.numbers import last_of_sequence, read_number
from earwitness.nodes.homed_stream import LIST
from earwitness.nodes.peers import Peers
from earwitness.store.node_records import Node
from earwitness.store.records import DeliveryState, OutboxEvent, Scope
from earwitness.store.store import Store, open_store
from earwitness.tasks.replay import LACKS, LOST
from earwitness.vault.master_key import master_key_from_text
from earwitness.vault.vault import Vault
from earwitness.vault.wrapping import MasterKeyWrapper

Row = dict[str, Any]

_FIND = sql.SQL("SELECT 1 FROM {} WHERE {} = %s")
_DAY = timedelta(days=1)
_AT_ONCE = 1_000  # of GetMediaForFragmentList


@dataclass
class Seen:
    """What clients of a cluster saw. Several threads may write to it. Moments are of one monotonic clock."""

    #: By stream: fragments that were told PERSISTED, in the order in which they were.
    persisted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: Table, column of the id, and id of what an answered request made and nobody deleted.
    written: set[tuple[str, str, str]] = field(default_factory=set)
    #: By task that heard a whole call: what its identification must have come to.
    ends: dict[str, str] = field(default_factory=dict)
    #: By task: when the request began that started it.
    begun: dict[str, float] = field(default_factory=dict)
    #: Bodies that the webhook got, by the id in their header, in the order in which they came.
    told: list[tuple[str, bytes]] = field(default_factory=list)
    #: By profile: when its deletion was answered.
    deleted: dict[str, float] = field(default_factory=dict)
    #: When a search with a recording began, and the profiles in its answer.
    searches: list[tuple[float, frozenset[str]]] = field(default_factory=list)


@contextmanager
def records_of(store_url: str) -> Iterator[Store]:
    """Open the records as a command does, which is no node."""
    vault = Vault(MasterKeyWrapper(master_key_from_text(MASTER_KEY)))
    with closing(open_store(store_url, vault=vault, clock=lambda: datetime.now(UTC))) as store:
        yield store


def broken(store_url: str, urls: Mapping[str, str], seen: Seen) -> list[str]:
    """Return what is broken. `urls` says where clients reach the nodes that live, by node id."""
    with records_of(store_url) as store, psycopg.connect(store_url) as connection:

        def rows(query: str) -> list[Row]:
            with connection.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(query.encode()).fetchall()

        tables = _Tables(
            nodes={row["node_id"]: row for row in rows("SELECT * FROM nodes")},
            streams={row["arn"]: row for row in rows("SELECT * FROM kinesis_streams")},
            extents=rows("SELECT * FROM stream_extents ORDER BY stream_arn, epoch"),
            tasks={row["task_id"]: row for row in rows("SELECT * FROM speaker_search_tasks")},
        )
        written = [
            f"{table} {name}: was answered, and is not in the records"
            for table, column, name in sorted(seen.written)
            if not connection.execute(_FIND.format(sql.Identifier(table), sql.Identifier(column)), [name]).fetchall()
        ]
        left = [
            f"{row['profile_id']}: its deletion was answered, and {row['place']} still has it"
            for row in rows(
                "SELECT profile_id, 'voice_profiles' AS place FROM voice_profiles UNION "
                "SELECT profile_id, 'profile_voiceprints' FROM profile_voiceprints"
            )
            if row["profile_id"] in seen.deleted
        ]
        media = asyncio.run(_broken_media(store, tables, urls, seen))
        # Pipelines of calls that are over go on ending, and tell of it: what was told by now is in the records already.
        told = {event_id for event_id, _ in seen.told}
        events = _all_events(store, tables)
        return [
            *_broken_homes(tables),
            *media,
            *written,
            *_broken_tasks(tables, seen),
            *_broken_events(events, seen),
            *_unknown_events(events, seen, told),
            *left,
            *_found_after_deletion(seen),
        ]


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """Rows as they lie."""

    nodes: dict[str, Row]
    streams: dict[str, Row]
    extents: list[Row]
    tasks: dict[str, Row]

    def extents_of(self, arn: str) -> list[Row]:
        return [row for row in self.extents if row["stream_arn"] == arn]

    def lives(self, node_id: str) -> bool:
        return node_id in self.nodes and self.nodes[node_id]["dead_at"] is None


def _scope(row: Row) -> Scope:
    return Scope(account_id=row["account_id"], region=row["region"])


def _named(arn: str) -> str:
    return arn.split("/")[1]


def _broken_homes(tables: _Tables) -> Iterator[str]:
    for arn, stream in tables.streams.items():
        extents, name = tables.extents_of(arn), f"stream {_named(arn)}"
        if not extents:
            if stream["home_epoch"]:
                yield f"{name}: it has a home, and no part of it lies anywhere"
            continue
        last = extents[-1]
        if (last["epoch"], last["node_id"]) != (stream["home_epoch"], stream["home_node"]):
            yield f"{name}: its home is another node than the one that has its last part"
        for before, after in itertools.pairwise(extents):
            if before["first_sequence"] >= after["first_sequence"]:
                yield f"{name}: the parts of epochs {before['epoch']} and {after['epoch']} overlap"
        if last["first_sequence"] >= stream["sequence_end"]:
            yield f"{name}: sequences of its last part may be given out again"


async def _broken_media(store: Store, tables: _Tables, urls: Mapping[str, str], seen: Seen) -> list[str]:
    """Compare what each living node has with what it may have, and with what was acknowledged."""
    found: list[str] = []
    peers = Peers(store.token_key, now=time.time, new_nonce=lambda: secrets.token_hex(16))
    try:
        for arn, stream in tables.streams.items():
            extents, kept = tables.extents_of(arn), dict[str, list[str]]()
            for node_id in {row["node_id"] for row in extents if tables.lives(row["node_id"])}:
                node = store.nodes.get(node_id)
                assert node is not None
                kept[node_id] = await _kept(peers, node, stream)
            found += _misplaced(_named(arn), extents, kept)
            found += _broken_acknowledgements(arn, tables, kept, seen.persisted.get(arn, []))
    finally:
        await peers.close()
    found += _unread(tables, urls, seen)
    return found


async def _kept(peers: Peers, node: Node, stream: Row) -> list[str]:
    """Return the numbers of all that a node has of a stream, also of what lies outside its parts."""
    found: list[str] = []
    now = datetime.now(UTC)
    asked = {
        "account": stream["account_id"],
        "region": stream["region"],
        "arn": stream["arn"],
        "axis": TimeAxis.SERVER.value,
        "start": (now - _DAY).isoformat(),
        "end": (now + _DAY).isoformat(),
        "limit": LIST_LENGTH_MAX,
    }
    while True:
        page = await peers.ask(node, LIST, {**asked, "after": found[-1] if found else last_of_sequence(0)})
        found += [head["number"] for head in page]
        if len(page) < LIST_LENGTH_MAX:
            return found


def _part_of(extents: Sequence[Row], number: str) -> Row | None:
    sequence = read_number(number).sequence
    return next((row for row in reversed(extents) if row["first_sequence"] <= sequence), None)


def _misplaced(name: str, extents: Sequence[Row], kept: Mapping[str, Sequence[str]]) -> Iterator[str]:
    homes = defaultdict[int, list[str]](list)
    for node_id, numbers in kept.items():
        for number in numbers:
            homes[read_number(number).sequence].append(node_id)
            part = _part_of(extents, number)
            if part is None or part["node_id"] != node_id:
                yield f"stream {name}: node {node_id} has fragment {number}, which belongs to another node's part"
    for sequence, nodes in homes.items():
        if len(nodes) > 1:
            yield f"stream {name}: sequence {sequence} was given out {len(nodes)} times, at {', '.join(nodes)}"


def _broken_acknowledgements(
    arn: str, tables: _Tables, kept: Mapping[str, Sequence[str]], persisted: Sequence[str]
) -> Iterator[str]:
    name, extents = f"stream {_named(arn)}", tables.extents_of(arn)
    for before, after in itertools.pairwise(persisted):
        if before >= after:
            yield f"{name}: fragment {after} was acknowledged after {before}, and has no greater number"
    have = {node_id: set(numbers) for node_id, numbers in kept.items()}
    for number in persisted:
        part = _part_of(extents, number)
        if part is None:
            yield f"{name}: fragment {number} was acknowledged, and lies in no part"
        elif read_number(number).sequence >= tables.streams[arn]["sequence_end"]:
            yield f"{name}: fragment {number} was acknowledged, and its sequence was never given out"
        elif part["node_id"] in have and number not in have[part["node_id"]]:
            yield f"{name}: fragment {number} was acknowledged, and node {part['node_id']}, which lives, has it not"


def _unread(tables: _Tables, urls: Mapping[str, str], seen: Seen) -> Iterator[str]:
    """Read what was acknowledged as a client does: the list at every node, the media at one after the other."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    clients = {
        node_id: session.client("kinesis-video-archived-media", endpoint_url=url)
        for node_id, url in sorted(urls.items())
    }
    turn = itertools.cycle(clients.values())
    for arn, persisted in seen.persisted.items():
        extents = tables.extents_of(arn) if arn in tables.streams else []
        if not extents:
            yield f"stream {_named(arn)}: fragments were acknowledged, and the records know of none"
            continue
        wanted = [one for one in persisted if (part := _part_of(extents, one)) and tables.lives(part["node_id"])]
        for node_id, client in clients.items():
            if lost := sorted(set(wanted) - _listed(client, arn)):
                yield f"stream {_named(arn)}: node {node_id} does not list {len(lost)} fragments, the first {lost[0]}"
        client = next(turn)
        read = {one for at in range(0, len(wanted), _AT_ONCE) for one in _read(client, arn, wanted[at : at + _AT_ONCE])}
        if lost := sorted(set(wanted) - read):
            where = client.meta.endpoint_url
            yield f"stream {_named(arn)}: {len(lost)} fragments cannot be read at {where}, the first {lost[0]}"
    for client in clients.values():
        client.close()


def _listed(client: Any, arn: str) -> set[str]:
    now = datetime.now(UTC)
    times = {"StartTimestamp": now - _DAY, "EndTimestamp": now + _DAY}
    selector = {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": times}
    try:
        pages = client.get_paginator("list_fragments").paginate(StreamARN=arn, FragmentSelector=selector)
        return {fragment["FragmentNumber"] for page in pages for fragment in page["Fragments"]}
    except (BotoCoreError, ClientError):
        return set()


def _read(client: Any, arn: str, numbers: Sequence[str]) -> set[str]:
    """Return which of these can be read; a request that names one which cannot is refused, and is asked in halves."""
    reader = GetMediaReader()
    if not numbers:
        return set()
    try:
        payload = client.get_media_for_fragment_list(StreamARN=arn, Fragments=list(numbers))["Payload"]
        events = [*itertools.chain.from_iterable(map(reader.feed, payload.iter_chunks(65_536))), *reader.close()]
    except (BotoCoreError, ClientError):
        half = len(numbers) // 2
        return _read(client, arn, numbers[:half]) | _read(client, arn, numbers[half:]) if half else set()
    return {one.number for one in events if isinstance(one, ConsumedFragment) and one.cluster}


def _broken_tasks(tables: _Tables, seen: Seen) -> Iterator[str]:
    """Each task has ended, told one thing of who speaks and one of the voiceprint, and what it should have."""
    told = defaultdict[str, dict[str, Any]](dict)
    for event_id, body in seen.told:
        detail = json.loads(body)["detail"]
        told[detail.get("taskId", "")][event_id] = detail
    for task_id, task in tables.tasks.items():
        if task["ended_at"] is None:
            where = "lives" if tables.lives(task["node_id"]) else "is dead"
            yield f"task {task_id}: is {task['status']} still, at node {task['node_id']}, which {where}"
        elif task_id in seen.ends and (why := _wrong_end(task, [*told[task_id].values()], seen.ends[task_id])):
            yield f"task {task_id}: {why}"


def _wrong_end(task: Row, details: Sequence[Row], expected: str) -> str | None:
    statuses = sorted(detail["detailStatus"] for detail in details)
    identified = [status for status in statuses if status.startswith("Identification")]
    if task["status"] != "Stopped" or len(statuses) != 2 or len(identified) != 1:
        return f"is {task['status']}, and told {', '.join(statuses) or 'nothing'}"
    if statuses == [expected, "VoiceprintGenerationSuccess"]:
        return None
    says = "; ".join(filter(None, [task["status_message"], *(detail.get("statusMessage") for detail in details)]))
    audio_was_away = (LOST in says or LACKS in says) and identified[0] in (expected, "IdentificationFailure")
    return None if audio_was_away else f"told {statuses}, and not {expected} and a voiceprint; it says {says!r}"


def _all_events(store: Store, tables: _Tables) -> list[OutboxEvent]:
    found: list[OutboxEvent] = []
    for scope in {_scope(row) for row in (*tables.streams.values(), *tables.tasks.values())}:
        last = 0
        while page := store.events.following(scope, sequence=last, limit=500):
            found += page
            last = page[-1].sequence
    return found


def _broken_events(events: Sequence[OutboxEvent], seen: Seen) -> Iterator[str]:
    bodies: dict[str, bytes] = {}
    for event_id, body in seen.told:
        if bodies.setdefault(event_id, body) != body:
            yield f"event {event_id}: was told with two bodies"
        if json.loads(body)["id"] != event_id:
            yield f"event {event_id}: has another id in its body"
    for event in events:
        if event.body is None:
            yield f"event {event.event_id}: cannot be opened"
        elif event.event_id not in bodies:
            states = ", ".join(f"{one.target} {one.state}" for one in event.deliveries)
            yield f"event {event.event_id}: was told by no-one ({states})"
        elif bodies[event.event_id] != event.body:
            yield f"event {event.event_id}: was told with another body than it has"
        for one in event.deliveries:
            if one.state is not DeliveryState.DELIVERED:
                yield f"event {event.event_id}: is {one.state} for {one.target}"
    places = {event.event_id: (event.pipeline_id, event.sequence) for event in events}
    latest: dict[str, int] = {}
    for event_id in bodies:  # in the order in which each came for the first time
        pipeline_id, sequence = places.get(event_id, ("", 0))
        if latest.get(pipeline_id, 0) > sequence > 0:
            yield f"event {event_id}: was told for the first time after a later one of its pipeline"
        latest[pipeline_id] = max(latest.get(pipeline_id, 0), sequence)


def _unknown_events(events: Sequence[OutboxEvent], seen: Seen, told: Set[str]) -> Iterator[str]:
    """Name events that were `told` before the records were read, and that are not in them."""
    known = {event.event_id for event in events}
    for event_id, body in seen.told:
        if event_id in told and event_id not in known:
            kind = json.loads(body)["detail"].get("detailStatus", "an event of another kind")
            yield f"event {event_id}: was told, and the records do not know it ({kind})"


def _found_after_deletion(seen: Seen) -> Iterator[str]:
    for began, profiles in seen.searches:
        for profile in profiles:
            if seen.deleted.get(profile, began) < began:
                yield f"{profile}: was found by a search that began after its deletion was answered"
    for _, body in seen.told:
        detail = json.loads(body)["detail"]
        began = seen.begun.get(detail.get("taskId", ""))
        for result in detail.get("speakerSearchDetails", {}).get("results", ()):
            profile = result["voiceProfileId"]
            if began is not None and seen.deleted.get(profile, began) < began:
                yield f"{profile}: was found by a task that began after its deletion was answered"
