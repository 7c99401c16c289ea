"""Whether records, files of entries and checkpoints fit together, and if not, where it begins.

Each chain is walked from its beginning, a page at a time: every number has to follow, every digest has to be that of
its entry and the one before, and where a checkpoint knows a digest, the entry has to have it. A chain that ends before
its newest checkpoint has lost its tail.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import pairwise

from earwitness.audit.checkpoints import AuditCheckpoint, ReadCheckpoint
from earwitness.audit.cuts import cut_of
from earwitness.audit.entry_files import AuditProblem, ReadFile, read_file
from earwitness.audit.places import AuditFile, fetched_ahead
from earwitness.errors import SignatureInvalid
from earwitness.progress import Progress
from earwitness.store.audit_chain import digest_after, entry_document, genesis
from earwitness.store.audit_records import AuditChain, AuditEntry
from earwitness.store.store import Store
from earwitness.vault.signing import PublicKey

_PAGE = 1_000
_PROBLEMS_MAX = 100
_RECORDS = "the records"

ReadEntries = Callable[[str, int, int], Sequence[AuditEntry]]
"""Entries of a chain behind a number, so many at most."""


@dataclass(kw_only=True)
class AuditVerdict:
    """What was looked at, and everything that is not as it was written, the worst of each chain first."""

    entries: int = 0
    chains: int = 0
    files: int = 0
    checkpoints: int = 0
    #: The newest checkpoint that fits.
    newest_checkpoint: datetime | None = None
    #: Entries behind the newest checkpoint of their chain: nothing outside of the records knows them.
    after_checkpoints: int = 0
    #: Entries that have no place in a chain yet.
    unsealed: int = 0
    #: Entries from before there were chains: nothing shows whether they are as they were.
    without_a_chain: int = 0
    problems: list[AuditProblem] = field(default_factory=list[AuditProblem])
    remarks: list[str] = field(default_factory=list[str])

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems

    @property
    def has_enough(self) -> bool:
        """Return whether so much is wrong that no more is remembered."""
        return len(self.problems) >= _PROBLEMS_MAX

    def found(self, says: str, *, where: str = _RECORDS, node: str | None = None, number: int | None = None) -> None:
        """Remember that something is wrong; the first hundred are enough."""
        self.add([AuditProblem(where=where, says=says, node=node, number=number)])

    def add(self, problems: Sequence[AuditProblem]) -> None:
        """Remember these as well, as `found` does."""
        self.problems += problems[: _PROBLEMS_MAX - len(self.problems)]


class Known:
    """What checkpoints say, by chain and number."""

    def __init__(self, read: Iterable[ReadCheckpoint], verdict: AuditVerdict) -> None:
        """Those that cannot be believed are problems of the verdict."""
        self.of: dict[str, dict[int, AuditCheckpoint]] = {}
        for one in read:
            if one.checkpoint is not None:
                verdict.checkpoints += 1
                self._add(one.checkpoint, one.where, verdict)
            elif one.is_unfinished:
                verdict.remarks.append(f"{one.where} has no end, as after a kill, and was left out")
            else:
                verdict.found(f"the checkpoint cannot be believed: {one.refusal}", where=one.where)

    def _add(self, checkpoint: AuditCheckpoint, where: str, verdict: AuditVerdict) -> None:
        known = self.of.setdefault(checkpoint.node, {})
        before = known.setdefault(checkpoint.number, checkpoint)
        if before.digest != checkpoint.digest:
            verdict.found(
                f"two checkpoints of entry {checkpoint.number} do not agree: the chain was made anew between them, "
                "or the records were restored from a backup",
                where=where,
                node=checkpoint.node,
                number=checkpoint.number,
            )

    def has(self, node: str, number: int) -> bool:
        """Return whether a checkpoint knows the digest of this entry."""
        return number in self.of.get(node, ())

    def compare(self, node: str, number: int, digest: bytes, where: str, verdict: AuditVerdict) -> None:
        """Look whether an entry has the digest that a checkpoint knows."""
        checkpoint = self.of.get(node, {}).get(number)
        if checkpoint is None:
            return
        if checkpoint.digest == digest:
            if verdict.newest_checkpoint is None or checkpoint.time > verdict.newest_checkpoint:
                verdict.newest_checkpoint = checkpoint.time
            return
        if verdict.has_enough:
            return  # to look for the last one that fits takes long in a chain of which nothing does
        good = max((one for one in self.of[node] if one < number), default=0)
        verdict.found(
            f"the chain was made anew: entry {number} is not the one that was signed at "
            f"{checkpoint.time:%Y-%m-%d %H:%M} UTC; an entry from {good + 1} to {number} was changed, removed or added",
            where=where,
            node=node,
            number=good + 1,
        )


def verify_files(
    paths: Sequence[AuditFile], checkpoints: Iterable[ReadCheckpoint], key: PublicKey, progress: Progress
) -> AuditVerdict:
    """Check files and checkpoints by themselves, without any records. Raise AuditPlaceUnavailable."""
    verdict = AuditVerdict()
    known = Known(checkpoints, verdict)
    for node, files in _by_chain(_read_files(paths, known, key, verdict, progress)).items():
        _follow_each_other(node, files, verdict)
    return verdict


def verify_records(
    store: Store,
    paths: Sequence[AuditFile],
    checkpoints: Iterable[ReadCheckpoint],
    key: PublicKey,
    progress: Progress,
) -> AuditVerdict:
    """Check the records, with files of what was taken off them, and checkpoints. Raise StoreUnavailable.

    Checkpoints are to be read before: what is written meanwhile lies behind them.
    """
    verdict = AuditVerdict(without_a_chain=store.audit.count_without_a_chain())
    known = Known(checkpoints, verdict)
    files = _by_chain(_read_files(paths, known, key, verdict, progress))
    chains = store.audit.chains()
    for chain in chains:
        start = _beginning(chain, key, verdict)
        _fit_to_files(chain, files.get(chain.node, []), verdict)
        _Walk(chain, start, known, verdict, partial(progress, f"chain {chain.node or 'of the records'}")).walk(
            lambda node, after, limit: store.audit.chained(node, after=after, limit=limit)
        )
    for node in known.of.keys() - {chain.node for chain in chains}:
        verdict.found(f"the chain of {_whose(node)} is missing, and a checkpoint knows it", node=node, number=1)
    verdict.chains = len(chains)
    verdict.unsealed = len(store.audit.unsealed(limit=_PAGE))
    return verdict


def _whose(node: str) -> str:
    return f"node {node}" if node else "the records themselves"


def _read_files(
    paths: Sequence[AuditFile], known: Known, key: PublicKey, verdict: AuditVerdict, progress: Progress
) -> list[ReadFile]:
    found: list[ReadFile] = []
    for number, (path, content) in enumerate(fetched_ahead(paths), start=1):
        read = read_file(path, key, content=content, wanted=known.has)
        verdict.files += 1
        verdict.entries += read.entries
        verdict.add(read.problems)
        for (node, entry), digest in read.digests.items():
            known.compare(node, entry, digest, str(path), verdict)
        found.append(read)
        progress("files", number, len(paths))
    return found


def _by_chain(files: Sequence[ReadFile]) -> Mapping[str, list[ReadFile]]:
    """Return the files of entries that were taken off the records, by chain and in their order."""
    chains: dict[str, list[ReadFile]] = {}
    for one in files:
        if one.node is not None and one.first is not None and one.last is not None:
            chains.setdefault(one.node, []).append(one)
    for those in chains.values():
        those.sort(key=lambda one: one.first or 0)
    return chains


def _follow_each_other(node: str, files: Sequence[ReadFile], verdict: AuditVerdict) -> None:
    """Look whether each file of a chain goes on where the one before ends."""
    for one, following in pairwise(files):
        if following.first != (one.last or 0) + 1:
            verdict.found(
                f"the file with entry {(one.last or 0) + 1} of {_whose(node)} is missing",
                where=str(following.path),
                node=node,
                number=(one.last or 0) + 1,
            )
        elif following.before != one.last_digest:
            verdict.found(
                f"the file does not go on from entry {one.last}, which ends {one.path}",
                where=str(following.path),
                node=node,
                number=following.first,
            )


def _fit_to_files(chain: AuditChain, files: Sequence[ReadFile], verdict: AuditVerdict) -> None:
    """Look whether the files that were given lead to where the records begin."""
    _follow_each_other(chain.node, files, verdict)
    if files and files[-1].last == chain.start_number and files[-1].last_digest != chain.start_digest.hex():
        verdict.found(
            f"the records do not go on from entry {chain.start_number}, which ends {files[-1].path}",
            node=chain.node,
            number=chain.start_number + 1,
        )


def _beginning(chain: AuditChain, key: PublicKey, verdict: AuditVerdict) -> bytes:
    """Return the digest that a chain's first entry follows; look whether it may begin there."""
    if chain.start_number == 0:
        if chain.start_digest != genesis(chain.node, before=chain.before):
            verdict.found("the beginning of the chain was changed", node=chain.node, number=1)
        return chain.start_digest
    try:
        cut = cut_of(chain.cut or "", key)
    except SignatureInvalid as error:
        cut, reason = None, f": {error}"
    else:
        reason = ""
    if cut is None or (cut.node, cut.number, cut.digest) != (chain.node, chain.start_number, chain.start_digest):
        verdict.found(
            f"the entries up to {chain.start_number} are missing, and no signed statement says that they had expired"
            + reason,
            node=chain.node,
            number=1,
        )
    return chain.start_digest


