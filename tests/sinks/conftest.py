"""A moto server of our own, a server that records, and nothing of the developer's AWS settings."""

import os
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from event_examples import REGION
from recording_server import Recording, recording

from earwitness.aws.clients import AwsCredentials
from earwitness.sinks import http_post
from earwitness.sinks.aws_clients import SinkClients, SinkSettings
from moto_server import moto

CREDENTIALS = AwsCredentials(access_key_id="AKIDEXAMPLE", secret_access_key="an example's secret")  # noqa: S106

Make = Callable[[str], Any]


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of a moto server."""
    with moto() as url:
        yield url


@pytest.fixture(autouse=True)
def _no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def _recorder_of_all() -> Iterator[Recording]:
    with recording() as kept:
        yield kept


@pytest.fixture
def recorder(_recorder_of_all: Recording) -> Iterator[Recording]:
    """One server for all tests, because making clients for it takes a while; each finds it as new."""
    _recorder_of_all.reset()
    yield _recorder_of_all
    _recorder_of_all.over.set()


@pytest.fixture(scope="session")
def clients_at() -> Iterator[Callable[..., SinkClients]]:
    """Makes the clients of an endpoint; the same ones for the same endpoint, unless something else is asked for."""
    made: list[SinkClients] = []
    shared: dict[str, SinkClients] = {}

    def make(endpoint_url: str | None, **others: Any) -> SinkClients:
        if endpoint_url in shared and not others:
            return shared[endpoint_url]
        settings = SinkSettings(**{"endpoint_url": endpoint_url, "credentials": CREDENTIALS} | others)
        made.append(SinkClients(settings))
        if endpoint_url is not None and not others:
            shared[endpoint_url] = made[-1]
        return made[-1]

    yield make
    for clients in made:
        clients.close()


@pytest.fixture
def aws(moto_server: str) -> Iterator[Make]:
    """A plain boto3 client of the moto server, to prepare and to look."""
    made: list[Any] = []

    def make(service: str) -> Any:
        client = boto3.client(
            service,
            region_name=REGION,
            endpoint_url=moto_server,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=CREDENTIALS.secret_access_key,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"calls-{uuid4().hex[:8]}"


@pytest.fixture
def tls_until(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ssl.SSLContext]]:
    """Makes a server's TLS for events.example, whose certificate lasts so long; trusted here for the time of a test."""

    def make(days: int, *, is_trusted: bool = True) -> ssl.SSLContext:
        file = tmp_path / "server.pem"
        file.write_bytes(_certificate(timedelta(days=days)))
        if is_trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
        http_post._tls.cache_clear()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    yield make
    http_post._tls.cache_clear()


@pytest.fixture
def authority(tls_until: Callable[..., ssl.SSLContext]) -> ssl.SSLContext:
    """A server's TLS for events.example, whose certificate this machine trusts for the time of a test."""
    return tls_until(1)


def _certificate(lasts: timedelta) -> bytes:
    """Return a key and a certificate that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "events.example")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=9))
        .not_valid_after(today + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("events.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded + certificate.public_bytes(serialization.Encoding.PEM)
