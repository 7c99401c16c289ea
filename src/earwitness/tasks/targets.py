"""Where events go: from settings and a pipeline's configuration to targets, and from a target to its sink."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from earwitness.aws.clients import AwsCredentials
from earwitness.config import Settings
from earwitness.errors import ConfigurationError
from earwitness.sinks.aws import SinkClients, SinkSettings
from earwitness.sinks.sink import Sink, sink_for
from earwitness.sinks.targets import SINK_SERVICES
from earwitness.sinks.webhook import WebhookSettings
from earwitness.store.records import Pipeline
from earwitness.voice.events import EventKind


class Targets:
    """Targets of events. Raises ConfigurationError for settings that cannot be used."""

    def __init__(self, settings: Settings, *, events_file: Path | None) -> None:
        """`events_file` gets every event as a line, beside the one that the settings name."""
        files = [file for file in (settings.events_file, events_file) if file is not None]
        self._everywhere = [file.expanduser().resolve().as_uri() for file in files]
        self._webhook: WebhookSettings | None = None
        if settings.webhook_url:
            self._webhook = _webhook(settings)
            self._everywhere.append(settings.webhook_url)
        self._eventbridge = settings.eventbridge == "on"
        self._sink_settings = _sink_settings(settings)

    def of(self, pipeline: Pipeline, kind: EventKind) -> tuple[str, ...]:
        """Where an event of a pipeline goes."""
        if kind is EventKind.STATE_CHANGE:
            return (*self._everywhere, *([_default_bus(pipeline.arn)] if self._eventbridge else []))
        elements: Any = pipeline.configuration["Elements"]  # `Any`: as the caller sent them, validated then
        sinks = [
            element[f"{element['Type']}Configuration"]["InsightsTarget"]
            for element in elements
            if element["Type"] in SINK_SERVICES
            and (element.get(f"{element['Type']}Configuration") or {}).get("InsightsTarget")
        ]
        return (*self._everywhere, *sinks)

    def clients(self) -> SinkClients:
        """Clients of the services that events go to, made when they are needed."""
        return SinkClients(self._sink_settings)

    def sink_maker(self, clients: SinkClients, *, now: Callable[[], datetime]) -> Callable[[str], Sink]:
        """From a target to its sink."""
        return lambda target: sink_for(target, clients=clients, webhook=self._webhook, now=now)


def _default_bus(pipeline_arn: str) -> str:
    _, partition, _, region, account, _ = pipeline_arn.split(":", 5)
    return f"arn:{partition}:events:{region}:{account}:event-bus/default"


def _webhook(settings: Settings) -> WebhookSettings:
    if not settings.webhook_secret:
        raise ConfigurationError("there is a webhook_url and no webhook_secret; set it, to sign with")
    return WebhookSettings(
        secret=settings.webhook_secret, allow_private_addresses=settings.webhook_private_addresses == "on"
    )


def _sink_settings(settings: Settings) -> SinkSettings:
    by_service: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in settings.sink_endpoint_urls.split(","))):
        service, _, url = part.partition("=")
        by_service[service] = url
    credentials = None
    if settings.sink_access_key_id:
        credentials = AwsCredentials(
            access_key_id=settings.sink_access_key_id, secret_access_key=settings.sink_secret_access_key
        )
    return SinkSettings(
        endpoint_url=settings.sink_endpoint_url or None,
        endpoint_urls=by_service,
        credentials=credentials,
        state_change_source=settings.eventbridge_source or None,
    )
