"""What keeps the trail: entries get their places, chains their checkpoints, and what has expired is taken off.

Each node does this for its own chain; the one that keeps the house also for what no node wrote, and for nodes that do
not serve any more. What is done here may be done twice, or by two at once: the records see to the order.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from earwitness.access.caller import arn_of
from earwitness.audit.checkpoints import AuditCheckpoint, checkpoint_line
from earwitness.audit.cuts import AuditCut, signed_cut
from earwitness.audit.entry_files import file_lines
from earwitness.audit.places import AuditPlace
from earwitness.errors import CiphertextRefused
from earwitness.store.audit_records import SERVICE, AuditEntry
from earwitness.store.pages import all_records
from earwitness.store.records import Scope
from earwitness.store.store import Store, Unit

AUDIT_KEPT = timedelta(days=365)
"""How long entries stay in the records."""

_SEALED_AT_ONCE, _CUT_AT_ONCE = 500, 2_000
_WAITS = timedelta(days=1)
"""How long entries that have expired wait for more of them: a file for every ten minutes would be many."""

_SAID_AGAIN = timedelta(hours=1)
"""A chain that has not grown gets a checkpoint so often, which says that it has not."""

KEY_USE = "UseDataKey"
"""The operation of an entry that says that a process opened a domain's data key."""


class AuditKeeping:
    """The keeping of one process. Its methods may wait, and raise StoreUnavailable and AuditPlaceUnavailable."""

    def __init__(self, store: Store, place: AuditPlace, *, keeps_expired: bool) -> None:
        """`keeps_expired`: entries that have expired are kept in files of the place."""
        self._store, self._place, self._keeps_expired = store, place, keeps_expired
        self._said: dict[str, tuple[int, datetime]] = {}

    def seal(self, chains: Sequence[str]) -> int:
        """Give entries of these chains that have no place theirs; return how many there were."""
        total = 0
        for node in chains:
            while count := self._store.write(lambda unit, node=node: unit.audit.seal(node, limit=_SEALED_AT_ONCE)):
                total += count
                if count < _SEALED_AT_ONCE:
                    break
        return total

    def own_chain(self) -> str:
        """Return the chain that this process writes."""
        return self._store.node_id or ""

    def kept_chains(self, now: datetime) -> list[str]:
        """Return the chains that this process looks after."""
        own = self.own_chain()
        if not self._store.keeps_house():
            return [own]
        serving = {one.node_id for one in all_records(self._store.nodes.list) if one.alive_until > now}
        known = {chain.node for chain in self._store.audit.chains()}
        waiting = {entry.node or "" for entry in self._store.audit.unsealed(limit=_SEALED_AT_ONCE)}
        return [own, *sorted((known | waiting | {""}) - serving - {own})]

    def checkpoint(self, now: datetime) -> int:
        """Write a checkpoint of each chain that has grown, or has not for an hour; return how many."""
        count, chains = 0, self.kept_chains(now)
        self.seal(chains)
        for node in chains:
            head = self._store.audit.head(node)
            if head is None:
                continue
            said = self._said.get(node)
            if said is not None and said[0] == head[0] and now - said[1] < _SAID_AGAIN:
                continue
            checkpoint = AuditCheckpoint(node=node, number=head[0], digest=head[1], time=now)
            self._place.add_checkpoint(node, checkpoint_line(checkpoint, self._store.signer()), now=now)
            self._said[node] = head[0], now
            count += 1
        return count

    def write_key_uses(self, *, begins_hour: bool) -> int:
        """Write which domains' data keys were used since the last call, each once an hour; return how many."""

        def tell(used: Sequence[tuple[Scope, str]]) -> None:
            self._store.write(lambda unit: _append_key_uses(unit, used))

        return self._store.tell_key_uses(tell, begins_anew=begins_hour)

    def expire(self, now: datetime, *, kept: timedelta = AUDIT_KEPT) -> int:
        """Take off what is older, from each chain's beginning on; return how many entries there were.

        A few wait for more, a day at most.
        """
        if not self._store.keeps_house():
            return 0
        total = 0
        for chain in self._store.audit.chains():
            while count := self._cut(chain.node, now - kept, now):
                total += count
        self._place.thin(now=now)
        return total

    def _cut(self, node: str, older_than: datetime, now: datetime) -> int:
        """Take off one file's worth; 0 where nothing has expired."""
        chain = next(one for one in self._store.audit.chains() if one.node == node)
        first = self._store.audit.chained(node, after=chain.start_number, limit=1)
        if not first or first[0].time >= older_than:
            return 0
        page = self._store.audit.chained(node, after=chain.start_number, limit=_CUT_AT_ONCE)
        old = list(takewhile(lambda entry: entry.time < older_than, page))
        if len(old) < _CUT_AT_ONCE and old[0].time >= older_than - _WAITS:
            return 0
        last = old[-1]
        if last.number is None or last.digest is None:
            raise CiphertextRefused("an entry of a chain has no digest; `earwitness audit verify` tells where")
        number, digest, signer = last.number, last.digest, self._store.signer()
        if self._keeps_expired:
            summary = {"node": node, "first": chain.start_number + 1, "last": number}
            lines = file_lines(_with_previous(old, chain.start_digest), signer, now=now, summary=summary)
            self._place.put_entries(node, first=chain.start_number + 1, last=number, lines=lines)
        statement = signed_cut(
            AuditCut(node=node, number=number, digest=digest), signer, older_than=older_than, now=now
        )

        def work(unit: Unit) -> int:
            unit.use_reserve()
            return unit.audit.cut(node, number=number, digest=digest, statement=statement)

        return self._store.write(work)


def _with_previous(entries: Sequence[AuditEntry], start: bytes) -> Iterator[tuple[AuditEntry, bytes]]:
    previous = start
    for entry in entries:
        yield entry, previous
        previous = entry.digest or b""


def _append_key_uses(unit: Unit, used: Sequence[tuple[Scope, str]]) -> None:
    for scope, domain_id in used:
        arn = arn_of(scope, "chime", f"voice-profile-domain/{domain_id}")
        unit.audit.append(scope, key_id=SERVICE, operation=KEY_USE, resource_arn=arn, outcome="done", request_id="")
