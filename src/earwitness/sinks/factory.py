"""From the name of a target to its sink."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from earwitness.errors import ConfigurationError, SinkRefused
from earwitness.sinks.aws import AwsSink
from earwitness.sinks.clients import SinkClients
from earwitness.sinks.json_lines import JsonLinesSink
from earwitness.sinks.sink import Sink
from earwitness.sinks.targets import fault_of_form, read_arn
from earwitness.sinks.webhook import WebhookSettings, WebhookSink


def sink_for(
    target: str, *, clients: SinkClients, webhook: WebhookSettings | None = None, now: Callable[[], datetime]
) -> Sink:
    """The sink of an ARN (by its service), of an http or https URL, or of file:///PATH.

    Costs nothing; keep it or make it anew. Nothing is looked up and nothing is sent yet. SinkRefused for an ARN that
    events cannot go to; ConfigurationError for a URL that cannot be used, or a webhook without settings.
    Whether an ARN lies in the right account is for `fault_of_place` to say. A file is the operator's to name:
    never hand a caller's text to this without asking which of the three it is.
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
