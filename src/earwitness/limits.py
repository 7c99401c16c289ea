"""From settings to what accounts, keys and streams may have and how fast, for the composition root of the service."""

from earwitness.api.media_rates import MediaRateLimits
from earwitness.api.operations import BY_NAME
from earwitness.api.quotas import Quotas
from earwitness.config import Settings
from earwitness.errors import ConfigurationError
from earwitness.rest.routes import ROUTES


def media_rate_limits(settings: Settings) -> MediaRateLimits:
    """How fast media may come and go."""
    return MediaRateLimits(
        calls=settings.stream_calls_per_second,
        put_fragments=settings.stream_put_fragments_per_second,
        put_bytes=settings.stream_put_bytes_per_second,
        read_fragments=settings.stream_read_fragments_per_second,
        read_bytes=settings.stream_read_bytes_per_second,
        listed_fragments=settings.stream_listed_fragments_per_second,
        fetched_fragments=settings.stream_fetched_fragments_per_second,
    )


def quotas(settings: Settings) -> Quotas:
    """How much an account may have."""
    return Quotas(
        configurations=settings.quota_configurations,
        active_pipelines=settings.quota_active_pipelines,
        active_tasks=settings.quota_active_tasks,
        domains=settings.quota_domains,
        profiles_per_domain=settings.quota_profiles_per_domain,
        streams=settings.quota_streams,
    )


def rates(text: str) -> dict[str, float]:
    """`GetVoiceProfile=5,…` as numbers by operation. Raises ConfigurationError for what cannot be read."""
    found: dict[str, float] = {}
    known = {operation for _, operation in BY_NAME} | {route.operation for route in ROUTES if not route.is_public}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = -1.0
        if name not in known or not 0 <= found[name] < 1e9:
            raise ConfigurationError(
                f"calls_per_second_by_operation: {part!r} is not OPERATION=RATE with an operation that is served"
            )
    return found
