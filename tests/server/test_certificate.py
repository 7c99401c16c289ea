"""The certificate: told of before it ends, named when it cannot be used, taken up again when it is renewed."""

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from live import Live, answer
from typer.testing import CliRunner

import started
from earwitness.cli.main import app
from earwitness.errors import ConfigurationError
from earwitness.server.certificate import TOLD_BEFORE, Certificate, TlsFiles

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
PEM = serialization.Encoding.PEM
TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


class Pair:
    """A certificate and its key, to be written to files."""

    def __init__(
        self,
        *,
        ends: datetime,
        begins: datetime = NOW - 365 * DAY,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def write(self, file: Path) -> Path:
        file.write_bytes(self.certificate.public_bytes(PEM))
        return file

    def write_key(self, file: Path, *, phrase: bytes = b"") -> Path:
        kept = serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
        file.write_bytes(self._key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, kept))
        return file

    @property
    def bytes(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def later() -> datetime:
    """When certificates of running services end: long after today."""
    return datetime.now(UTC) + 365 * DAY


def shown(port: int) -> bytes | None:
    """The certificate that a new client is shown."""
    plain = socket.create_connection(("127.0.0.1", port))
    with TRUSTING.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True)


@pytest.mark.slow
def test_a_renewed_certificate_is_shown_to_new_clients(
    start: Callable[..., Live], tmp_path: Path, later: datetime
) -> None:
    first, second = Pair(ends=later), Pair(ends=later)
    certificate, key = first.write(tmp_path / "c.pem"), first.write_key(tmp_path / "k.pem")
    live = start(tls_certificate=certificate, tls_key=key, siprec_tls="127.0.0.1:0", siprec_media="20000-20100")
    assert shown(live.port) == first.bytes  # so that it has started, and the door is open
    door = next(port for door in live.service.doors.status("") for kind, _, port in door.addresses if kind == "TLS")
    assert [shown(live.port), shown(door)] == [first.bytes] * 2
    with TRUSTING.wrap_socket(live.connect()) as before:
        second.write(certificate)  # half of the pair is renewed
        assert [shown(live.port), shown(door)] == [first.bytes] * 2
        second.write_key(key)
        assert [shown(live.port), shown(door)] == [second.bytes] * 2
        before.sendall(HEALTH)
        assert answer(before)[0] == 200


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [str(vars(one)["reason"]) for one in caplog.records if one.message == "clients will refuse the certificate"]
    caplog.clear()
    return found


