"""The seam: one event to one target, and the limit that holds for all of them."""

from typing import Protocol

from earwitness.errors import SinkRefused
from earwitness.voice.events import EventKind

BODY_BYTES_MAX = 256 * 1024
"""What SQS, SNS, Lambda and EventBridge have always taken; one limit for all, so that no target is a surprise."""


class Sink(Protocol):
    """Sends events to one target. May be called from several threads at once, and blocks for a bounded time."""

    def send(self, event_body: bytes, *, event_id: str, ordering_key: str, kind: EventKind) -> None:
        """Return when the target has the event; it gets the bytes unchanged.

        `event_id` is the same on every attempt. `ordering_key` names what the event belongs to (its pipeline); targets
        that keep an order keep it within a key. Raises SinkUnavailable when a later attempt may succeed, SinkRefused
        when it will not until somebody changes something. After either the target may have the event all the same.
        """
        ...


def require_sendable(event_body: bytes) -> None:
    """SinkRefused for a body that not every target takes: too large, or not ASCII, which events are made of."""
    if len(event_body) > BODY_BYTES_MAX:
        raise SinkRefused(
            f"the event has {len(event_body)} bytes and sinks take {BODY_BYTES_MAX}; "
            f"attach less runtime metadata to the pipeline"
        )
    if not event_body.isascii():
        raise SinkRefused("the event is not ASCII JSON; it was not written by this service, or is damaged")
