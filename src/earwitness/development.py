"""What `serve --dev` adds: a key that everybody knows, loopback only, failures on purpose."""

import ipaddress
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from earwitness import errors
from earwitness.api.operations import BY_NAME
from earwitness.config.limits import MediaRateLimits
from earwitness.errors import AlreadyExists, ConfigurationError
from earwitness.store.store import Store, Unit

if TYPE_CHECKING:
    from earwitness.tasks.attempt import ConcludeAttempt

DEV_KEY = "test"
"""Access key, secret and bearer token of `serve --dev`, as other emulators have them."""

DEV_TOKEN_ID = "serve-dev"  # noqa: S105  # what the token is called, not what it is

DEFAULTS: Mapping[str, object] = {"calls_per_second": "0", "media_rates": MediaRateLimits()}
"""Settings whose default is another with `serve --dev`: nothing is slowed down or refused for its rate, unless the user
sets one."""

PROVOKED: Mapping[str, type[Exception]] = {
    "BadRequest": errors.BadRequest,
    "Forbidden": errors.Forbidden,
    "UnauthorizedClient": errors.Unauthorized,
    "ThrottledClient": errors.Throttled,
    "NotFound": errors.NotFound,
    "Conflict": errors.Conflict,
    "Gone": errors.Gone,
    "UnprocessableEntity": errors.Unprocessable,
    "ResourceLimitExceeded": errors.LimitExceeded,
    "ServiceUnavailable": errors.Unavailable,
    "ServiceFailure": RuntimeError,  # whatever is unexpected becomes one
}
"""What `--fail OPERATION=ERROR` may name; AWS's names without `Exception`."""


class ProvokedFailures:
    """Operations that fail on purpose. Safe to use from several threads."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[Exception, int | None]] = {}
        self._lock = Lock()

    def provoke(self, operation: str, error: str, *, times: int | None = None) -> None:
        """Let an operation fail, from now on or so many times. Raise ConfigurationError for names that are not known.

        `error` is one of PROVOKED, with or without `Exception` behind it.
        """
        name = error.removesuffix("Exception")
        if operation not in {known for _, known in BY_NAME}:
            raise ConfigurationError(f"there is no operation {operation!r} here; docs/parity.md lists them")
        if name not in PROVOKED:
            raise ConfigurationError(f"{error!r} is no error that can be provoked; give one of {', '.join(PROVOKED)}")
        if times is not None and times < 1:
            raise ConfigurationError(f"an operation fails once or more often, not {times} times")
        failure = PROVOKED[name](f"this failure was asked for: {operation}={name}")
        with self._lock:
            self._failures[operation] = failure, times

    def forget(self) -> None:
        """Let no operation fail any more."""
        with self._lock:
            self._failures.clear()

    def take(self, operation: str) -> Exception | None:
        """Return with what a call of an operation fails; None when it does not. The call is counted."""
        with self._lock:
            failure, times = self._failures.get(operation, (None, None))
            if failure is not None and times is not None:
                if times > 1:
                    self._failures[operation] = failure, times - 1
                else:
                    del self._failures[operation]
            return failure


@dataclass(frozen=True, kw_only=True)
class Development:
    """What `serve --dev` adds, and what services for tests add to it."""

    account_id: str
    """The account of the key that everybody knows."""

    provoked: ProvokedFailures = field(default_factory=ProvokedFailures)
    """Operations that fail on purpose."""

    clock: Callable[[], datetime] | None = None
    """Returns the time of records and media; None for the machine's. Signatures are held against the machine's."""

    conclude: "ConcludeAttempt | None" = None
    """Brings tasks to their end; None hears their streams. Of tests only: no command sets it."""


def provoked(texts: Sequence[str]) -> ProvokedFailures:
    """Return the failures of `--fail GetMediaPipeline=NotFound`. Raise ConfigurationError for what cannot be read."""
    found = ProvokedFailures()
    for text in texts:
        operation, _, error = text.partition("=")
        try:
            found.provoke(operation, error)
        except ConfigurationError as wrong:
            raise ConfigurationError(f"--fail {text}: {wrong}") from None
    return found


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine can reach what listens at the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_loopback(host: str) -> None:
    """ConfigurationError when others than this machine could reach the host."""
    if not is_loopback(host):
        raise ConfigurationError(f"--dev listens on loopback only, not on {host}: everybody knows its key")


def ensure_development_key(store: Store, account_id: str) -> None:
    """Have the key and the bearer token that everybody knows, in this account."""

    def work(unit: Unit) -> None:
        _ensure_key(unit, account_id)
        _ensure_token(unit, account_id)

    try:
        store.write(work)
    except AlreadyExists:  # another node has made it just now
        store.write(work)


def _ensure_key(unit: Unit, account_id: str) -> None:
    present = unit.access_keys.get(DEV_KEY)
    if present is not None:
        found = (present.account_id, present.state, present.role, present.secret)
        if found == (account_id, "enabled", "admin", DEV_KEY):
            return
        unit.access_keys.delete(present.account_id, DEV_KEY)
    unit.access_keys.create(key_id=DEV_KEY, account_id=account_id, role="admin", name="serve --dev", secret=DEV_KEY)


def _ensure_token(unit: Unit, account_id: str) -> None:
    present = unit.bearer_tokens.find(DEV_KEY)
    if present is not None:
        if (present.account_id, present.state, present.role) == (account_id, "enabled", "admin"):
            return
        unit.bearer_tokens.delete(present.account_id, present.token_id)
    unit.bearer_tokens.create(
        token=DEV_KEY,
        token_id=DEV_TOKEN_ID,
        account_id=account_id,
        role="admin",
        name="serve --dev",
    )


def refuse_development_key(store: Store) -> None:
    """ConfigurationError when the records hold an enabled key that everybody knows."""
    key = store.access_keys.get(DEV_KEY)
    if key is not None and key.state == "enabled" and secrets.compare_digest(key.secret, DEV_KEY):
        raise ConfigurationError(
            "these records were made by serve --dev, and everybody knows their key; disable it with "
            f"`earwitness keys disable {DEV_KEY} --account {key.account_id}`, or use another --data folder"
        )
