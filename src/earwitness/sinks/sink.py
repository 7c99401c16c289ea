"""What every sink promises, and from the name of a target to its sink."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from earwitness.errors import ConfigurationError, SinkRefused
from earwitness.sinks.aws_clients import SinkClients
from earwitness.sinks.json_lines import JsonLinesSink
from earwitness.sinks.targets import fault_of_form, read_arn
from earwitness.sinks.webhook import WebhookSettings, WebhookSink
from earwitness.voice.events import EventKind


class Sink(Protocol):
    """Sends events to one target. May be called from several threads at once, and blocks for a bounded time."""

    def send(self, event_body: bytes, *, event_id: str, ordering_key: str, kind: EventKind) -> None:
        """Return when the target has the event; it gets the bytes unchanged.

        `event_id` is the same on every attempt. `ordering_key` names what the event belongs to (its pipeline); targets
        that keep an order keep it within a key. Raises SinkUnavailable when a later attempt may succeed, SinkRefused
        when it will not until somebody changes something. After either the target may have the event all the same.
        """
        ...


def sink_for(
    target: str, *, clients: SinkClients, webhook: WebhookSettings | None = None, now: Callable[[], datetime]
) -> Sink:
    """Return the sink of an ARN (by its service), of an http or https URL, or of file:///PATH.

    This costs nothing: nothing is looked up or sent yet. Raise SinkRefused for an ARN that events cannot go to,
    ConfigurationError for a URL that cannot be used or a webhook without settings. Whether an ARN lies in the right
    account is checked by `fault_of_place`. Only the operator may name a file: before you pass a caller's text, check
    which of the three it is.
    """
    if target.startswith("arn:"):
        return _aws_sink(target, clients)
    scheme = target.partition(":")[0]
    if scheme in ("http", "https"):
        if webhook is None:
            raise ConfigurationError("a webhook needs a secret to sign with; give one in the settings")
        return WebhookSink(target, webhook, now=now)
    if scheme == "file":
        return JsonLinesSink(_path(target))
    raise ConfigurationError("a sink is an ARN, an http or https URL, or file:///PATH; give one of them")


def _aws_sink(target: str, clients: SinkClients) -> Sink:
    from earwitness.sinks.aws import AwsSink  # with botocore, which a start need not wait for

    arn, wrong = read_arn(target), fault_of_form(target)
    if arn is None or wrong is not None:
        raise SinkRefused(f"{target} {wrong}")
    return AwsSink(arn, clients)


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc or not path.is_absolute():
        raise ConfigurationError("a file of events is named by its whole path, as file:///PATH")
    return path
