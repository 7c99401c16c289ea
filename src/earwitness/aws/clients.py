"""Clients of AWS's services: one per service, Region and endpoint, made on first use, shared by all threads.

What belongs here: how boto3 is set up. The endpoint comes from the settings alone: AWS_ENDPOINT_URL in the environment
or in AWS's configuration file names this very service, so it is ignored.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from earwitness.errors import ConfigurationError

Client: TypeAlias = Any
"""A boto3 client. `Any`: boto3 makes its classes at run time from data and has no types."""

CONNECT_SECONDS = 5.0
"""A packet lost twice on the way is sent again within 3 s."""

READ_SECONDS = 10.0
"""AWS answers in well under a second; callers try again what takes longer."""

CONNECTIONS_MAX = 32
"""Kept open per client; not less than the threads that send events."""

CLIENTS_MAX = 64
"""A few services in a dozen Regions. A client holds a service's model, some megabytes; the one idle longest goes."""


@dataclass(frozen=True, kw_only=True)
class AwsCredentials:
    """A key that signs requests."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AwsSettings:
    """How AWS's services are reached. ConfigurationError for an endpoint that is no http or https URL."""

    endpoint_url: str | None = None
    """For all services; None for AWS's own."""

    endpoint_urls: Mapping[str, str] = field(default_factory=dict[str, str])
    """By service, as boto3 names it (`sqs`, `events`), before the one for all."""

    credentials: AwsCredentials | None = None
    """None for boto3's default chain: environment, configuration files, the machine's role."""

    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS
    connections_max: int = CONNECTIONS_MAX

    def __post_init__(self) -> None:
        for url in (self.endpoint_url, *self.endpoint_urls.values()):
            if url is not None and not _is_endpoint(url):
                raise ConfigurationError("an endpoint of AWS's is no http or https URL; give it as http://HOST:PORT")

    def endpoint_of(self, service: str) -> str | None:
        """Return the endpoint of a service; None for AWS's own."""
        return self.endpoint_urls.get(service, self.endpoint_url)


class AwsClients:
    """The clients of one set of settings."""

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._session: Any = None  # boto3's, untyped; made late, because importing boto3 takes a while
        self._clients: OrderedDict[tuple[str, str, str | None], Client] = OrderedDict()

    def client(self, service: str, region: str, *, endpoint_url: str | None = None) -> Client:
        """Return the client of a service in a Region, at `endpoint_url` if one is given.

        Raise what boto3 does, NoCredentialsError when there are no credentials; `failures` says what it means.
        """
        key = (service, region, endpoint_url)
        with self._lock:  # also while one is made: sessions are not for several threads
            if key not in self._clients:
                self._clients[key] = self._made(service, region, endpoint_url)
            self._clients.move_to_end(key)
            if len(self._clients) > CLIENTS_MAX:
                self._clients.popitem(last=False)  # not closed: a thread may be using it
            return self._clients[key]

    def close(self) -> None:
        """Close all connections; the next use makes new clients."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _made(self, service: str, region: str, endpoint_url: str | None) -> Client:
        from botocore.config import Config
        from botocore.exceptions import NoCredentialsError

        settings = self._settings
        config = Config(
            ignore_configured_endpoint_urls=True,
            connect_timeout=settings.connect_seconds,
            read_timeout=settings.read_seconds,
            max_pool_connections=settings.connections_max,
            retries={"total_max_attempts": 1},  # callers try again themselves
        )
        session = self._opened_session()
        if session.get_credentials() is None:  # a client made now would never look for them again
            raise NoCredentialsError
        endpoint_url = endpoint_url or settings.endpoint_of(service)
        return session.client(service, region_name=region, endpoint_url=endpoint_url, config=config)

    def _opened_session(self) -> Any:  # boto3's, untyped
        if self._session is None:
            import boto3.session

            given = self._settings.credentials
            self._session = boto3.session.Session(
                aws_access_key_id=given.access_key_id if given else None,
                aws_secret_access_key=given.secret_access_key if given else None,
            )
        return self._session


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, half a bracket
        return False
