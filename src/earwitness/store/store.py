"""The store: reads at once, changes as units of work that happen entirely or not at all."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from sqlalchemy import URL, make_url, select
from sqlalchemy.exc import ArgumentError

from earwitness.errors import ConfigurationError, EarwitnessError, KeyServiceUnavailable, StoreBusy
from earwitness.progress import Progress
from earwitness.store import migrate
from earwitness.store.attempts import AttemptWriter
from earwitness.store.audit import AuditReader, AuditWriter
from earwitness.store.backups import BackupReader, BackupWriter
from earwitness.store.calibrations import CalibrationReader, CalibrationWriter
from earwitness.store.connector_calls import ConnectorCallReader, ConnectorCallWriter
from earwitness.store.connectors import ConnectorReader, ConnectorWriter
from earwitness.store.consents import ConsentReader, ConsentWriter, subject_digest
from earwitness.store.console_sessions import EndedSessionReader, EndedSessionWriter
from earwitness.store.counts import CountReader
from earwitness.store.credentials import (
    AccessKeyReader,
    AccessKeyWriter,
    BearerTokenReader,
    BearerTokenWriter,
    CredentialReader,
)
from earwitness.store.deletions import DeletionReader, DeletionWriter, identity_digest
from earwitness.store.domains import DomainReader, DomainWriter
from earwitness.store.driver_errors import translating_errors
from earwitness.store.exports import ExportReader, ExportWriter
from earwitness.store.homes import HomeReader, HomeWriter
from earwitness.store.jobs import JobReader, JobWriter
from earwitness.store.labels import LabelReader, LabelWriter
from earwitness.store.leading import NodeLeading
from earwitness.store.lines import LineReader, LineWriter
from earwitness.store.master_key_schema import vault_checks
from earwitness.store.master_keys import MasterKeys, RecordsCheck, kept_identity, kept_key, opened_check
from earwitness.store.measured import MeasuredReads, StoreMeter
from earwitness.store.nodes import NodeReader, NodeWriter
from earwitness.store.outbox import DeliveryWriter, EventReader, EventWriter
from earwitness.store.pipelines import ConfigurationReader, ConfigurationWriter, PipelineReader, PipelineWriter
from earwitness.store.postgres import Postgres
from earwitness.store.profile_voiceprints import ProfileVoiceprintReader, ProfileVoiceprintWriter
from earwitness.store.profiles import ProfileReader, ProfileWriter
from earwitness.store.records import KinesisStream, Scope, VoiceProfileDomain
from earwitness.store.redoing import RedoingReader, RedoingWriter
from earwitness.store.reembedding import ReembeddingReader, ReembeddingWriter
from earwitness.store.repeats import RepeatReader, RepeatWriter
from earwitness.store.repository import key_owner
from earwitness.store.request_records import IdempotencyWriter
from earwitness.store.retention import RetentionReader, RetentionWriter
from earwitness.store.rotation import Rotation, audit, data_keys_that_open, note_source
from earwitness.store.schema import domains
from earwitness.store.session import ConnectionSession, Writing
from earwitness.store.sqlite import Sqlite, is_empty
from earwitness.store.streams import StreamReader, StreamWriter, stream_owner
from earwitness.store.subjects import SubjectReader
from earwitness.store.summaries import SummaryReader, SummaryWriter
from earwitness.store.tags import TagReader, TagWriter
from earwitness.store.task_marks import TaskMarkReader
from earwitness.store.tasks import TaskReader, TaskVoiceprintReader, TaskVoiceprintWriter, TaskWriter
from earwitness.store.withdrawals import WithdrawalReader, WithdrawalWriter
from earwitness.threads import RunInThread
from earwitness.vault.data_key import DataKey
from earwitness.vault.signing import Signer
from earwitness.vault.vault import Vault, is_of_key_service
from earwitness.voice.deletion import DeletionKind

_ResultT = TypeVar("_ResultT")

WAIT_SECONDS_MAX = 5.0
"""How long a call waits for a lock, a connection or the disk before it is StoreUnavailable."""

CONNECTIONS_MAX = 10
"""PostgreSQL connections of this process, half of them for reads; a server by itself allows 100 in all."""

_SIGNING_NAME = "signing"
"""Of the key that what these records sign is signed with."""

_KEYS_LACKED_MAX = 100
"""Data keys at a key service that one change may need and nobody has used lately."""

_Database: TypeAlias = Sqlite | Postgres


class Unit:
    """One transaction: everything done with it is kept together, or nothing is."""

    def __init__(self, writing: Writing) -> None:
        self.now = writing.now
        self.access_keys = AccessKeyWriter(writing)
        self.bearer_tokens = BearerTokenWriter(writing)
        self.configurations = ConfigurationWriter(writing)
        self.pipelines = PipelineWriter(writing)
        self.domains = DomainWriter(writing)
        self.consents = ConsentWriter(writing)
        self.withdrawals = WithdrawalWriter(writing)
        self.profiles = ProfileWriter(writing)
        self.profile_voiceprints = ProfileVoiceprintWriter(writing)
        self.reembedding = ReembeddingWriter(writing)
        self.lines = LineWriter(writing)
        self.labels = LabelWriter(writing)
        self.calibrations = CalibrationWriter(writing)
        self.retention = RetentionWriter(writing)
        self.repeats = RepeatWriter(writing)
        self.tasks = TaskWriter(writing)
        self.attempts = AttemptWriter(writing)
        self.task_voiceprints = TaskVoiceprintWriter(writing)
        self.events = EventWriter(writing)
        self.deliveries = DeliveryWriter(writing)
        self.streams = StreamWriter(writing)
        self.connectors = ConnectorWriter(writing)
        self.connector_calls = ConnectorCallWriter(writing)
        self.summaries = SummaryWriter(writing)
        self.nodes = NodeWriter(writing)
        self.homes = HomeWriter(writing)
        self.jobs = JobWriter(writing)
        self.exports = ExportWriter(writing)
        self.tags = TagWriter(writing)
        self.idempotency = IdempotencyWriter(writing)
        self.ended_sessions = EndedSessionWriter(writing)
        self.audit = AuditWriter(writing)
        self.deletions = DeletionWriter(writing)
        self.backups = BackupWriter(writing)
        self.redoing = RedoingWriter(writing)
        self._writing = writing

    def use_reserve(self) -> None:
        """This unit ends something: on a full disk it may use the room that is kept for that. Deletions may anyway."""
        self._writing.session.use_reserve()


class Store:
    """The records of all accounts. Safe to use from several threads.

    Every call may raise StoreUnavailable. Reads go through the attributes; changes through `write`.
    """

    def __init__(
        self, database: _Database, *, vault: Vault, clock: Callable[[], datetime], check: RecordsCheck
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._signer: Signer | None = None
        self.leading = database.leading
        """The claim to be the one process that serves these records in SQLite, or a node in PostgreSQL."""
        self.token_key = check.key
        """Seals tokens that are handed out to clients; the same on every node and after every start."""
        self.identity = check.identity
        """Differs from that of all other records; no secret."""
        self.master_keys = MasterKeys(database, vault)

        self.meter = StoreMeter()
        reads = MeasuredReads(database.reads, self.meter), vault
        self.credentials = CredentialReader(*reads)
        self.access_keys = AccessKeyReader(*reads)
        self.bearer_tokens = BearerTokenReader(*reads)
        self.configurations = ConfigurationReader(*reads)
        self.pipelines = PipelineReader(*reads)
        self.domains = DomainReader(*reads)
        self.consents = ConsentReader(*reads)
        self.subjects = SubjectReader(*reads)
        self.withdrawals = WithdrawalReader(*reads)
        self.profiles = ProfileReader(*reads)
        self.profile_voiceprints = ProfileVoiceprintReader(*reads)
        self.reembedding = ReembeddingReader(*reads)
        self.lines = LineReader(*reads)
        self.labels = LabelReader(*reads)
        self.calibrations = CalibrationReader(*reads)
        self.retention = RetentionReader(*reads)
        self.repeats = RepeatReader(*reads)
        self.tasks = TaskReader(*reads)
        self.task_marks = TaskMarkReader(*reads)
        self.task_voiceprints = TaskVoiceprintReader(*reads)
        self.events = EventReader(*reads)
        self.streams = StreamReader(*reads)
        self.connectors = ConnectorReader(*reads)
        self.connector_calls = ConnectorCallReader(*reads)
        self.summaries = SummaryReader(*reads)
        self.nodes = NodeReader(*reads)
        self.homes = HomeReader(*reads)
        self.jobs = JobReader(*reads)
        self.exports = ExportReader(*reads)
        self.ended_sessions = EndedSessionReader(*reads, digest_key=self.token_key)
        self.tags = TagReader(*reads)
        self.audit = AuditReader(*reads)
        self.deletions = DeletionReader(*reads)
        self.backups = BackupReader(*reads)
        self.redoing = RedoingReader(*reads)
        self.counts = CountReader(*reads)

    @property
    def node_id(self) -> str | None:
        """Return which node this process is; None for a command, and in SQLite."""
        leading = self._database.leading
        return leading.me.node_id if isinstance(leading, NodeLeading) and leading.me is not None else None

    def is_draining(self) -> bool:
        """Return whether this node was asked to take nothing new."""
        leading = self._database.leading
        return isinstance(leading, NodeLeading) and leading.is_draining

    def keeps_house(self) -> bool:
        """Return whether this process does what is done once for all nodes; where there are none, it does."""
        database = self._database
        if isinstance(database, Sqlite) or database.leading.me is None:
            return True
        return database.housekeeping.hold(database.leading.me)

    def write(self, work: Callable[[Unit], _ResultT]) -> _ResultT:
        """Run `work` in a transaction; return what it returns, once that is durable.

        What it raises undoes everything. It may run on another thread, and more than once where PostgreSQL makes two
        transactions meet, so it should do nothing but use its unit, and be quick: others wait.
        """

        def run(writing: Writing) -> _ResultT:
            unit = Unit(writing)
            result = work(unit)
            unit.deletions.write_down()
            return result

        return self._change(run)

    def rotation(self, *, to: str) -> Rotation:
        """Return the steps by which the master key of this id, which is here, takes the place of the one in force."""
        return Rotation(self._database, self._vault, self._change, to=to)

    def verify_master_key(self, progress: Progress) -> tuple[int, Mapping[str, int]]:
        """Return how many data keys the master key opens, and how many it does not, by table."""
        opened, unopened = data_keys_that_open(self._database.reads, self._vault, progress)
        key_id, outcome = self._vault.master_keys.preferred, "failed" if unopened else "done"
        self._change(lambda writing: audit(writing, "VerifyMasterKey", key_id, outcome))
        return opened, unopened

    def note_master_key_source(self, source: str) -> None:
        """Keep where the master key in force comes from now, and put that into the trail."""
        self._change(lambda writing: note_source(writing, self._vault.master_keys.preferred, source))

    def _change(self, work: Callable[[Writing], _ResultT]) -> _ResultT:
        def run(session: ConnectionSession) -> tuple[_ResultT, Writing]:
            writing = Writing(
                session=session,
                vault=self._vault,
                digest_key=self.token_key,
                now=self._clock(),
                node_id=self.node_id,
            )
            return self._vault.waiting_is_not_allowed(lambda: work(writing)), writing

        for _ in range(_KEYS_LACKED_MAX):
            try:
                with self.meter.timing("write"):
                    result, writing = self._database.write(run)
                break
            except EarwitnessError as error:
                if not self._vault.fetch_what_lacked(error):
                    raise
        else:
            raise KeyServiceUnavailable("this change needs more data keys of the key service than are at hand")
        for wrapped_key, owner in writing.forgotten:
            self._vault.forget(wrapped_key, owner=owner)
        return result

    async def on_loop(self, work: Callable[[], _ResultT]) -> _ResultT:
        """Run work on the event loop that makes point reads and changes nothing. It may be called more than once.

        Raise StoreBusy when it would have to wait; call it in a thread then.
        """
        return await self._on_loop(work, waits=False)

    async def read(self, work: Callable[[], _ResultT], *, in_thread: RunInThread) -> _ResultT:
        """Return what work returns that makes point reads and changes nothing, for work that no client waits for."""
        try:
            return await self._on_loop(work, waits=True)
        except StoreBusy:
            return await in_thread(work)

    async def _on_loop(self, work: Callable[[], _ResultT], *, waits: bool) -> _ResultT:
        return await self._database.ahead.run(work, waits=waits) if isinstance(self._database, Postgres) else work()

    def signer(self) -> Signer:
        """Return what these records sign with: one key for all nodes, which outlives a change of the master key.

        It is made at its first use.
        """
        if self._signer is None:
            self._signer = Signer(kept_key(self._database, self._vault, _SIGNING_NAME))
        return self._signer

    def digest_of(self, scope: Scope, kind: DeletionKind, *ids: str) -> bytes:
        """Return the digest under which a deletion of this thing is written down."""
        return identity_digest(self.token_key, scope, kind, ids)

    def tell_key_uses(self, tell: Callable[[Sequence[tuple[Scope, str]]], None], *, begins_anew: bool) -> int:
        """Call `tell` with the domains, by whose and id, whose data keys this process has used; return how many.

        Each is told once, until a call with `begins_anew`. What `tell` raises leaves them for the next call.
        """
        owners = self._vault.uses.waiting()
        parts = [owner.split("/") for owner in sorted(owners)]
        used = [
            (Scope(account_id=account_id, region=rest[0]), rest[1])
            for account_id, table, *rest in parts
            if table == domains.name and len(rest) == 2
        ]
        if used:
            tell(used)
        self._vault.uses.told(owners, begins_anew=begins_anew)
        return len(used)

    def require_domain_key(self, scope: Scope, domain: VoiceProfileDomain) -> None:
        """Raise KeyServiceUnavailable when the domain's data key is at a key service that does not open it now."""
        if is_of_key_service(domain.wrapped_key):
            self._vault.key(domain.wrapped_key, owner=key_owner(domains, scope, domain.domain_id))

    def key_service_fault(self) -> str:
        """Return what is wrong with keys at the key service, for people; "" for nothing."""
        return self._vault.key_service_fault()

    def stream_key(self, scope: Scope, stream: KinesisStream) -> DataKey:
        """Return the key of a stream's media; raise CiphertextRefused when it was destroyed."""
        return self._vault.key(stream.wrapped_key, owner=stream_owner(scope, stream.arn))

    def subject_digest(self, scope: Scope, subject: str) -> bytes:
        """Return what the subject of consents is found by."""
        return subject_digest(self.token_key, scope, subject)

    def require_ready(self) -> None:
        """Raise StoreUnavailable when the database does not answer, takes no changes, or was found damaged since it was
        opened."""
        self._database.reads.row(select(vault_checks.c.name).limit(1))
        self._database.require_usable()

    def keep_reserve(self) -> None:
        """Have the bytes that units use on a full disk to end or delete something, as far as there is room.

        PostgreSQL looks after its own.
        """
        if isinstance(self._database, Sqlite):
            self._database.reserve.fill()

    def spend_reserve(self) -> None:
        """Let every change use those bytes, as an operator's may."""
        if isinstance(self._database, Sqlite):
            self._database.spends_reserve = True

    def close(self) -> None:
        """Finish what is being written and let the database go."""
        self._database.close()


