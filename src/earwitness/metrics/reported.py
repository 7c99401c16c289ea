"""What rooms report as it happens: a group for each kind of work, with the labels it may have."""

import time
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum

from earwitness.metrics.instruments import Group, Over

PROMISED_SECONDS = 2.0
"""A result that comes later is late: the bucket that the alerts look at."""

_DELAY_BUCKETS = (0.25, 0.5, 1.0, PROMISED_SECONDS, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5)
_SHORT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_INFERENCE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LOAD_BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0)

OTHER = "other"
"""Instead of an operation that is not served: what clients make up must not become labels."""


class TaskResult(StrEnum):
    """What became of a search or a voiceprint that a task owed."""

    MATCH = "match"
    AMBIGUOUS = "ambiguous"
    """A match whose runner-up fits nearly as well."""

    NO_MATCH = "no_match"
    SEVERAL_VOICES = "several_voices"
    TOO_LITTLE_SPEECH = "too_little_speech"
    FAILED = "failed"


class VoiceprintResult(StrEnum):
    """What became of a voiceprint."""

    MADE = "made"
    REFUSED = "refused"
    """The speech would spoil a profile."""

    TOO_LITTLE_SPEECH = "too_little_speech"
    FAILED = "failed"


class InferenceStep(StrEnum):
    """What is computed for a call."""

    OPEN = "open"
    """Opening the voice models, once for each band."""

    HEAR = "hear"
    """Decoding and voice activity of a fragment."""

    EMBEDDING = "embedding"
    """Filter bank and encoder of 10 s of speech, for a search."""

    SEARCH = "search"
    VOICEPRINT = "voiceprint"
    """Filter bank and encoder of 20 s of speech, and its checks."""

    REPEAT = "repeat"
    """The fingerprint of these 20 s, compared with those of earlier calls."""


class FragmentOutcome(StrEnum):
    """What became of a fragment that came."""

    PERSISTED = "persisted"
    REFUSED = "refused"
    """The producer sent what is none, or too much."""

    FAILED = "failed"
    """The disk did not take it, or media were refused for want of room."""


