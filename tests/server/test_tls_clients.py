"""Who gets in by TLS: versions, ciphers, and clients that have to show a certificate."""

import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from live import DEADLINE_SECONDS, Live, answer, client

from earwitness.cli.client import connect
from earwitness.config import Settings
from earwitness.config.aws import trusted
from earwitness.errors import ConfigurationError, EarwitnessError
from earwitness.from_settings import certificate_of, siprec_certificate
from patience import until

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
HOUR = timedelta(hours=1)


class Authority:
    """An authority of clients' certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        built = self._builder(name, self._key, ends=datetime.now(UTC) + HOUR)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = built.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def client(
        self, name: str, *, ends: timedelta = HOUR, usage: ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH
    ) -> tuple[Path, x509.Certificate]:
        """A client's certificate with its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._builder(name, key, ends=datetime.now(UTC) + ends)
        made = built.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).sign(self._key, hashes.SHA256())
        file = self._folder / f"{name}.pem"
        plain = serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        return file, made

    def revoke(self, certificate: x509.Certificate) -> None:
        """Put a list with this certificate behind that of the authority."""
        now = datetime.now(UTC)
        revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
        built = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        built = built.last_update(now - HOUR).next_update(now + HOUR).add_revoked_certificate(revoked.build())
        text = built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.file.write_bytes(self.file.read_bytes() + text)

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey, *, ends: datetime) -> x509.CertificateBuilder:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        built = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(self._name))
        built = built.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return built.not_valid_before(datetime.now(UTC) - 48 * HOUR).not_valid_after(ends)


@dataclass
class Guarded:
    """A service that asks for certificates of one authority."""

    live: Live
    authority: Authority
    certificate: Path

    def reach(self, shown: Path | None = None) -> int:
        """The status of /health for a client that shows this; 0 when TLS refuses it."""
        return reach(self.live.port, self.certificate, shown)


def reach(port: int, authority: Path, shown: Path | None, sent: bytes = HEALTH) -> int:
    context = ssl.create_default_context(cafile=str(authority))
    if shown is not None:
        context.load_cert_chain(shown)
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain:
        connection = context.wrap_socket(plain, server_hostname="127.0.0.1")
        with connection:
            connection.sendall(sent)
            return answer(connection)[0]  # TLS 1.3: a client learns with the first answer that it was refused
    return 0


@pytest.fixture
def guarded(start: Callable[..., Live], certificate: tuple[Path, Path], tmp_path: Path) -> Guarded:
    authority = Authority(tmp_path, "authority")
    live = start(
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        tls_client_ca=authority.file,
        metrics_address="127.0.0.1:0",
        public_url="https://voices.example.org",
    )
    until(lambda: live.server.started)
    return Guarded(live, authority, certificate[0])