def open_store(
    url: str,
    *,
    vault: Vault,
    clock: Callable[[], datetime],
    wait_seconds_max: float = WAIT_SECONDS_MAX,
    connections_max: int = CONNECTIONS_MAX,
    is_restoring: bool = False,
) -> Store:
    """Open `sqlite:///PATH` or `postgresql://…`; an empty database gets its schema first. `clock` returns UTC.

    `is_restoring` opens records that a restore has not finished, which nobody else can open.

    Raise SchemaTooNew, StoreError (older schema: migrate first), MasterKeyInvalid (written under another key),
    StoreUnavailable and ConfigurationError.
    """
    database = _open_database(url, wait_seconds_max=wait_seconds_max, connections_max=connections_max)
    try:
        _make_schema_once(database, is_restoring=is_restoring)
        check = opened_check(database, vault, now=clock())
        store = Store(database, vault=vault, clock=clock, check=check)
        if (source := store.master_keys.source()) != check.source:
            store.note_master_key_source(source)
        return store
    except BaseException:
        database.close()
        raise


def records_identity(url: str, *, wait_seconds_max: float = WAIT_SECONDS_MAX) -> str | None:
    """Return what differs from all other records at this address; None where there are none. Nothing is written.

    Raise StoreUnavailable and ConfigurationError.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and is_empty(Path(str(parsed.database))):
        return None
    database = _open_database(url, wait_seconds_max=wait_seconds_max, connections_max=1)
    try:
        with translating_errors(), database.engine.connect() as connection:
            revision = migrate.current_revision(connection)
        return None if revision is None else kept_identity(database, revision=revision)
    finally:
        database.close()


def place_of_records(url: str) -> str:
    """Return where the records at this address are, in words without a password: a file, or a database."""
    parsed = parse_url(url)
    is_file = parsed.get_backend_name() == "sqlite"
    return str(parsed.database) if is_file else f"PostgreSQL's database {parsed.database}"


def migrate_store(url: str, *, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
    """Bring the database to this version's schema; raise SchemaTooNew, StoreUnavailable and ConfigurationError."""
    database = _open_database(url, wait_seconds_max=wait_seconds_max, connections_max=1)
    try:
        with database.migrating() as connection:
            migrate.migrate(connection)
    finally:
        database.close()


def _open_database(url: str, *, wait_seconds_max: float, connections_max: int) -> _Database:
    parsed = parse_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return Sqlite(Path(str(parsed.database)), wait_seconds_max=wait_seconds_max)
    if kind == "postgresql":
        return Postgres(parsed, wait_seconds_max=wait_seconds_max, connections_max=connections_max)
    raise ConfigurationError(f"the store cannot be {kind}, or has no path; give sqlite:///PATH or postgresql://…")


def parse_url(url: str) -> URL:
    """Return the address of records, taken apart; raise ConfigurationError when it is no URL."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigurationError("the store's address is not a URL; give sqlite:///PATH or postgresql://…") from None


def _make_schema_once(database: _Database, *, is_restoring: bool) -> None:
    with translating_errors(), database.engine.connect() as connection:
        revision = migrate.current_revision(connection)
    if revision is None:
        with database.migrating() as connection:
            migrate.make_once(connection)
    elif not (is_restoring and revision == migrate.RESTORING):
        migrate.require_current(revision)
