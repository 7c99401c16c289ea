"""How the services of AWS that take events are reached. botocore is loaded with the first client."""

from dataclasses import dataclass

from earwitness.aws.clients import AwsClients, AwsSettings, Client


@dataclass(frozen=True, kw_only=True)
class SinkSettings(AwsSettings):
    """How the services `sqs`, `sns`, `lambda`, `kinesis` and `events` are reached."""

    state_change_source: str | None = None
    """`Source` of state changes on EventBridge; None for the event's own, `aws.chime`. AWS's own EventBridge keeps
    names that begin with `aws.` to itself and refuses them from anybody else."""


class SinkClients:
    """The clients of one set of settings."""

    def __init__(self, settings: SinkSettings) -> None:
        self.settings = settings
        self._clients = AwsClients(settings)

    def client(self, service: str, region: str) -> Client:
        """Return the client of a service in a Region. Raise SinkUnavailable when there are no credentials."""
        from earwitness.sinks.aws_failures import translated_errors

        with translated_errors(f"{service} in {region}"):
            return self._clients.client(service, region)

    def close(self) -> None:
        """Close all connections; the next use makes new clients."""
        self._clients.close()
