"""The certificate that this service shows: judged at the start, told of before it expires, taken up again when renewed.

The files are looked at when a client connects. Files that cannot be used, because only one of the two is renewed yet or
for another reason, leave those before in use.

What belongs here: the files, and the TLS context made of them. What must never: sockets.
"""

import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

TOLD_BEFORE = timedelta(days=30)
"""How long before its end an expiring certificate is told of; renewal tools begin about then."""

TOLD_EVERY = timedelta(days=1)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those that keep what was recorded secret when the key is stolen later, and that authenticate what they
encrypt. TLS 1.3 has no others."""

_log = logging.getLogger("earwitness.certificate")


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """The files of one listener's TLS."""

    certificate: Path
    """The chain, in PEM."""

    key: Path | None
    """None where the file of the certificate holds it too."""

    client_ca: Path | None = None
    """Authorities: only a client with a certificate of one of them gets in. None: every client does."""

    client_ca_setting: str = "tls_client_ca"

    @property
    def all(self) -> list[Path]:
        """Return the files that there are."""
        return [file for file in (self.certificate, self.key, self.client_ca) if file is not None]


@dataclass(frozen=True, kw_only=True)
class _Used:
    """What is in use: of files as they were when they could last be used."""

    context: ssl.SSLContext
    begins: datetime
    ends: datetime


class Certificate:
    """A certificate in files, its key, and the authorities of clients. Any thread may ask it."""

    def __init__(self, files: TlsFiles, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Raise ConfigurationError, which names the file, when they cannot be used. `clock` tells UTC."""
        self._files = files
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = _state(files.all)
        self._used = _read(files)
        self._unusable = ""
        self._told_at: datetime | None = None
        self._tell()

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for the next client, of the files as they are now."""
        with self._lock:
            self._look()
            return self._used.context

    def ends_at(self) -> datetime:
        """Return when what clients are shown expires: the certificate, or the first that signed it."""
        with self._lock:
            self._look()
            return self._used.ends

    def fault(self) -> str:
        """Return what an operator has to do about the files; "" when nothing."""
        with self._lock:
            self._look()
            in_use = _fault(self._files.certificate, self._used.begins, self._used.ends, now=self._clock())
            return self._unusable or in_use or ""

    def _look(self) -> None:
        seen = _state(self._files.all)
        if seen != self._seen:
            self._seen = seen
            self._renew()
        elif self._told_at is not None and self._clock() - self._told_at >= TOLD_EVERY:
            self._tell()

    def _renew(self) -> None:
        try:
            self._used = _read(self._files)
        except ConfigurationError as error:
            self._unusable = f"the renewed certificate cannot be used, the one before goes on: {error}"
            _log.warning("the renewed certificate cannot be used; the one before goes on", extra={"reason": str(error)})
            return
        self._unusable = ""
        _log.warning("a renewed certificate is in use", extra={"file": str(self._files.certificate)})
        self._tell()

    def _tell(self) -> None:
        """Say in the log when the certificate is not valid, or will soon not be."""
        self._told_at = self._clock()
        fault = _fault(self._files.certificate, self._used.begins, self._used.ends, now=self._told_at)
        if fault is not None:
            _log.warning("clients will refuse the certificate", extra={"reason": fault})


def read_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a server's TLS context, for version 1.2 and later.

    Raise ConfigurationError, which names the file, when it cannot be made.
    """
    certificate, key = files.certificate, files.key
    for file, setting in ((certificate, "tls_certificate"), (key, "tls_key")):
        if file is not None:
            _require_readable(file, setting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except (ssl.SSLError, ConfigurationError) as error:
        raise ConfigurationError(_why_unusable(certificate, key, error)) from error
    if files.client_ca is not None:
        _require_clients_of(context, files.client_ca, files.client_ca_setting)
    return context


def _require_clients_of(context: ssl.SSLContext, authorities: Path, setting: str) -> None:
    """Have every client show a certificate of one of these authorities. Raise ConfigurationError."""
    _require_readable(authorities, setting)
    try:
        context.load_verify_locations(cafile=authorities)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{setting} {authorities} holds no certificate of an authority in PEM") from error
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # a resumed session would show no certificate again
    if b"-----BEGIN X509 CRL-----" in authorities.read_bytes():
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _read(files: TlsFiles) -> _Used:
    context, chain = read_context(files), _chain(files.certificate)
    begins = max(one.not_valid_before_utc for one in chain)
    return _Used(context=context, begins=begins, ends=min(one.not_valid_after_utc for one in chain))


def _fault(certificate: Path, begins: datetime, ends: datetime, *, now: datetime) -> str | None:
    """Return what is wrong with the dates of a certificate or of one that signed it, and what to do; None when nothing
    is, or will be within TOLD_BEFORE.
    """
    if now >= ends:
        return f"{certificate} has expired ({ends:%Y-%m-%d %H:%M} UTC): renew it"
    if now < begins:
        return f"{certificate} is not valid before {begins:%Y-%m-%d %H:%M} UTC: see the clock of this machine"
    if ends - now <= TOLD_BEFORE:
        return f"{certificate} expires in {(ends - now).days} days ({ends:%Y-%m-%d %H:%M} UTC): renew it"
    return None


def _chain(certificate: Path) -> "list[x509.Certificate]":
    from cryptography import x509  # a start without TLS need not wait for it

    try:
        return x509.load_pem_x509_certificates(certificate.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"tls_certificate {certificate} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"tls_certificate {certificate} holds no certificate in PEM") from error


def _require_readable(file: Path, setting: str) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} {file} cannot be read: {error.strerror}") from error


def _refuse_password() -> str:
    """Called for a key that is encrypted; OpenSSL would ask at the terminal."""
    raise ConfigurationError("encrypted")


def _why_unusable(certificate: Path, key: Path | None, error: Exception) -> str:
    _chain(certificate)  # says so itself where it holds none
    if isinstance(error, ConfigurationError):
        file = key or certificate
        return f"tls_key {file} is encrypted; give a key without a pass phrase, in a file that others cannot read"
    if key is None:
        return f"tls_certificate {certificate} holds no private key; set tls_key to the file that does"
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return f"tls_key {key} is not the key of tls_certificate {certificate}"
    if reason is None or reason in ("PEM_LIB", "NO_START_LINE"):
        return f"tls_key {key} holds no private key in PEM"
    return f"tls_certificate {certificate} and tls_key {key} cannot be used: {reason}"


def _state(files: list[Path]) -> list[tuple[int, int, int] | None]:
    """Return what changes when one of the files is written or replaced."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:  # it is being replaced
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return found