def test_it_is_told_from_thirty_days_before_its_end_on_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair, now = Pair(ends=NOW + TOLD_BEFORE + 2 * DAY), NOW
    file = pair.write(tmp_path / "c.pem")
    files = TlsFiles(certificate=file, key=pair.write_key(tmp_path / "k.pem"))
    certificate = Certificate(files, clock=lambda: now)
    assert faults(caplog) == []
    now = NOW + 2 * DAY
    for _ in range(3):
        certificate.context()
    assert faults(caplog) == [f"{file} expires in 30 days (2026-02-02 00:00 UTC): renew it"]
    now = NOW + 32 * DAY
    certificate.context()
    assert faults(caplog) == [f"{file} has expired (2026-02-02 00:00 UTC): renew it"]
    renewed = Pair(ends=NOW + 90 * DAY)
    renewed.write_key(tmp_path / "k.pem")
    renewed.write(file)
    now = NOW + 33 * DAY
    certificate.context()
    assert faults(caplog) == []
    Certificate(files, clock=lambda: NOW - 400 * DAY)
    assert faults(caplog) == [f"{file} is not valid before 2025-01-01 00:00 UTC: see the clock of this machine"]


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    pair, other = Pair(ends=NOW), Pair(ends=NOW)
    certificate, key = pair.write(tmp_path / "c.pem"), pair.write_key(tmp_path / "k.pem")
    for wrong, said in (
        ((certificate, other.write_key(tmp_path / "o.pem")), "o.pem is not the key of tls_certificate .*c.pem"),
        ((certificate, pair.write_key(tmp_path / "e.pem", phrase=b"x")), "tls_key .*e.pem is encrypted"),
        ((certificate, certificate), "tls_key .*c.pem holds no private key"),
        ((certificate, tmp_path / "n.pem"), "tls_key .*n.pem cannot be read: No such file"),
        ((certificate, tmp_path), "tls_key .* cannot be read: Is a directory"),
        ((certificate, None), "tls_certificate .*c.pem holds no private key; set tls_key"),
        ((key, key), "tls_certificate .*k.pem holds no certificate"),
        ((tmp_path / "n.pem", key), "tls_certificate .*n.pem cannot be read"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Certificate(TlsFiles(certificate=wrong[0], key=wrong[1]))


def test_files_broken_while_they_are_replaced_leave_those_before_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut off, with another's key, a folder or nothing in its place: told once each, and over when mended."""
    first, second = Pair(ends=NOW + 100 * DAY), Pair(ends=NOW + 200 * DAY)
    file, key = first.write(tmp_path / "c.pem"), first.write_key(tmp_path / "k.pem")
    certificate = Certificate(TlsFiles(certificate=file, key=key), clock=lambda: NOW)
    before = certificate.context()
    whole = second.certificate.public_bytes(PEM)
    for size in range(0, len(whole) - 1, 60):
        file.write_bytes(whole[:size])
        assert certificate.context() is before
        assert certificate.fault().startswith("the renewed certificate cannot be used, the one before goes on: ")
        assert certificate.ends_at() == NOW + 100 * DAY
    told = len(caplog.records)
    certificate.context()
    assert len(caplog.records) == told
    file.unlink()
    assert certificate.context() is before
    assert "cannot be read: No such file" in certificate.fault()
    file.mkdir()
    assert certificate.context() is before
    assert "cannot be read: Is a directory" in certificate.fault()
    file.rmdir()
    second.write(file)
    assert "is not the key of" in certificate.fault()
    second.write_key(key)
    assert certificate.context() is not before
    assert (certificate.fault(), certificate.ends_at()) == ("", NOW + 200 * DAY)


def test_a_key_that_is_too_short_for_today_is_refused(tmp_path: Path) -> None:
    pair = Pair(ends=NOW + 100 * DAY, key=rsa.generate_private_key(65_537, 1_024))  # noqa: S505  # that is the test
    with pytest.raises(ConfigurationError, match=r"c.pem and tls_key .*k.pem cannot be used: EE_KEY_TOO_SMALL"):
        Certificate(TlsFiles(certificate=pair.write(tmp_path / "c.pem"), key=pair.write_key(tmp_path / "k.pem")))


def environment(certificate: Path, key: Path) -> dict[str, str]:
    return {"EARWITNESS_TLS_CERTIFICATE": str(certificate), "EARWITNESS_TLS_KEY": str(key)}


@pytest.mark.slow
def test_a_bad_key_is_named_before_anything_is_made_or_announced(tmp_path: Path, later: datetime) -> None:
    pair = Pair(ends=later)
    given = environment(pair.write(tmp_path / "c.pem"), Pair(ends=later).write_key(tmp_path / "k.pem"))
    line = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", "0", "--data", str(tmp_path / "data")]
    with started.process(line, env=os.environ | given, stderr=subprocess.PIPE, text=True) as refused:
        _, said = refused.communicate()
    assert (refused.returncode, "k.pem is not the key of tls_certificate" in " ".join(said.split())) == (2, True)
    assert "answers at" not in said
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_an_expired_one_is_told_at_the_start_in_the_log_and_by_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_cache: object
) -> None:
    pair = Pair(ends=NOW)
    certificate, key = pair.write(tmp_path / "c.pem"), pair.write_key(tmp_path / "k.pem")
    said = "c.pem has expired (2026-01-01 00:00 UTC): renew it"
    line = [sys.executable, "-m", "earwitness", "serve", "--dev", "--port", "0", "--data", str(tmp_path / "data")]
    with started.process(
        line, env=os.environ | environment(certificate, key), stderr=subprocess.PIPE, text=True
    ) as one:
        started.first_match(one, "answers at")
        one.terminate()
        one.wait()
        lines = started.all_said(one)
    logged = [json.loads(each) for each in lines.splitlines() if each.startswith("{")]
    assert said in next(each["reason"] for each in logged if each["room"] == "earwitness.certificate")
    people = " ".join(each for each in lines.splitlines() if not each.startswith("{"))
    assert said in " ".join(people.split())
    for name, value in environment(certificate, key).items():
        monkeypatch.setenv(name, value)
    check = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["certificate"]
    assert (check["ok"], said in check["found"]) == (False, True)
    Pair(ends=datetime.now(UTC) + 10 * DAY).write(certificate)
    check = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["certificate"]
    assert (check["ok"], "is not the key" in check["found"]) == (False, True)
    soon = Pair(ends=datetime.now(UTC) + 10 * DAY)
    soon.write(certificate)
    soon.write_key(key)
    check = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["certificate"]
    assert (check["ok"], "expires in 9 days" in check["found"]) == (True, True)
