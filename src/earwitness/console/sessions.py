"""Who has signed in: a session is a sealed value in a cookie, bound to the bearer token that it was opened with.

Every node of these records opens it, and none keeps it (docs/decisions/2026-11-27-console.md). What it may do is looked
up for each request: a token that is revoked ends its sessions, and so does signing out, which the records remember
until the session would have ended by itself. A value is good for an hour and replaced while it is used; the sign-in
lasts twelve.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from earwitness.errors import CiphertextRefused, Unauthorized
from earwitness.vault.data_key import DataKey, SealedPlace

SIGNED_IN = timedelta(hours=12)
"""A shift, whatever is done in it."""

UNUSED = timedelta(hours=1)
"""How long a value of the cookie is good; a stolen one is not good for longer, unless it is used."""

REPLACED = timedelta(minutes=15)
"""How old a value is when the next answer brings another one."""

LINK_GOOD = timedelta(minutes=5)

FORM_PURPOSE = "console forms"

_EXPIRED = "the sign-in is over: after an hour without use, or twelve hours; sign in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A sign-in."""

    #: Random; what forms are bound to.
    session_id: str
    account_id: str
    #: Of the bearer token that it was opened with.
    token_id: str
    signed_in_at: datetime
    #: When this value of the cookie was made.
    sealed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeLink:
    """A link that opens one session for whoever has it: `serve --dev` prints it."""

    link_id: str
    account_id: str
    token_id: str
    made_at: datetime


_SealedT = TypeVar("_SealedT", Session, OneTimeLink)


class Sessions:
    """Seals and opens what browsers keep."""

    def __init__(self, key: DataKey, *, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        """`new_id` returns something that nobody guesses."""
        self._key = key
        self._clock = clock
        self._new_id = new_id

    def begin(self, *, account_id: str, token_id: str) -> Session:
        """Return a new session of a token that was just shown."""
        now = self._clock()
        return Session(
            session_id=self._new_id(), account_id=account_id, token_id=token_id, signed_in_at=now, sealed_at=now
        )

    def is_to_be_replaced(self, session: Session) -> bool:
        """Return whether the value of the cookie is so old that the next answer should bring another."""
        return self._clock() - session.sealed_at >= REPLACED

    def seal(self, session: Session) -> str:
        """Return a value of the cookie, made now."""
        return self._seal("console session", replace(session, sealed_at=self._clock()))

    def open(self, sealed: str) -> Session:
        """Return the session of a cookie. Raise Unauthorized when it is over, or was not sealed here."""
        session = self._open("console session", sealed, Session)
        now = self._clock()
        if now - session.signed_in_at >= SIGNED_IN or now - session.sealed_at >= UNUSED:
            raise Unauthorized(_EXPIRED)
        return session

    def form_token(self, session: Session) -> str:
        """Return what a form of this session carries; another text every time, so that compression tells nothing."""
        return _text(self._key.seal(session.session_id.encode(), _place(FORM_PURPOSE)))

    def fits(self, session: Session, form_token: str) -> bool:
        """Return whether a form was made for this session."""
        try:
            return self._key.open(_bytes(form_token), _place(FORM_PURPOSE)) == session.session_id.encode()
        except (CiphertextRefused, ValueError):
            return False

    def link(self, *, account_id: str, token_id: str) -> str:
        """Return what a one-time link ends with."""
        made = OneTimeLink(link_id=self._new_id(), account_id=account_id, token_id=token_id, made_at=self._clock())
        return self._seal("console link", made)

    def open_link(self, sealed: str) -> OneTimeLink:
        """Return a one-time link that is not too old; whether it was used, the records know. Raise Unauthorized."""
        link = self._open("console link", sealed, OneTimeLink)
        if self._clock() - link.made_at >= LINK_GOOD:
            raise Unauthorized("the link is good for five minutes, which are over; sign in with a bearer token")
        return link

    def seal_message(self, message: str) -> str:
        """Return a sentence for the next page, as a cookie keeps it."""
        return _text(self._key.seal(message.encode(), _place("console message")))

    def open_message(self, sealed: str) -> str:
        """Return the sentence; "" for what was not sealed here."""
        try:
            return self._key.open(_bytes(sealed), _place("console message")).decode()
        except (CiphertextRefused, ValueError):
            return ""

    def _seal(self, purpose: str, record: Session | OneTimeLink) -> str:
        """Seal the fields of a record in their order, without their names: links are typed off a terminal."""
        values = [getattr(record, name) for name in record.__slots__]
        content = [round(value.timestamp(), 3) if isinstance(value, datetime) else value for value in values]
        return _text(self._key.seal(json.dumps(content, separators=(",", ":")).encode(), _place(purpose)))

    def _open(self, purpose: str, sealed: str, kind: type[_SealedT]) -> _SealedT:
        try:
            content: list[str | float] = json.loads(self._key.open(_bytes(sealed), _place(purpose)))
        except (CiphertextRefused, ValueError):
            raise Unauthorized("this is no sign-in of this service; sign in again") from None
        values = [datetime.fromtimestamp(value, UTC) if isinstance(value, float) else value for value in content]
        return kind(**dict(zip(kind.__slots__, values, strict=True)))  # type: ignore[arg-type]  # as they were sealed


def _place(purpose: str) -> SealedPlace:
    return SealedPlace(account_id="", table=purpose, row_id="", column="")


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    """Raise ValueError when it is no base64."""
    try:
        encoded = text.encode("ascii")
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("no base64") from None
