"""What the protocols over WebSockets have in common: messages in, events and answers out; and how JSON is read.

What belongs here: values, and reading what strangers send. What must never: sockets, a single protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast

import orjson

from earwitness.doors.events import AudioCoding, DoorEvent, Leg
from earwitness.errors import BadRequest

NAME_CHARACTERS_MAX = 256
"""Of an id, a telephone number or an address."""

# `Any`: whatever JSON holds.
JsonMessage: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Send:
    """A message for the phone system."""

    text: str


@dataclass(frozen=True, slots=True)
class Presented:
    """A token that came in a message: before the call begins, where nothing else proved who sends it."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account at the provider a call belongs to."""

    name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HangUp:
    """The phone system has nothing more to say; the socket is closed."""


Output: TypeAlias = DoorEvent | Send | Presented | Account | HangUp


class SocketCore(Protocol):
    """One WebSocket's protocol."""

    def receive(self, message: str | bytes) -> list[Output]:
        """Return what a message says and what is to be answered. Raise BadRequest for what the protocol has not."""
        ...

    def stop(self) -> list[Output]:
        """Return what is to be said before we end it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a core knows of its socket before the first message."""

    #: By name in lower case.
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    #: A label of the caller's leg that overrules the protocol's rule; empty: none.
    caller_label: str
    #: A name for a call whose phone system gives it none.
    call_id: str


def read_json(text: str | bytes) -> JsonMessage:
    """Return the object that a message is. Raise BadRequest when it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest("the message is no JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("the message is no JSON object")
    return cast("JsonMessage", value)


def object_in(holder: Mapping[str, Any], *names: str) -> JsonMessage:
    """Return the first of these that is an object; an empty one when none is."""
    for name in names:
        value = holder.get(name)
        if isinstance(value, dict):
            return cast("JsonMessage", value)
    return {}


def text_in(holder: Mapping[str, Any], *names: str) -> str:
    """Return the first of these that is text or a number, as text of bounded length; empty when none is.

    What cannot be printed becomes a question mark: no database takes a NUL.
    """
    for name in names:
        value = holder.get(name)
        if isinstance(value, str) and value:
            text = value[:NAME_CHARACTERS_MAX]
            return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def whole_number(value: object) -> int | None:
    """Return a whole number that is one or is written as text; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdecimal():
        return int(value)
    return None


def rate_in(holder: Mapping[str, Any], *names: str, default: int) -> int:
    """Return the first of these that is given, as a rate in Hz. Raise BadRequest for one that is none."""
    for name in names:
        if holder.get(name) not in (None, ""):
            rate = whole_number(holder[name])
            if rate is None or not 0 < rate < 1_000_000:
                raise BadRequest("the sample rate is no number of Hz")
            return rate
    return default


def token_in(attached: Mapping[str, Any]) -> str:
    """Return the token among what was attached to a call; empty when there is none."""
    return next((value for name, value in attached.items() if name.lower() == "token" and isinstance(value, str)), "")


def leg_of(label: str, *, caller: str, coding: AudioCoding, rate: int) -> Leg:
    """Return a leg; it is the caller's if that is its label."""
    return Leg(label=label, is_caller=label == caller, coding=coding, rate=rate)


def caller_among(labels: tuple[str, ...], wanted: str) -> str:
    """Return the caller's label: the one that was set, if there is such a leg, and otherwise the first."""
    return wanted if wanted in labels else labels[0]
