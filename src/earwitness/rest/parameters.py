"""Parameters of paths and queries: what each may be, in one place for the check and for the OpenAPI document."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from earwitness.errors import BadRequest

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema. `Any`: its keywords have values of every kind."""

_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)


class Kind(Protocol):
    """What a value may be."""

    @property
    def schema(self) -> Schema:
        """The same as a JSON Schema."""
        ...

    def parse(self, text: str) -> "str | int":
        """The value; ValueError, which says in words what it has to be, when the text is none."""
        ...


class Place(StrEnum):
    """Where a parameter stands."""

    PATH = "path"
    QUERY = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Characters of a kind, so many at most."""

    pattern: str
    """A regular expression that the whole text fits; ECMA-262's and Python's alike."""

    words: str
    """The same for people."""

    length_max: int

    @property
    def schema(self) -> Schema:
        """As Kind says."""
        return {"type": "string", "pattern": f"^{self.pattern}$", "minLength": 1, "maxLength": self.length_max}

    def parse(self, text: str) -> str:
        """As Kind says."""
        if not 1 <= len(text) <= self.length_max or not re.fullmatch(self.pattern, text):
            raise ValueError(f"{self.words}, 1 to {self.length_max} characters")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Printable:
    """Text for people, without control characters."""

    length_max: int

    @property
    def schema(self) -> Schema:
        """As Kind says."""
        return {"type": "string", "minLength": 1, "maxLength": self.length_max}

    def parse(self, text: str) -> str:
        """As Kind says."""
        if not 1 <= len(text) <= self.length_max or not text.isprintable() or text.isspace():
            raise ValueError(f"1 to {self.length_max} printable characters")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number from `low` to `high`, or the one word that may stand in its place."""

    low: int
    high: int
    word: str | None = None

    @property
    def schema(self) -> Schema:
        """As Kind says."""
        number = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return number if self.word is None else {"oneOf": [number, {"const": self.word}]}

    def parse(self, text: str) -> str | int:
        """As Kind says."""
        if self.word is not None and text == self.word:
            return text
        if not _WHOLE.fullmatch(text) or not self.low <= int(text) <= self.high:
            instead = "" if self.word is None else f", or {self.word}"
            raise ValueError(f"a whole number from {self.low} to {self.high}{instead}")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a route."""

    name: str
    """As it is written in the path or the query."""

    place: Place
    """Where it stands."""

    kind: Kind
    """What it may be."""

    text: str
    """What it means, in a sentence."""

    required: bool = False
    """Whether a request without it is refused; those of paths always are."""

    default: str | int | None = None
    """What counts when it is left out."""

    @property
    def document(self) -> Schema:
        """The parameter as OpenAPI writes it."""
        schema = dict(self.kind.schema)
        if self.default is not None:
            schema["default"] = self.default
        required = self.required or self.place is Place.PATH
        return {
            "name": self.name,
            "in": self.place.value,
            "required": required,
            "description": self.text,
            "schema": schema,
        }


Values: TypeAlias = Mapping[str, Any]
"""Parsed parameters by name; those that were left out have their default. `Any`: text or number, as the kind says."""


def parse_parameters(
    parameters: Sequence[Parameter], *, path: Mapping[str, str], query: Sequence[tuple[str, str]]
) -> Values:
    """Every parameter of a route. BadRequest names the first that is unknown, repeated, missing or no such value."""
    known = {parameter.name: parameter for parameter in parameters}
    given: dict[str, str] = dict(path)
    for name, value in query:
        parameter = known.get(name)
        if parameter is None or parameter.place is not Place.QUERY:
            raise BadRequest("the query has a parameter that is not known here; /earwitness/v1/openapi.json lists them")
        if name in given:
            raise BadRequest(f"the parameter {name} comes twice; give it once")
        given[name] = value
    return {name: _parsed(parameter, given.get(name)) for name, parameter in known.items()}


def _parsed(parameter: Parameter, text: str | None) -> str | int | None:
    if text is None:
        if parameter.required:
            raise BadRequest(f"the parameter {parameter.name} is missing; add it to the query")
        return parameter.default
    try:
        return parameter.kind.parse(text)
    except ValueError as error:
        raise BadRequest(f"the parameter {parameter.name} has to be {error}") from None