@pytest.mark.slow
def test_only_clients_of_the_authority_get_in(guarded: Guarded, tmp_path: Path) -> None:
    known, _ = guarded.authority.client("known")
    strange, _ = Authority(tmp_path, "another").client("strange")
    same_name, _ = Authority(tmp_path / "elsewhere", "authority").client("forged")  # its name is all it has
    expired, _ = guarded.authority.client("expired", ends=-HOUR)
    server, _ = guarded.authority.client("server", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    assert guarded.reach(known) == 200
    assert [guarded.reach(shown) for shown in (None, strange, same_name, expired, server)] == [0] * 5
    assert guarded.reach(known) == 200
    # Whoever gets in has no rights by that.
    unsigned = b"GET /voice-profile-domains HTTP/1.1\r\nHost: a\r\n\r\n"
    assert reach(guarded.live.port, guarded.certificate, known, unsigned) == 401


@pytest.mark.slow
def test_a_certificate_is_revoked_and_an_authority_replaced_without_a_restart(guarded: Guarded, tmp_path: Path) -> None:
    known, _ = guarded.authority.client("known")
    lost, revoked = guarded.authority.client("lost")
    assert [guarded.reach(each) for each in (known, lost)] == [200, 200]
    guarded.authority.revoke(revoked)
    assert [guarded.reach(each) for each in (known, lost)] == [200, 0]
    whole = guarded.authority.file.read_bytes()
    guarded.authority.file.write_bytes(b"")  # it is being replaced: nobody gets in who did not before
    assert [guarded.reach(each) for each in (None, known, lost)] == [0, 200, 0]
    guarded.authority.file.write_bytes(whole)
    following = Authority(tmp_path, "following")
    new, _ = following.client("new")
    following.file.rename(guarded.authority.file)
    assert [guarded.reach(each) for each in (new, known, None)] == [200, 0, 0]


@pytest.mark.slow
def test_commands_and_boto3_show_the_certificate_of_the_settings(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, _ = guarded.authority.client("known")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(guarded.certificate))
    monkeypatch.setenv("EARWITNESS_TOKEN", "ewt_none")
    with connect(url=guarded.live.url, region=None) as service, pytest.raises(EarwitnessError, match="no earwitness"):
        service.get("/domains")
    monkeypatch.setenv("EARWITNESS_CLIENT_CERTIFICATE", str(known))
    with connect(url=guarded.live.url, region=None) as service, pytest.raises(EarwitnessError, match="token"):
        service.get("/domains")  # it got in, and the token is none
    monkeypatch.setenv("EARWITNESS_CLIENT_KEY", str(guarded.certificate))
    with pytest.raises(ConfigurationError, match=r"client_certificate .*known.pem and its key .* cannot be used"):
        trusted()


@pytest.mark.slow
def test_probes_without_a_certificate_ask_at_the_address_of_metrics(guarded: Guarded) -> None:
    own = guarded.live.service._observing._own
    assert own is not None
    url = f"http://127.0.0.1:{own._listener.getsockname()[1]}"
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    ready = httpx.get(f"{url}/ready").json()
    assert "status" in ready
    assert "expires in 0 days" in ready["certificate"]  # that of the tests ends within the hour
    assert httpx.get(f"{url}/voice-profile-domains").status_code == 404
    shown = "earwitness_tls_certificate_expiry_timestamp_seconds"
    before = next(line for line in httpx.get(f"{url}/metrics").text.splitlines() if line.startswith(shown))
    assert guarded.live.listening.certificate is not None
    assert float(before.split()[1]) == guarded.live.listening.certificate.ends_at().timestamp()
    guarded.certificate.write_text("broken", encoding="utf-8")
    assert "the one before goes on" in httpx.get(f"{url}/ready").json()["certificate"]
    assert before in httpx.get(f"{url}/metrics").text


@pytest.mark.slow
def test_phone_systems_have_authorities_of_their_own(
    start: Callable[..., Live], certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "phones")
    known, _ = authority.client("known")
    live = start(
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        siprec_tls="127.0.0.1:0",
        siprec_tls_client_ca=authority.file,
        siprec_media="20000-20100",
    )
    until(lambda: live.server.started)
    door = next(port for door in live.service.doors.status("") for kind, _, port in door.addresses if kind == "TLS")
    options = (
        b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    assert reach(door, certificate[0], None, options) == 0
    assert reach(door, certificate[0], known, options) in (200, 403)
    assert reach(live.port, certificate[0], None) == 200


@pytest.fixture
def secured(start: Callable[..., Live], certificate: tuple[Path, Path]) -> Live:
    live = start(tls_certificate=certificate[0], tls_key=certificate[1], public_url="https://voices.example.org")
    until(lambda: live.server.started)
    return live


def agreed(port: int, context: ssl.SSLContext) -> tuple[str | None, str] | None:
    """Version and cipher that a client and the service agree on; None when on nothing."""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain:
        connection = context.wrap_socket(plain)
        with connection:
            cipher = connection.cipher()
            return connection.version(), cipher[0] if cipher else ""
    return None


@pytest.mark.slow
def test_old_versions_and_weak_ciphers_are_refused(secured: Live) -> None:
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that is why they are refused
            context.minimum_version = context.maximum_version = version
        assert agreed(secured.port, context) is None, version
    for ciphers in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "aNULL", "NULL"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert agreed(secured.port, context) is None, ciphers
    newest = agreed(secured.port, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    assert newest is not None
    assert newest[0] == "TLSv1.3"
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    found = agreed(secured.port, older)
    assert found is not None
    assert (found[0], found[1].startswith("ECDHE-")) == ("TLSv1.2", True)


@pytest.mark.slow
def test_a_thousand_open_handshakes_keep_nobody_out(secured: Live) -> None:
    with ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(secured.connect()).sendall(b"\x16\x03\x01")
        asking = client(secured.url, verify=str(secured.settings.tls_certificate))
        assert asking.list_voice_profile_domains()["VoiceProfileDomains"] == []
        asking.close()


@pytest.mark.slow
def test_answers_forbid_guessing_and_keeping(secured: Live, start: Callable[..., Live]) -> None:
    everywhere = {"strict-transport-security": "max-age=31536000"}
    private = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    with httpx.Client(base_url=secured.url, verify=trusting(secured)) as asking:
        for path in ("/health", "/ready", "/voice-profile-domains", "/earwitness/v1/domains", "/earwitness/v1/nothing"):
            headers = asking.get(path).headers
            assert (everywhere | private).items() <= dict(headers).items(), path
        page = asking.get("/console/sign-in").headers
        assert everywhere.items() <= dict(page).items()
        assert page["x-content-type-options"] == "nosniff"
    plain = start()
    assert "strict-transport-security" not in httpx.get(f"{plain.url}/health").headers
    assert "strict-transport-security" not in plain.ask(b"nonsense\r\n\r\n")[1]


def trusting(live: Live) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(live.settings.tls_certificate))


def test_authorities_that_cannot_be_used_are_named(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    given = Settings(tls_certificate=certificate[0], tls_key=certificate[1])
    for settings, said in (
        (replace(given, tls_client_ca=empty), "tls_client_ca .*empty.pem holds no certificate of an authority"),
        (replace(given, tls_client_ca=tmp_path), "tls_client_ca .* cannot be read: Is a directory"),
        (Settings(tls_client_ca=empty), "there is a tls_client_ca and no tls_certificate"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            certificate_of(settings)
    for settings, said in (
        (replace(given, siprec_tls_client_ca=empty), "there is a siprec_tls_client_ca and no siprec_tls"),
        (
            replace(given, siprec_tls="127.0.0.1:0", siprec_tls_client_ca=empty),
            "siprec_tls_client_ca .*empty.pem holds no certificate of an authority",
        ),
    ):
        with pytest.raises(ConfigurationError, match=said):
            siprec_certificate(settings)
