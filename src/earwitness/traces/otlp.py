"""Traces to a collector, by OpenTelemetry's protocol over HTTP, with the libraries that the extra `otel` brings.

What is sent: names of steps, times, whether they failed, ids of tasks, kinds of sinks, counts. What must never be:
audio, voices, profiles, numbers, names, metadata, accounts, messages of errors.
"""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from threading import Lock, local
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from earwitness.traces.traces import Traces, TraceStep

EXPORT_SECONDS_MAX = 3.0
"""How long a collector may take; what it does not take is dropped. No call waits for it."""

TASKS_MAX = 10_000
"""Tasks whose links are remembered."""


TELL_AGAIN_SECONDS = 60.0
"""How often the log says that traces are not taken."""

_LIBRARY = logging.getLogger("opentelemetry")
_log = logging.getLogger("earwitness.traces")


class _Told(logging.Handler):
    """What the library logs, as a line of ours once in a while: it writes a stack for each batch that is not taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it, without its text, which names addresses."""
        if record.created - self._told_at >= TELL_AGAIN_SECONDS:
            self._told_at = record.created
            error = record.exc_info[0] if record.exc_info else None
            context = {"by": record.name, "error": error.__name__ if error else ""}
            _log.warning("traces are not taken by their collector and are dropped", extra=context)


class _Ids(IdGenerator):
    """Random ids, but for the root of a task's trace."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._here = local()

    @contextmanager
    def of(self, context: SpanContext) -> Generator[None]:
        """Give these ids to the span that this thread begins meanwhile."""
        self._here.context = context
        try:
            yield
        finally:
            self._here.context = None

    def generate_span_id(self) -> int:
        """Return the id of the span that begins."""
        chosen: SpanContext | None = getattr(self._here, "context", None)
        return self._random.generate_span_id() if chosen is None else chosen.span_id

    def generate_trace_id(self) -> int:
        """Return the id of its trace."""
        chosen: SpanContext | None = getattr(self._here, "context", None)
        return self._random.generate_trace_id() if chosen is None else chosen.trace_id


class OtlpTraces(Traces):
    """Sends traces to one address."""

    def __init__(self, endpoint: str, *, version: str, instance_id: str) -> None:
        """`endpoint` is a URL with its path, as in `http://127.0.0.1:4318/v1/traces`."""
        self._told = _Told()
        _LIBRARY.addHandler(self._told)
        _LIBRARY.propagate = False
        self._ids = _Ids()
        resource = Resource(
            {"service.name": "earwitness", "service.version": version, "service.instance.id": instance_id}
        )
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS_MAX)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Tracer = self._provider.get_tracer("earwitness", version)
        self._producers: dict[str, SpanContext] = {}
        self._links: dict[str, dict[int, SpanContext]] = {}
        self._lock = Lock()

    @contextmanager
    def producing(self, stream_arn: str) -> Generator[None]:
        span = self._tracer.start_span("PutMedia", kind=SpanKind.SERVER)
        with self._lock:
            self._producers[stream_arn] = span.get_span_context()
        try:
            with _ending(span):
                yield
        finally:
            with self._lock:
                self._producers.pop(stream_arn, None)

    def heard(self, task_id: str, stream_arn: str) -> None:
        with self._lock:
            producer = self._producers.get(stream_arn)
            if producer is not None and (task_id in self._links or len(self._links) < TASKS_MAX):
                self._links.setdefault(task_id, {})[producer.span_id] = producer

    @contextmanager
    def step(self, task_id: str, step: TraceStep) -> Generator[None]:
        with _ending(self._tracer.start_span(step.value, context=_within(task_id))):
            yield

    def ended(self, task_id: str, *, began: datetime, status: str, attempt: int) -> None:
        with self._lock:
            links = self._links.pop(task_id, {})
        attributes = {"earwitness.task_id": task_id, "earwitness.status": status, "earwitness.attempt": attempt}
        with self._ids.of(_root(task_id)):
            span = self._tracer.start_span(
                "speaker search",
                attributes=attributes,
                links=[Link(context) for context in links.values()],
                start_time=round(began.timestamp() * 1e9),
            )
        span.end()

    @contextmanager
    def delivering(self, event_body: bytes, *, sink: str, attempt: int) -> Generator[None]:
        task_id = _task_of(event_body)
        if task_id is None:
            yield
            return
        attributes = {"earwitness.sink": sink, "earwitness.attempt": attempt}
        span = self._tracer.start_span(
            "deliver", context=_within(task_id), kind=SpanKind.PRODUCER, attributes=attributes
        )
        with _ending(span):
            yield

    def close(self) -> None:
        self._provider.shutdown()
        _LIBRARY.removeHandler(self._told)
        _LIBRARY.propagate = True


@contextmanager
def _ending(span: Span) -> Generator[None]:
    """End a span with the block; of an error its kind is told, never its message, which may name somebody."""
    try:
        yield
    except Exception as error:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", type(error).__name__)
        raise
    finally:
        span.end()


def _root(task_id: str) -> SpanContext:
    """Return the ids of a task's trace and of its root, which every process makes alike."""
    digest = sha256(f"earwitness task {task_id}".encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big") or 1,
        span_id=int.from_bytes(digest[16:24], "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _within(task_id: str) -> Context:
    return set_span_in_context(NonRecordingSpan(_root(task_id)))


def _task_of(event_body: bytes) -> str | None:
    """Return the id of the task that an event tells of."""
    document: dict[str, Any] = json.loads(event_body)  # `Any`: events that we wrote, of several kinds
    task_id: str | None = document["detail"].get("taskId")
    return task_id
