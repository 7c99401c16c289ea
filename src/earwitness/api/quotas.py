"""How much an account may have. Every number is a setting; these are the defaults and their reasons."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """Limits by account and Region."""

    configurations: int = 1_000
    """AWS: 100."""

    active_pipelines: int = 1_000
    """AWS: 20. One a call; what the machine bears is measured elsewhere."""

    active_tasks: int = 1_000
    """AWS: 25."""

    domains: int = 100
    """AWS: 3."""

    profiles_per_domain: int = 20_000
    """AWS: 20,000 in one page of its documents, 20 in two others."""

    streams: int = 10_000
    """AWS: 10,000 in its large Regions."""

    tags_per_resource: int = 50
    """AWS, voice profiles and streams. Media pipelines take 200 in one request; the limit here is one for all."""
