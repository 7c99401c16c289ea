"""Settings of commands that ask a running service, and the credentials that AWS's own variables hold."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from earwitness.config.rows import row


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Which service `earwitness tasks`, `watch`, `events` and `profiles --domain` ask."""

    url: str = row("http://127.0.0.1:4500", unit="URL", text="The service that commands ask.")
    token: str = row(
        "",
        unit="token",
        secret=True,
        text="The bearer token that commands ask with, as `earwitness keys token` made it; when empty they sign with "
        "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.",
    )


@dataclass(frozen=True, kw_only=True)
class AwsVariables:
    """What AWS's own variables say; empty where one is not set."""

    key_id: str
    """AWS_ACCESS_KEY_ID."""

    secret: str = field(repr=False)
    """AWS_SECRET_ACCESS_KEY."""

    region: str
    """AWS_REGION or AWS_DEFAULT_REGION."""


def aws_variables(environment: Mapping[str, str] | None = None) -> AwsVariables:
    """Read them as AWS's tools do."""
    environment = os.environ if environment is None else environment
    return AwsVariables(
        key_id=environment.get("AWS_ACCESS_KEY_ID", ""),
        secret=environment.get("AWS_SECRET_ACCESS_KEY", ""),
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "",
    )