class DeliveryOutcome(StrEnum):
    """What came of one try to deliver an event."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    PARKED = "parked"


class ItemOutcome(StrEnum):
    """How an item of a job ended."""

    DONE = "done"
    FAILED = "failed"


class RequestMetrics(Group):
    """Of requests."""

    def __init__(self, operations: Collection[str] = ()) -> None:
        """`operations` are those that have a label of their own; all others together are OTHER."""
        super().__init__()
        self._operations = frozenset(operations)
        self._duration = self.histogram(
            "http_server_request_duration_seconds",
            "How long requests took, of AWS's operations and our own API; until their answer began, where it is a "
            "stream.",
            label="operation,status",
            buckets=_REQUEST_BUCKETS,
        )
        self._throttled = self.counter(
            "earwitness_throttled_total", "Requests refused because a key called too often.", label="operation"
        )

    def answered(self, operation: str | None, status: int, *, seconds: float) -> None:
        """Count a request."""
        self._duration.labels(self._label(operation), str(status)).observe(seconds)

    def throttled(self, operation: str) -> None:
        """Count a request that was refused for its rate."""
        self._throttled.labels(self._label(operation)).inc()

    def _label(self, operation: str | None) -> str:
        return operation if operation in self._operations else OTHER


class TaskMetrics(Group):
    """Of speaker search tasks, and of what is computed for them."""

    def __init__(self) -> None:
        super().__init__()
        self.started = self.counter("earwitness_tasks_started_total", "Tasks that a request to this node started.")
        self._results = self.counter(
            "earwitness_task_results_total", "Searches that ended, by their answer.", label="result", values=TaskResult
        )
        self._voiceprints = self.counter(
            "earwitness_task_voiceprints_total",
            "Voiceprints that tasks owed, by what became of them.",
            label="result",
            values=VoiceprintResult,
        )
        self.result_delay = self.histogram(
            "earwitness_result_delay_seconds",
            "From the arrival of the fragment with the tenth second of speech, as a whole, until the answer and its "
            "event are durable: the service level indicator. Two seconds are promised.",
            buckets=_DELAY_BUCKETS,
        )
        self.net_speech = self.counter(
            "earwitness_net_speech_seconds_total", "Net speech that tasks heard; after a crash, some of it again."
        )
        self.inference = self.histogram(
            "earwitness_inference_seconds",
            "How long calls computed, without waiting for a turn.",
            label="step",
            values=InferenceStep,
            buckets=_INFERENCE_BUCKETS,
        )
        self.inference_wait = self.histogram(
            "earwitness_inference_wait_seconds",
            "How long calls waited for a turn to compute: it grows before calls fall behind.",
            buckets=_INFERENCE_BUCKETS,
        )
        self.gallery_load = self.histogram(
            "earwitness_gallery_load_seconds", "How long loading a domain's voiceprints took.", buckets=_LOAD_BUCKETS
        )

        self.loaded: Callable[[], int] = lambda: 0
        """Returns how many voiceprints of galleries are in memory; whoever keeps them sets it."""

        self.gauge(
            "earwitness_gallery_loaded_voiceprints", "Voiceprints of galleries in memory.", lambda: float(self.loaded())
        )

    def searched(self, result: TaskResult) -> None:
        """Count a search that ended."""
        self._results.labels(result).inc()

    def enrolled(self, result: VoiceprintResult) -> None:
        """Count a voiceprint that was owed."""
        self._voiceprints.labels(result).inc()

    @contextmanager
    def computing(self, step: InferenceStep, *, asked_at: float) -> Generator[None]:
        """Time what is computed. `asked_at` is when it was asked for, by `time.perf_counter`."""
        began = time.perf_counter()
        self.inference_wait.observe(began - asked_at)
        try:
            yield
        finally:
            self.inference.labels(step).observe(time.perf_counter() - began)


class MediaMetrics(Group):
    """Of media that come, and of the disk they go to."""

    def __init__(self) -> None:
        super().__init__()
        self._received = self.counter(
            "earwitness_media_received_bytes_total",
            "Bytes that came: of media by PutMedia (put_media), of audio by a door.",
            label="door",
        )
        self._fragments = self.counter(
            "earwitness_fragments_total",
            "Fragments that came, by what became of them.",
            label="outcome",
            values=FragmentOutcome,
        )
        self.damaged = self.counter(
            "earwitness_fragments_damaged_total", "Kept fragments that were found damaged when they were read."
        )
        self._persist = self.histogram(
            "earwitness_fragment_persist_seconds",
            "How long a fragment took to become durable.",
            buckets=_SHORT_BUCKETS,
        )

    def received(self, door: str, size: int) -> None:
        """Count bytes. `door` is the name of a door, or put_media."""
        self._received.labels(door).inc(size)

    def persisted(self, seconds: float) -> None:
        """Count a fragment that is durable."""
        self._fragments.labels(FragmentOutcome.PERSISTED).inc()
        self._persist.observe(seconds)

    def failed(self) -> None:
        """Count one that the disk did not take."""
        self._fragments.labels(FragmentOutcome.FAILED).inc()

    def refused(self) -> None:
        """Count one that is none."""
        self._fragments.labels(FragmentOutcome.REFUSED).inc()


class DeliveryMetrics(Group):
    """Of events on their way to sinks."""

    def __init__(self) -> None:
        super().__init__()
        self._tried = self.counter(
            "earwitness_event_deliveries_total",
            "Tries to deliver an event to a sink: a try that failed is made again, or the event is parked.",
            label="sink,outcome",
        )

    def tried(self, sink: str, outcome: DeliveryOutcome) -> None:
        """Count a try. `sink` is the kind of target, never the target."""
        self._tried.labels(sink, outcome).inc()


class JobMetrics(Group):
    """Of jobs' items."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = self.counter(
            "earwitness_job_items_total",
            "Items of jobs that this node ended: with a result (done) or with a reason why there is none (failed), by "
            "the job's kind.",
            label="kind,outcome",
        )

    def begin(self, kinds: Iterable[str]) -> None:
        """Have each kind begin at 0, so that its first item is seen as an increase."""
        for kind in kinds:
            for outcome in ItemOutcome:
                self._ended.labels(kind, outcome)

    def ended(self, kind: str, outcome: ItemOutcome) -> None:
        """Count an item whose end is in the records."""
        self._ended.labels(kind, outcome).inc()


class StoreMetrics(Group):
    """Of the records."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = self.histogram(
            "earwitness_store_seconds",
            "How long changes of the records took until they were durable, and reads that go to the database; point "
            "reads that requests share are not in it.",
            label="kind",
            values=("read", "write"),
            buckets=_SHORT_BUCKETS,
        )
        self.errors = self.counter(
            "earwitness_store_errors_total",
            "Reads and changes of the records that failed: away, locked, full, damaged.",
        )

    def took(self, kind: str, seconds: float) -> None:
        """Note a read or a write."""
        self._seconds.labels(kind).observe(seconds)


class ExpiryMetrics(Group):
    """Of deleting what is old."""

    def __init__(self) -> None:
        super().__init__()
        self._expired = self.counter(
            "earwitness_expired_total", "Records deleted because they were old, by their kind.", label="kind"
        )
        self._ran_at: float | None = None
        self.gauge(
            "earwitness_expiry_last_run_timestamp_seconds",
            "When all that was due was deleted the last time, in seconds since 1970. Only nodes that have kept house "
            "have it.",
            lambda: self._ran_at,
            over=Over.OWN,
        )
        self._overdue: float | None = None
        self.gauge(
            "earwitness_expiry_overdue_records",
            "Records past their time that the last expiry did not delete; 0 is well. Only nodes that have kept house "
            "have it.",
            lambda: self._overdue,
            over=Over.OWN,
        )

    def deleted(self, kind: str, count: int) -> None:
        """Count what was deleted; `kind` is a step of the expiry."""
        self._expired.labels(kind.replace(" ", "_")).inc(count)

    def ran(self, at: float, *, overdue: int) -> None:
        """Note that what was due was deleted, and how much of it is still there."""
        self._ran_at = at
        self._overdue = float(overdue)
