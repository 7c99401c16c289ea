"""What a test asks the JSON API of its service. It is loaded beside the first service, which takes longer."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from earwitness.errors import ServiceNotStarted, ServiceRefused


class LoopbackApi:
    """Asks on loopback, through no proxy."""

    def __init__(self, *, token: str, region: str, seconds_max: float) -> None:
        self._token = token
        self._region = region
        self._seconds_max = seconds_max
        self._opener = build_opener(ProxyHandler({}))

    # `Any`: whatever JSON can hold.
    def ask(
        self, method: str, base: str, path: str, query: Mapping[str, object], content: bytes | None = None
    ) -> dict[str, Any]:
        """Return the answer to a path of the API, which begins at `base`.

        Raise ServiceRefused with its words, ServiceNotStarted where nobody answers.
        """
        asked = urlencode({"region": self._region} | {key: str(value) for key, value in query.items()})
        request = Request(f"{base}{path}?{asked}", data=content, method=method)  # noqa: S310  # http
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", "application/octet-stream")
        try:
            with self._opener.open(request, timeout=self._seconds_max) as answer:
                return json.load(answer)
        except HTTPError as error:
            said = error.read().decode(errors="replace")
            raise ServiceRefused(f"{method} {path}: {said}", status=error.code) from None
        except (URLError, OSError) as error:
            raise ServiceNotStarted(f"the service for tests does not answer ({error}); was it closed?") from error
