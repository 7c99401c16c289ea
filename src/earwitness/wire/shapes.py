"""What a service model says, as typed values: services, operations, shapes and their members.

Read from the JSON of botocore's models, which is all that is needed to answer requests: importing `botocore.model`
would pull an HTTP client in behind it and cost more than everything else this room does at start.
Only what the five models use is kept; documentation is dropped.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from earwitness.errors import ConfigurationError

# `Any`: JSON of a service model. Its layout is botocore's; tests hold our reading of it against botocore's own.
Json = Any


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Member:
    """One member of a structure: where it travels and under which name."""

    name: str
    """Its name in parameters and results."""
    wire_name: str
    """Its name in the body, query, header or path."""
    shape: "Shape"
    location: str
    """`uri`, `querystring`, `header`, `headers` (a map of them), `statusCode`, or `body`."""
    timestamp_format: str | None
    """How a timestamp is written when the model says so: `iso8601`, `unixTimestamp` or `rfc822`."""
    streaming: bool
    """The member is a body that is sent or read piece by piece."""


@dataclass(slots=True, eq=False, kw_only=True)
class Shape:
    """One type of a service model. Not frozen only because shapes may contain themselves and are linked after."""

    name: str
    type: str
    """structure, list, map, string, blob, boolean, integer, long, float, double or timestamp."""
    required: tuple[str, ...] = ()
    minimum: float | None = None
    """Of a number; of a string in characters, a blob in bytes, a list or map in entries."""
    maximum: float | None = None
    pattern: re.Pattern[str] | None = None
    """Must match the whole string."""
    choices: tuple[str, ...] = ()
    """The values of an enumeration; empty when any string will do."""
    payload: str | None = None
    """The member that is the whole body, when there is one."""
    timestamp_format: str | None = None
    streaming: bool = False
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    inner: dict[str, "Shape"] = field(default_factory=dict[str, "Shape"])
    """`member` of a list; `key` and `value` of a map."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Operation:
    """One operation of a service; compared and hashed by identity, so compiled code can be kept per operation."""

    name: str
    service_name: str
    method: str
    path: str
    """With labels in braces: `/voice-profiles/{VoiceProfileId}`."""
    constants: tuple[tuple[str, str], ...]
    """The fixed part of the query that tells operations on one path apart: `operation=start`."""
    status: int
    """The HTTP status of a success."""
    input: Shape | None
    output: Shape | None
    header_names: tuple[str, ...]
    """The headers, in lower case, that hold parameters."""
    faults: tuple[str, ...]
    """The exception shapes that the operation declares."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Service:
    """One service model."""

    name: str
    signing_name: str
    """The service in a SigV4 credential scope; several services may share it."""
    operations: Mapping[str, Operation]
    faults: Mapping[str, int]
    """Every exception shape of the service and its HTTP status."""


def build_service(name: str, model: Json) -> Service:
    """Read a service model. Raises ConfigurationError when a pattern in it does not compile."""
    shapes = _Shapes(name, model["shapes"])
    metadata = model["metadata"]
    return Service(
        name=name,
        signing_name=metadata.get("signingName") or metadata["endpointPrefix"],
        operations={key: _operation(name, entry, shapes) for key, entry in model["operations"].items()},
        faults={
            key: entry.get("error", {}).get("httpStatusCode", 400)
            for key, entry in model["shapes"].items()
            if entry.get("exception")
        },
    )


def _operation(service_name: str, entry: Json, shapes: "_Shapes") -> Operation:
    path, _, query = entry["http"]["requestUri"].partition("?")
    if "+}" in path:
        raise ConfigurationError(f"{service_name} {entry['name']}: labels over several segments are not supported")
    input_ = shapes.get(entry["input"]["shape"]) if "input" in entry else None
    members = input_.members.values() if input_ else ()
    return Operation(
        name=entry["name"],
        service_name=service_name,
        method=entry["http"]["method"],
        path=path,
        constants=tuple(parse_qsl(query, keep_blank_values=True)),
        status=entry["http"].get("responseCode", 200),
        input=input_,
        output=shapes.get(entry["output"]["shape"]) if "output" in entry else None,
        header_names=tuple(member.wire_name.lower() for member in members if member.location == "header"),
        faults=tuple(error["shape"] for error in entry.get("errors", ())),
    )


_PARTS = {"list": ("member",), "map": ("key", "value")}


class _Shapes:
    """Builds each shape of a model once, and only those that an operation reaches."""

    def __init__(self, service_name: str, entries: Json) -> None:
        self._service_name = service_name
        self._entries = entries
        self._built: dict[str, Shape] = {}

    def get(self, name: str) -> Shape:
        if name not in self._built:
            entry = self._entries[name]
            self._built[name] = shape = self._bare(name, entry)
            self._link(shape, entry)
        return self._built[name]

    def _bare(self, name: str, entry: Json) -> Shape:
        return Shape(
            name=name,
            type=entry["type"],
            required=tuple(entry.get("required", ())),
            minimum=entry.get("min"),
            maximum=entry.get("max"),
            pattern=self._pattern(name, entry.get("pattern")),
            choices=tuple(entry.get("enum", ())),
            payload=entry.get("payload"),
            timestamp_format=entry.get("timestampFormat"),
            streaming=entry.get("streaming", False),
        )

    def _pattern(self, name: str, pattern: str | None) -> re.Pattern[str] | None:
        if pattern is None:
            return None
        try:
            return re.compile(pattern, re.ASCII)  # as in Java, where \w and \d are ASCII unless told otherwise
        except re.error as cause:
            raise ConfigurationError(
                f"{self._service_name}: the pattern of {name} does not compile ({cause}); add a correction for it"
            ) from cause

    def _link(self, shape: Shape, entry: Json) -> None:
        for name, member in entry.get("members", {}).items():
            shape.members[name] = self._member(name, member)
        for part in _PARTS.get(shape.type, ()):
            shape.inner[part] = self.get(entry[part]["shape"])

    def _member(self, name: str, entry: Json) -> Member:
        shape = self.get(entry["shape"])
        return Member(
            name=name,
            wire_name=entry.get("locationName", name),
            shape=shape,
            location=entry.get("location", "body"),
            timestamp_format=entry.get("timestampFormat") or shape.timestamp_format,
            streaming=entry.get("streaming", False) or shape.streaming,
        )
