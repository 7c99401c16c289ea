"""Entries of the records in one signed file: all of them, or those that a filter wants."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from earwitness.audit.entry_files import file_lines
from earwitness.audit.folder import write_whole
from earwitness.progress import Progress
from earwitness.store.audit_records import AuditEntry, AuditFilter
from earwitness.store.columns import to_microseconds
from earwitness.store.store import Store

_PAGE = 1_000


def export_entries(store: Store, path: Path, wanted: AuditFilter, *, now: datetime, progress: Progress) -> int:
    """Write the entries chain by chain, in the order of each; return how many. Those without a chain come first.

    What is written meanwhile may be left out. Raise StoreUnavailable and AuditPlaceUnavailable.
    """
    count, total = 0, store.audit.count(wanted)

    def told() -> Iterator[tuple[AuditEntry, bytes | None]]:
        nonlocal count
        for one in _all(store, wanted):
            count += 1
            yield one
            if count % _PAGE == 0:
                progress("entries", count, max(count, total))

    said = {name: value for name, value in asdict(wanted).items() if value is not None}
    plain = {name: to_microseconds(value) if isinstance(value, datetime) else value for name, value in said.items()}
    write_whole(path, file_lines(told(), store.signer(), now=now, summary={"filter": plain}))
    progress("entries", count, count)
    return count


def _all(store: Store, wanted: AuditFilter) -> Iterator[tuple[AuditEntry, bytes | None]]:
    after = 0
    while page := store.audit.without_a_chain(wanted, after=after, limit=_PAGE):
        yield from ((entry, None) for entry in page)
        after = page[-1].entry_id
    for chain in store.audit.chains():
        after, last = chain.start_number, (chain.start_number, chain.start_digest)
        while page := store.audit.chained(chain.node, after=after, limit=_PAGE, wanted=replace(wanted, node=None)):
            numbers = [entry.number or 0 for entry in page]
            missing = [number - 1 for number in numbers]
            digests = {**store.audit.digests(chain.node, missing), last[0]: last[1]}
            for entry, number in zip(page, numbers, strict=True):
                yield entry, digests.get(number - 1)
            after, last = numbers[-1], (numbers[-1], page[-1].digest or b"")
