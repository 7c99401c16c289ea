"""What rooms tell of a task for its trace. By itself it goes nowhere; `otlp.py` sends it to a collector that is named.

A task is one trace, whichever processes worked on it: its ids follow from the task's. So the process that delivers an
event needs to be told nothing by the one that wrote it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum


class TraceStep(StrEnum):
    """What a task does, each a span of its own."""

    IDENTIFY = "identify"
    """From the tenth second of speech until the answer is durable."""

    ENROL = "enrol"
    """From the twentieth until the voiceprint is."""


class Traces:
    """Hears of tasks and passes nothing on. Safe to use from several threads."""

    @contextmanager
    def producing(self, stream_arn: str) -> Generator[None]:
        """Trace a PutMedia request, for as long as it lasts. The ARN is only compared."""
        del stream_arn
        yield

    def heard(self, task_id: str, stream_arn: str) -> None:
        """Note that a task heard a fragment of a stream: its trace is linked to the request that sends it."""

    @contextmanager
    def step(self, task_id: str, step: TraceStep) -> Generator[None]:
        """Trace a step of a task."""
        del task_id, step
        yield

    def ended(self, task_id: str, *, began: datetime, status: str, attempt: int) -> None:
        """Note that a task ended, now. `began` is when its audio came, or it was started where none did."""

    @contextmanager
    def delivering(self, event_body: bytes, *, sink: str, attempt: int) -> Generator[None]:
        """Trace a try to deliver an event, if it is of a task. `sink` is the kind of target, never the target."""
        del event_body, sink, attempt
        yield

    def close(self) -> None:
        """Pass on what waits, as far as somebody takes it soon."""
