"""Which operation a request is for: by the service it was signed for, its method, its path and the fixed query parts.

The path is cut at its slashes before any percent-decoding: an ARN is one segment, its own slashes being `%2F`. Each
segment is decoded once. Segments `.`, `..` and empty ones never match a label: a signature covers the path without
them, so a request with one could be led to another operation than was signed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from earwitness.errors import BadRequest, UnknownOperation
from earwitness.wire.messages import Request, load_object
from earwitness.wire.service_models import Operation, ServiceModel

TAG_OWNERS = {
    "voice-profile": "chime-sdk-voice",
    "voice-profile-domain": "chime-sdk-voice",
    "vc": "chime-sdk-voice",
}
"""Both Chime services have the same three `/tags` routes: the one meant follows from the ARN's resource type."""
TAG_OWNER_OTHERWISE = "chime-sdk-media-pipelines"

_UNMATCHABLE = frozenset(("", ".", ".."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a request goes."""

    service: ServiceModel
    operation: Operation
    path_parameters: Mapping[str, str]
    """The decoded segments, by the label's name in the path of the operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    service: ServiceModel
    operation: Operation
    constants: frozenset[tuple[str, str]]
    labels: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    """One place in the tree of path segments."""

    literals: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])
    label: "_Node | None" = None
    methods: dict[str, list[_Candidate]] = field(default_factory=dict[str, list[_Candidate]])
    """Operations whose path ends here, by method."""


class Router:
    """The routes of some services, laid out once."""

    def __init__(self, services: Iterable[ServiceModel]) -> None:
        self._roots: dict[str, _Node] = {}
        self._services = tuple(services)
        self._answering = {one.signing_name: one for one in reversed(self._services)}
        for service in self._services:
            root = self._roots.setdefault(service.signing_name, _Node())
            for operation in service.operations.values():
                _plant(root, service, operation)

    def answering_service(self, signing_name: str) -> ServiceModel:
        """Return the service in whose words to refuse a request that matches no operation signed under a name."""
        return self._answering.get(signing_name, self._services[0])

    def likely_service(self, request: Request) -> ServiceModel:
        """Return the service in whose words to refuse a request of which nothing is proved: that of its path."""
        for signing_name in self._roots:
            try:
                return self.match(signing_name, request).service
            except (UnknownOperation, BadRequest):
                continue
        return self._services[0]

    def match(self, signing_name: str, request: Request) -> Route:
        """Find the operation of a request that was signed for `signing_name`.

        Raise UnknownOperation when there is none, BadRequest when the path or query cannot be decoded.
        """
        root = self._roots.get(signing_name)
        if root is None:
            known = " or ".join(sorted(self._roots))
            raise UnknownOperation(f"no service here is signed for under that name; sign for {known}")
        before, *segments = request.raw_path.split("/")
        values: list[str] = []
        node = None if before else _walk(root, segments, 0, values)
        if node is None:
            raise UnknownOperation(
                f"no operation of {signing_name} has this path; check the endpoint URL of the client"
            )
        chosen = _choose(node, request)
        return Route(
            service=chosen.service,
            operation=chosen.operation,
            path_parameters={label: _decode(value) for label, value in zip(chosen.labels, values, strict=True)},
        )


def _plant(root: _Node, service: ServiceModel, operation: Operation) -> None:
    node, labels = root, list[str]()
    for segment in operation.path.split("/")[1:]:
        if segment.startswith("{"):
            labels.append(segment.strip("{}"))
            node.label = node = node.label or _Node()
        else:
            node = node.literals.setdefault(segment, _Node())
    constants = frozenset(operation.constants)
    candidates = node.methods.setdefault(operation.method, [])
    candidates.append(_Candidate(service=service, operation=operation, constants=constants, labels=tuple(labels)))


def _walk(node: _Node, segments: list[str], index: int, values: list[str]) -> _Node | None:
    """Return the node where the segments end, literal ones preferred; `values` receives those that stand for labels."""
    if index == len(segments):
        return node if node.methods else None
    segment = segments[index]
    following = node.literals.get(segment)
    found = _walk(following, segments, index + 1, values) if following else None
    if found is None and node.label and segment not in _UNMATCHABLE:
        values.append(segment)
        found = _walk(node.label, segments, index + 1, values)
        if found is None:
            values.pop()
    return found


def _decode(segment: str) -> str:
    if "%" not in segment and segment.isascii():
        return segment
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise BadRequest("a segment of the path is not UTF-8; percent-encode the UTF-8 bytes of each value") from None


def _choose(node: _Node, request: Request) -> _Candidate:
    candidates = node.methods.get(request.method)
    if candidates is None:
        raise UnknownOperation(f"this path does not take this method; use {' or '.join(sorted(node.methods))}")
    if not candidates[0].constants and len(candidates) == 1:
        return candidates[0]
    sent = frozenset(request.query)
    for name in {name for candidate in candidates for name, _ in candidate.constants}:
        if sum(each == name for each, _ in request.query) > 1:
            raise BadRequest(f"the query has {name}= more than once; send only one of {_constants(candidates)}")
    fitting = [candidate for candidate in candidates if candidate.constants <= sent]
    if not fitting:
        raise UnknownOperation(f"this path needs a fixed query; add {_constants(candidates)}")
    most = max(len(candidate.constants) for candidate in fitting)
    best = [candidate for candidate in fitting if len(candidate.constants) == most]
    return best[0] if len(best) == 1 else _by_owner(best, request)


def _constants(candidates: list[_Candidate]) -> str:
    return " or ".join(sorted({f"?{name}={value}" for candidate in candidates for name, value in candidate.constants}))


def _by_owner(candidates: list[_Candidate], request: Request) -> _Candidate:
    """Of operations that look the same in two services, the one that owns the ARN the request speaks of."""
    resource_type = _tagged_arn(request).partition("/")[0].rpartition(":")[2]
    owner = TAG_OWNERS.get(resource_type, TAG_OWNER_OTHERWISE)
    owned = [candidate for candidate in candidates if candidate.service.name == owner]
    return (owned or candidates)[0]


def _tagged_arn(request: Request) -> str:
    """Return the ARN in the query or the body; empty when there is none, which the operation's reader will refuse."""
    where: Mapping[str, object] = dict(request.query) if request.method == "GET" else load_object(request.body)
    arn = where.get("arn" if request.method == "GET" else "ResourceARN")
    return arn if isinstance(arn, str) else ""
