"""What a browser does with the console, without a browser."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from live import ACCOUNT

from earwitness.store.records import Scope

SCOPE = Scope(account_id=ACCOUNT, region="us-east-1")
REGION = f"/console/{SCOPE.region}"


@dataclass(frozen=True)
class Visit:
    """What a browser does, without a browser."""

    client: httpx.Client
    url: str

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def post(self, path: str, *, origin: str | None = "", **form: str) -> httpx.Response:
        """Send a form as a page of the console does; `origin` says that it is another's, None that nobody knows."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if origin is not None:
            headers["origin"] = origin or self.url
        return self.client.post(path, content=urlencode(form), headers=headers)

    def sign_in(self, shown: str) -> httpx.Response:
        return self.post("/console/sign-in", token=shown, next="")

    def form_token(self, path: str) -> str:
        """Return the token of the first form of a page."""
        found = re.search(r'name="formToken" value="([^"]+)"', self.get(path).text)
        assert found, path
        return found[1]
