"""KMS: data keys of domains are wrapped by keys that this service never has.

Which keys are meant by which ARNs, and where they are reached, is what the setting `kms_keys` says. An ARN that it does
not name is only a text, as a domain's `KmsKeyArn` always was.

What belongs here: calls to KMS and what its errors mean. What must never: how long what it opened is remembered.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from earwitness.aws.clients import AwsClients, AwsSettings
from earwitness.errors import CiphertextRefused, ConfigurationError, KeyServiceUnavailable

_AWS = "aws"
_ATTEMPTS = 2
_SILENT_SECONDS = 2.0
"""So long nobody asks a place again that did not answer: each asker would wait as long as the first."""

_FAULT_SECONDS = 300.0

_log = logging.getLogger("earwitness.kms")


@dataclass(frozen=True, kw_only=True)
class KeyPlace:
    """Where a key is."""

    #: An ARN as domains name it, or the beginning of some with `*` behind it.
    pattern: str
    #: None for AWS's own.
    endpoint_url: str | None
    #: What the key is called there; empty for the ARN itself.
    key_id: str = ""

    def is_of(self, arn: str) -> bool:
        """Return whether this is the place of a key."""
        return arn.startswith(self.pattern[:-1]) if self.pattern.endswith("*") else arn == self.pattern


def key_places(text: str) -> tuple[KeyPlace, ...]:
    """Return what `ARN=PLACE,…` says: `aws` or a URL, and `#KEY` behind it where the key has another name there.

    Raise ConfigurationError.
    """
    places: list[KeyPlace] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        pattern, equals, place = part.partition("=")
        url, _, key_id = place.strip().partition("#")
        if not equals or not pattern.strip().startswith("arn:") or not url:
            raise ConfigurationError(
                "setting kms_keys is ARN=aws or ARN=URL, with commas between; an ARN may end in *, and #KEY behind the "
                "place names the key there"
            )
        places.append(
            KeyPlace(pattern=pattern.strip(), endpoint_url=None if url == _AWS else url, key_id=key_id.strip())
        )
    return tuple(places)


class KeyService:
    """Keys at KMS. Safe to use from several threads."""

    def __init__(
        self,
        places: tuple[KeyPlace, ...],
        settings: AwsSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raise ConfigurationError for an address that is no URL."""
        for place in places:
            replace(settings, endpoint_url=place.endpoint_url)  # looks at the address
        self._places = places
        self._clients = AwsClients(settings)
        self._monotonic = monotonic
        self._lock = Lock()
        self._silent: dict[str | None, tuple[float, str]] = {}
        self._faults: dict[str, tuple[float, str]] = {}

    def has(self, arn: str) -> bool:
        """Return whether the settings say where this key is."""
        return self._place(arn) is not None

    def wrap(self, data_key: bytes, *, arn: str, owner: str) -> bytes:
        """Return what KMS makes of a data key, which opens with this owner alone. Raise KeyServiceUnavailable."""
        return self._ask("encrypt", arn, owner, Plaintext=data_key)["CiphertextBlob"]

    def unwrap(self, blob: bytes, *, arn: str, owner: str) -> bytes:
        """Return the data key.

        Raise KeyServiceUnavailable, also while the key is disabled; CiphertextRefused for what is not of this owner.
        """
        return self._ask("decrypt", arn, owner, CiphertextBlob=blob)["Plaintext"]

    def fault(self) -> str:
        """Return what was wrong with keys in the last minutes and is still; "" when nothing was."""
        with self._lock:
            latest = [why for at, why in self._faults.values() if self._monotonic() - at < _FAULT_SECONDS]
        return "; ".join(sorted(set(latest)))

    def _place(self, arn: str) -> KeyPlace | None:
        return next((place for place in self._places if place.is_of(arn)), None)

    def _ask(self, operation: str, arn: str, owner: str, **parameters: bytes) -> dict[str, bytes]:
        place = self._place(arn)
        if place is None:
            raise KeyServiceUnavailable(
                f"the settings do not say where {arn} is, which a domain's data key is under; add it to kms_keys"
            )
        self._require_not_silent(place)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._asked(operation, place, arn, owner, parameters)
            except KeyServiceUnavailable as error:
                if attempt < _ATTEMPTS and isinstance(error, _SilentError):
                    continue
                self._note(arn, place, error)
                raise
            with self._lock:
                self._faults.pop(arn, None)
                self._silent.pop(place.endpoint_url, None)
            return answer
        raise AssertionError("the last attempt returns or raises")

    def _asked(
        self, operation: str, place: KeyPlace, arn: str, owner: str, parameters: dict[str, bytes]
    ) -> dict[str, bytes]:
        from botocore.exceptions import ClientError  # loaded where keys are at KMS

        from earwitness.aws.failures import UNANSWERED, Meaning, answer_of, meaning_of

        try:
            client = self._clients.client("kms", arn.split(":")[3], endpoint_url=place.endpoint_url)
            return getattr(client, operation)(
                KeyId=place.key_id or arn, EncryptionContext={"earwitness:owner": owner}, **parameters
            )
        except ClientError as error:
            code, status = answer_of(error)
            if code in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise CiphertextRefused(
                    f"a data key does not open at KMS ({code}): it is damaged, or was moved here"
                ) from None
            if meaning_of(code=code, status=status) is Meaning.LATER:
                raise _SilentError(f"{arn} cannot be used now ({code}, status {status}); it is tried again") from None
            raise KeyServiceUnavailable(
                f"{arn} cannot be used ({code}): what is under it cannot be read until it is enabled, and the "
                "service's credentials may use it"
            ) from None
        except UNANSWERED as error:
            raise _SilentError(f"KMS does not answer for {arn} ({type(error).__name__}); it is tried again") from None

    def _require_not_silent(self, place: KeyPlace) -> None:
        with self._lock:
            at, why = self._silent.get(place.endpoint_url, (None, ""))
        if at is not None and self._monotonic() - at < _SILENT_SECONDS:
            raise KeyServiceUnavailable(why)

    def _note(self, arn: str, place: KeyPlace, error: KeyServiceUnavailable) -> None:
        with self._lock:
            self._faults[arn] = self._monotonic(), str(error)
            if isinstance(error, _SilentError):
                self._silent[place.endpoint_url] = self._monotonic(), str(error)
        _log.warning("a key at KMS cannot be used", extra={"reason": str(error)})


class _SilentError(KeyServiceUnavailable):
    """No answer, or one that says to come again."""
