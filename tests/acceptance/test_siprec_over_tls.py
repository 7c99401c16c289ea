"""Through a real service: an encrypted call by SIPREC over TLS, with a certificate that openssl made."""

import base64
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import serving
from calls import Application, connector_of, kept_fragments, streams_of
from siprec_examples import Answer, ExampleCall, description, document, multipart, read_answer, rtp

from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

PACKETS = 100
SUITE = "AES_CM_128_HMAC_SHA1_80"
KEYS = tuple(bytes([number]) * 30 for number in (7, 8))
TONES = (b"\x10" * 160, b"\x20" * 160)
"""What the parties say, in packets of 20 ms of mu-law."""


@dataclass(frozen=True, kw_only=True)
class Encrypted:
    """A service with a SIPREC door over TLS alone."""

    served: serving.Served
    port: int
    certificate: Path


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Encrypted]:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=recorder"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "siprec.toml"
    settings.write_text(
        f'siprec_tls = "127.0.0.1:{port}"\nsiprec_media = "30000-32767"\n'
        f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n',
        encoding="utf-8",
    )
    served = serving.start(tmp_path / "data", settings_file=settings, certificate=certificate)
    yield Encrypted(served=served, port=port, certificate=certificate)
    serving.stop(served)


class Controller:
    """A session border controller's connection."""

    def __init__(self, encrypted: Encrypted) -> None:
        trusted = ssl.create_default_context(cafile=encrypted.certificate)
        plain = socket.create_connection(("127.0.0.1", encrypted.port), timeout=PATIENCE_SECONDS)
        self._connection = trusted.wrap_socket(plain, server_hostname="127.0.0.1")
        self._stream = self._connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def ask(self, data: bytes) -> Answer:
        """Send, and return the final answer."""
        self.send(data)
        while (answer := self._next()).status < 200:
            pass
        return answer

    def close(self) -> None:
        self._stream.close()
        self._connection.close()

    def _next(self) -> Answer:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._stream.readline()
            assert line, "the door closed the connection"
            head += line
        return read_answer(head + self._stream.read(int(read_answer(head).headers["content-length"])))


def test_an_encrypted_call_is_kept(encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pylibsrtp")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(encrypted.certificate))
    app = Application(encrypted.served, "siprec-over-tls")
    connector = connector_of(app, "controller", is_encrypted=True)
    controller = Controller(encrypted)
    call = ExampleCall(connector=connector, transport="TLS")
    in_clear = controller.ask(call.request("INVITE", body=multipart(description(), document())))
    assert in_clear.status == 488
    crypto = tuple(f"1 {SUITE} inline:{base64.b64encode(key).decode()}" for key in KEYS)
    offer = description(profile="RTP/SAVP", crypto=crypto)
    call = ExampleCall(connector=connector, transport="TLS")
    answer = controller.ask(call.request("INVITE", body=multipart(offer, document())))
    assert answer.status == 200, answer
    assert answer.body.count(f"a=crypto:1 {SUITE} inline:") == 2
    call.to_tag = answer.to_tag
    controller.send(call.request("ACK"))
    speak(answer.ports)
    assert controller.ask(call.request("BYE")).status == 200
    controller.close()
    streams = streams_of(app, connector)
    assert len(streams) == 2
    until(lambda: all(kept_packets(app, arn) >= PACKETS for arn in streams))
    app.close()


def speak(ports: list[int]) -> None:
    """Both parties say their tone, encrypted by libsrtp."""
    from pylibsrtp import Policy, Session

    encrypting = [
        Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80))
        for key in KEYS
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        for number in range(PACKETS):
            for session, tone, port in zip(encrypting, TONES, ports, strict=True):
                packet = session.protect(rtp(tone, sequence=number, timestamp=160 * number))
                media.sendto(packet, ("127.0.0.1", port))
            time.sleep(0.01)  # its own pace, as a phone's


def kept_packets(app: Application, arn: str) -> int:
    """Return how many packets of either tone a stream keeps; one that could not be decrypted is none."""
    _, media = kept_fragments(app, arn, media=True)
    return max(media.count(tone[:1]) for tone in TONES) // 160
