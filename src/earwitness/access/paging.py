"""Tokens that say where a list goes on: sealed, so that they tell nothing and nobody can make one up.

A token opens only for the account, Region, operation and filter that it was given out for.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import cast

from earwitness.access.caller import Caller
from earwitness.errors import BadRequest, CiphertextRefused
from earwitness.store.records import Page, PageKey, RecordT
from earwitness.vault.data_key import DataKey, SealedPlace
from earwitness.wire.scalars import Params

DEFAULT_PAGE_LENGTH = 100
"""AWS names no default; this is the most that its Chime operations allow."""


class Pages:
    """Reads and writes the tokens of one server."""

    def __init__(self, key: DataKey) -> None:
        self._key = key

    def read(
        self,
        caller: Caller,
        params: Params,
        read: Callable[[PageKey | None, int], Page[RecordT]],
        *,
        about: str = "",
        default_length: int = DEFAULT_PAGE_LENGTH,
    ) -> tuple[tuple[RecordT, ...], Mapping[str, str]]:
        """Return the page that `MaxResults` and `NextToken` ask for, and the `NextToken` member when there are more.

        `about` is what the list is filtered by. Raise BadRequest for a token of another list, or of none.
        """
        place = SealedPlace(
            account_id=caller.principal.account_id,
            table="page tokens",
            row_id=f"{caller.operation} {about}",
            column=caller.region,
        )
        token: str | None = params.get("NextToken") or None  # the models allow an empty one
        page = read(None if token is None else self._open(token, place), params.get("MaxResults") or default_length)
        if page.next_key is None:
            return page.items, {}
        sealed = self._key.seal(json.dumps(page.next_key).encode(), place)
        return page.items, {"NextToken": base64.b64encode(sealed).decode("ascii")}

    def _open(self, token: str, place: SealedPlace) -> PageKey:
        try:
            sealed = base64.b64decode(token.encode("ascii"), validate=True)
            return tuple(cast("list[int | str]", json.loads(self._key.open(sealed, place))))
        except (CiphertextRefused, binascii.Error, UnicodeEncodeError):
            raise BadRequest("NextToken is not one of this list; begin again without it") from None
