"""Sinks of AWS's services: what is called, with what, and what counts as a receipt."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from earwitness.aws.clients import Client
from earwitness.errors import SinkRefused, SinkUnavailable
from earwitness.sinks.aws_clients import SinkClients, SinkSettings
from earwitness.sinks.aws_failures import refusal_of, translated_errors
from earwitness.sinks.targets import Arn, require_sendable
from earwitness.voice.events import EventKind


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event on its way."""

    body: bytes = field(repr=False)
    ordering_key: str
    kind: EventKind

    @property
    def text(self) -> str:
        """The body for services that take text; it is ASCII."""
        return self.body.decode("ascii")


Receipt: TypeAlias = object
"""What proves that the service has the event; falsy when its answer holds no such thing."""


class AwsSink:
    """A queue, topic, function, data stream or event bus."""

    def __init__(self, target: Arn, clients: SinkClients) -> None:
        self._target = target
        self._clients = clients
        self._deliver = DELIVERIES[target.service]

    def send(self, event_body: bytes, *, event_id: str, ordering_key: str, kind: EventKind) -> None:  # noqa: ARG002
        """Send as `Sink` promises. The id travels in the body; none of the services takes it beside."""
        require_sendable(event_body)
        message = Message(body=event_body, ordering_key=ordering_key, kind=kind)
        client = self._clients.client(self._target.service, self._target.region)
        with translated_errors(str(self._target)):
            receipt = self._deliver(client, self._target, message, self._clients.settings)
        if not receipt:
            raise SinkUnavailable(f"{self._target} answered without a receipt; see that its endpoint is right")


def _to_queue(client: Client, target: Arn, message: Message, _: SinkSettings) -> Receipt:
    # Built, not asked for: the documented role of a pipeline may send to the queue, but not GetQueueUrl.
    queue_url = f"{client.meta.endpoint_url.rstrip('/')}/{target.account_id}/{target.resource}"
    return client.send_message(QueueUrl=queue_url, MessageBody=message.text).get("MessageId")


def _to_topic(client: Client, target: Arn, message: Message, _: SinkSettings) -> Receipt:
    return client.publish(TopicArn=str(target), Message=message.text).get("MessageId")


def _to_function(client: Client, target: Arn, message: Message, _: SinkSettings) -> Receipt:
    """Asynchronous: Lambda keeps the event and runs the function by itself; the event is the whole payload."""
    answer = client.invoke(FunctionName=str(target), InvocationType="Event", Payload=message.body)
    return answer.get("StatusCode") == 202


def _to_data_stream(client: Client, target: Arn, message: Message, _: SinkSettings) -> Receipt:
    answer = client.put_record(StreamARN=str(target), Data=message.body, PartitionKey=_partition_key(message))
    return answer.get("SequenceNumber")


def _partition_key(message: Message) -> str:
    """Return what keeps the events of a call in one shard, in their order: its transaction, else its pipeline."""
    detail: Any = json.loads(message.body).get("detail") or {}  # `Any`: JSON
    return detail.get("transactionId") or message.ordering_key


def _to_event_bus(client: Client, target: Arn, message: Message, settings: SinkSettings) -> Receipt:
    """EventBridge makes the envelope anew, with an id of its own: a redelivered event cannot be told by its id."""
    if message.kind not in (EventKind.STATE_CHANGE, EventKind.STREAMING):
        raise SinkRefused("EventBridge gets state changes only; name another sink for the results of speaker search")
    answer = client.put_events(Entries=[_entry(message, source=settings.state_change_source)])
    if answer.get("FailedEntryCount"):
        raise _entry_refusal(target, answer)
    return answer.get("Entries")


def _entry(message: Message, *, source: str | None) -> dict[str, object]:
    event: dict[str, Any] = json.loads(message.body)  # `Any`: our own JSON, of known shape
    return {
        "Source": source or event["source"],
        "DetailType": event["detail-type"],
        "Detail": json.dumps(event["detail"], separators=(",", ":")),
        "Time": datetime.fromisoformat(event["time"]),
        "Resources": event["resources"],
    }


def _entry_refusal(target: Arn, answer: Mapping[str, Any]) -> SinkUnavailable | SinkRefused:
    """An error within an answer of 200."""
    entries: list[dict[str, Any]] = answer.get("Entries") or [{}]
    code = str(entries[0].get("ErrorCode", ""))
    if code == "NotAuthorizedForSourceException":
        return SinkRefused(
            f"{target} does not take events whose source begins with aws.; name another source for state changes"
        )
    return refusal_of(str(target), code=code)


DELIVERIES: Mapping[str, Callable[[Client, Arn, Message, SinkSettings], Receipt]] = MappingProxyType(
    {
        "sqs": _to_queue,
        "sns": _to_topic,
        "lambda": _to_function,
        "kinesis": _to_data_stream,
        "events": _to_event_bus,
    }
)
