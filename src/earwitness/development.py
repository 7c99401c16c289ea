"""What `serve --dev` adds: a key that everybody knows, loopback only, failures on purpose."""

import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from earwitness import errors
from earwitness.api.operations import BY_NAME
from earwitness.config.limits import MediaRateLimits
from earwitness.errors import AlreadyExists, ConfigurationError
from earwitness.store.store import Store, Unit

DEV_KEY = "test"
"""Access key, secret and bearer token of `serve --dev`, as other emulators have them."""

_DEV_TOKEN_ID = "serve-dev"  # noqa: S105  # what the token is called, not what it is

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


@dataclass(frozen=True, kw_only=True)
class Development:
    """What `serve --dev` adds."""

    account_id: str
    """The account of the key that everybody knows."""

    provoked: Mapping[str, Exception]
    """Operations that fail on purpose."""


def provoked(texts: Sequence[str]) -> dict[str, Exception]:
    """`GetMediaPipeline=NotFound` as errors by operation. Raises ConfigurationError for what cannot be read."""
    found: dict[str, Exception] = {}
    known = {operation for _, operation in BY_NAME}
    for text in texts:
        name, _, error = text.partition("=")
        error = error.removesuffix("Exception")
        if name not in known:
            raise ConfigurationError(f"--fail {text}: there is no operation {name!r} here; docs/parity.md lists them")
        if error not in PROVOKED:
            raise ConfigurationError(f"--fail {text}: give one of {', '.join(PROVOKED)}")
        found[name] = PROVOKED[error](f"this failure was asked for: serve --fail {name}={error}")
    return found


def require_loopback(host: str) -> None:
    """ConfigurationError when others than this machine could reach the host."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
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
        token_id=_DEV_TOKEN_ID,
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
