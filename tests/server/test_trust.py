"""Our clients at a TLS service: a certificate that is not trusted is told as such, and one variable helps them all."""

from collections.abc import Callable
from pathlib import Path

import pytest
from live import Live

from earwitness import put_media
from earwitness.cli.client import connect
from earwitness.errors import PutMediaFailed, ServiceUnreachable, ServiceUntrusted
from earwitness.samples import first_call

STREAM = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/a/1"
UNTRUSTED = "not trusted here .*AWS_CA_BUNDLE"


@pytest.fixture
def secured(
    start: Callable[..., Live], certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Live]:
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("EARWITNESS_TOKEN", "t")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return lambda: start(tls_certificate=certificate[0], tls_key=certificate[1])


@pytest.mark.slow
def test_a_certificate_that_is_not_trusted_is_told(
    secured: Callable[..., Live], certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = secured()
    address = f"https://127.0.0.1:{live.port}"
    with connect(url=address, region=None) as service, pytest.raises(ServiceUntrusted, match=UNTRUSTED) as refused:
        service.get("/tasks")
    assert not refused.value.retryable
    with pytest.raises(PutMediaFailed, match=UNTRUSTED):
        put_media(first_call("kal"), stream_arn=STREAM, endpoint_url=address)
    plain = connect(url=f"http://127.0.0.1:{live.port}", region=None)
    with plain as service, pytest.raises(ServiceUnreachable, match="begins with https"):
        service.get("/tasks")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    with connect(url=address, region=None) as service:
        assert service.get("/openapi.json")["openapi"].startswith("3.")
    misnamed = connect(url=f"https://localhost:{live.port}", region=None)
    with misnamed as service, pytest.raises(ServiceUntrusted, match="certificate is of another name"):
        service.get("/tasks")
