"""The service models we answer for: found in botocore's data folder, corrected, and read as typed services, operations,
shapes and members.

botocore's own loader and `botocore.model` are passed by on purpose. The loader costs eight times as much at start as
reading the files, and it would let a model in the user's home folder change what this service speaks; the model pulls
an HTTP client in behind it. Only what the five models use is kept; documentation is dropped.
"""

import gzip
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import botocore

from earwitness.errors import ConfigurationError

# `Any`: JSON of a service model. Its layout is botocore's; tests hold our reading of it against botocore's own.
_Json = Any

SERVICE_NAMES = (
    "chime-sdk-media-pipelines",
    "chime-sdk-voice",
    "kinesisvideo",
    "kinesis-video-media",
    "kinesis-video-archived-media",
)
CORRECTIONS = Path(__file__).with_name("corrections.toml")
_DATA = Path(botocore.__path__[0]) / "data"


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
class ServiceModel:
    """One service model."""

    name: str
    signing_name: str
    """The service in a SigV4 credential scope; several services may share it."""
    operations: Mapping[str, Operation]
    faults: Mapping[str, int]
    """Every exception shape of the service and its HTTP status."""


def load_services(names: Iterable[str] = SERVICE_NAMES) -> dict[str, ServiceModel]:
    """Read and correct the service models, by name.

    Raise ConfigurationError when this botocore has no such model, or one that the corrections do not fit.
    """
    corrections = tomllib.loads(CORRECTIONS.read_text(encoding="utf-8"))["correction"]
    services: dict[str, ServiceModel] = {}
    for name in names:
        model = read_model(name)
        for correction in corrections:
            if correction["service"] == name:
                apply_correction(model, correction)
        services[name] = build_service(name, model)
    return services


def read_model(name: str) -> _Json:
    """Return the newest model of a service as botocore ships it, uncorrected."""
    for path in sorted((_DATA / name).glob("*/service-2.json*"), reverse=True):
        content = path.read_bytes()
        return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    raise ConfigurationError(f"the installed botocore has no model of {name}; install botocore 1.44.5 or later")


def apply_correction(model: _Json, correction: _Json) -> None:
    """Replace one value of the model, in place.

    `at` is the way to the value, `was` what AWS wrote there (absent for an addition), `becomes` what it should be.
    A model that AWS has corrected to the same value is left alone; any other value raises ConfigurationError.
    """
    *way, last = correction["at"]
    place: _Json = model
    for step in way:
        place = place.get(step) if place is not None else None
    present = place.get(last) if place is not None else None
    if present == correction["becomes"]:
        return
    if place is None or present != correction.get("was"):
        raise ConfigurationError(
            f"the correction of {correction['service']} at {'/'.join(correction['at'])} does not fit the model of "
            f"botocore {botocore.__version__}; install the version in requirements.lock or update corrections.toml"
        )
    place[last] = correction["becomes"]


def build_service(name: str, model: _Json) -> ServiceModel:
    """Read a service model. Raise ConfigurationError when a pattern in it does not compile."""
    shapes = _Shapes(name, model["shapes"])
    metadata = model["metadata"]
    return ServiceModel(
        name=name,
        signing_name=metadata.get("signingName") or metadata["endpointPrefix"],
        operations={key: _operation(name, entry, shapes) for key, entry in model["operations"].items()},
        faults={
            key: entry.get("error", {}).get("httpStatusCode", 400)
            for key, entry in model["shapes"].items()
            if entry.get("exception")
        },
    )


def _operation(service_name: str, entry: _Json, shapes: "_Shapes") -> Operation:
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

    def __init__(self, service_name: str, entries: _Json) -> None:
        self._service_name = service_name
        self._entries = entries
        self._built: dict[str, Shape] = {}

    def get(self, name: str) -> Shape:
        if name not in self._built:
            entry = self._entries[name]
            self._built[name] = shape = self._bare(name, entry)
            self._link(shape, entry)
        return self._built[name]

    def _bare(self, name: str, entry: _Json) -> Shape:
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

    def _link(self, shape: Shape, entry: _Json) -> None:
        for name, member in entry.get("members", {}).items():
            shape.members[name] = self._member(name, member)
        for part in _PARTS.get(shape.type, ()):
            shape.inner[part] = self.get(entry[part]["shape"])

    def _member(self, name: str, entry: _Json) -> Member:
        shape = self.get(entry["shape"])
        return Member(
            name=name,
            wire_name=entry.get("locationName", name),
            shape=shape,
            location=entry.get("location", "body"),
            timestamp_format=entry.get("timestampFormat") or shape.timestamp_format,
            streaming=entry.get("streaming", False) or shape.streaming,
        )
