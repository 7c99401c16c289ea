"""The certificate that this service shows: judged at the start, told of before it expires, taken up again when renewed.

The files are looked at when a client connects. A pair that cannot be used, because only one of its two files is renewed
yet or for another reason, leaves the one before in use.

What belongs here: the two files, and the TLS context made of them. What must never: sockets.
"""

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from earwitness.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

TOLD_BEFORE = timedelta(days=30)
"""How long before its end an expiring certificate is told of; renewal tools begin about then."""

TOLD_EVERY = timedelta(days=1)

_log = logging.getLogger("earwitness.certificate")


class Certificate:
    """A certificate and its key, in files. Belongs to one thread."""

    def __init__(
        self, certificate: Path, key: Path | None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Raise ConfigurationError, which names the file, when they cannot be used. `clock` tells UTC."""
        self._files = [certificate] if key is None else [certificate, key]
        self._clock = clock
        self._seen = _state(self._files)
        self._context = read_context(certificate, key)
        self._told_at: datetime | None = None
        self._tell()

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for the next client, of the files as they are now."""
        seen = _state(self._files)
        if seen != self._seen:
            self._seen = seen
            self._renew()
        elif self._told_at is not None and self._clock() - self._told_at >= TOLD_EVERY:
            self._tell()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = read_context(self._files[0], self._files[1] if len(self._files) > 1 else None)
        except ConfigurationError as error:
            _log.warning("the renewed certificate cannot be used; the one before goes on", extra={"reason": str(error)})
            return
        _log.warning("a renewed certificate is in use", extra={"file": str(self._files[0])})
        self._tell()

    def _tell(self) -> None:
        """Say in the log when the certificate is not valid, or will soon not be."""
        self._told_at = self._clock()
        try:
            fault = fault_of(self._files[0], now=self._told_at)
        except ConfigurationError as error:  # replaced while we read it
            fault = str(error)
        if fault is not None:
            _log.warning("clients will refuse the certificate", extra={"reason": fault})


def read_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return a server's TLS context. Raise ConfigurationError, which names the file, when it cannot be made."""
    for file, setting in ((certificate, "tls_certificate"), (key, "tls_key")):
        if file is not None:
            _require_readable(file, setting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except (ssl.SSLError, ConfigurationError) as error:
        raise ConfigurationError(_why_unusable(certificate, key, error)) from error
    return context


def fault_of(certificate: Path, *, now: datetime) -> str | None:
    """Return what is wrong with the dates of a certificate or of one that signed it, and what to do; None when nothing
    is, or will be within TOLD_BEFORE.
    """
    chain = _chain(certificate)
    begins = max(one.not_valid_before_utc for one in chain)
    ends = min(one.not_valid_after_utc for one in chain)
    if now >= ends:
        return f"{certificate} has expired ({ends:%Y-%m-%d %H:%M} UTC): renew it"
    if now < begins:
        return f"{certificate} is not valid before {begins:%Y-%m-%d %H:%M} UTC: see the clock of this machine"
    if ends - now <= TOLD_BEFORE:
        return f"{certificate} expires in {(ends - now).days} days ({ends:%Y-%m-%d %H:%M} UTC): renew it"
    return None


def ends_at(certificate: Path) -> datetime:
    """Return when a certificate, or the first that signed it, expires."""
    return min(one.not_valid_after_utc for one in _chain(certificate))


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