class _Walk:
    """The walk along one chain of the records."""

    def __init__(
        self, chain: AuditChain, start: bytes, known: Known, verdict: AuditVerdict, progress: Callable[[int, int], None]
    ) -> None:
        self._node, self._number, self._digest = chain.node, chain.start_number, start
        self._first, self._known, self._verdict, self._progress = chain.start_number, known, verdict, progress

    def walk(self, read: ReadEntries) -> None:
        """Look at every entry, and whether the end is where checkpoints say."""
        known = self._known.of.get(self._node, {})
        last = max(known, default=0)
        self._known.compare(self._node, self._number, self._digest, _RECORDS, self._verdict)
        while True:
            page = read(self._node, self._number, _PAGE)
            for entry in page:
                self._look(entry)
            self._progress(self._number - self._first, max(last, self._number) - self._first)
            if len(page) < _PAGE:
                break
        covered = max((one for one in known if one <= self._number), default=self._first)
        self._verdict.after_checkpoints += max(0, self._number - covered)
        if last > self._number:
            self._verdict.found(
                f"entries {self._number + 1} to {last} are missing at the end: there were {last} at "
                f"{known[last].time:%Y-%m-%d %H:%M} UTC, which a checkpoint shows",
                node=self._node,
                number=self._number + 1,
            )

    def _look(self, entry: AuditEntry) -> None:
        number, expected, previous = entry.number or 0, self._number + 1, self._digest
        self._verdict.entries += 1
        if number == self._number:
            self._found(f"entry {number} is there twice", number)
            return
        if number > expected:
            missing = f"entry {expected} is" if number == expected + 1 else f"entries {expected} to {number - 1} are"
            self._found(f"{missing} missing", expected)
        elif entry.digest != _digest_of(entry, previous):
            self._found(f"entry {number} was changed, or put in another place", number)
        self._number, self._digest = number, entry.digest or b""
        self._known.compare(self._node, number, self._digest, _RECORDS, self._verdict)

    def _found(self, says: str, number: int) -> None:
        self._verdict.found(f"{says} (chain of {_whose(self._node)})", node=self._node, number=number)


def _digest_of(entry: AuditEntry, previous: bytes) -> bytes | None:
    """Return the digest that an entry should have; None for one that cannot have any."""
    try:
        return digest_after(previous, entry_document(entry))
    except ValueError:
        return None
