"""A request as the parameters of its operation: from path, query, headers and body, by the input shape.

Each operation's readers are compiled on first use and kept. Unknown members are ignored, as AWS does, and null is the
same as absent. A value that cannot be read as its type raises a BadRequest at once; what is outside the constraints of
the model (required, range, length, pattern, enumeration) is gathered, and one BadRequest tells up to five problems.
Messages name a member by its way from the top (`Elements[0].Type`) and never quote a value, since values may be
personal; inside this room they begin with the part of the way known so far.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from earwitness.errors import BadRequest
from earwitness.wire.messages import RepeatingObject, Request, load_object
from earwitness.wire.router import Route
from earwitness.wire.scalars import (
    Params,
    Read,
    checked,
    json_scalar,
    size_check,
    text_scalar,
    wrong_kind,
)
from earwitness.wire.service_models import Member, Operation, Shape

PROBLEMS_SHOWN_MAX = 5  # enough to mend a request by hand; a list of a thousand bad entries is one mistake

_Step = Callable[[Request, Mapping[str, str], Params, list[str]], None]
_Take = Callable[[Request, Mapping[str, str]], Any]  # `Any`: text, several texts, or JSON
"""Finds what a request and its path parameters hold for a member; None when it was not sent."""


def parse_request(route: Route, request: Request) -> Params:
    """Return the parameters of a request as plain Python values; those that were not sent are missing.

    Structures and maps become dictionaries, timestamps aware datetimes in UTC, blobs bytes. Raise BadRequest.
    """
    params: Params = {}
    problems: list[str] = []
    required, steps = _compiled(route.operation)
    try:
        for step in steps:
            step(request, route.path_parameters, params, problems)
    except BadRequest as error:
        raise BadRequest(_from_the_top(str(error))) from None
    problems[:0] = [_missing(name) for name in required if name not in params]
    if problems:
        shown = "; ".join(_from_the_top(problem) for problem in problems[:PROBLEMS_SHOWN_MAX])
        raise BadRequest(shown + ("; and more" if len(problems) > PROBLEMS_SHOWN_MAX else ""))
    return params


def _from_the_top(message: str) -> str:
    return f"the body{message}" if message.startswith(":") else message.removeprefix(".")


def _missing(name: str) -> str:
    return f".{name}: is missing, and it is required"


@cache
def _compiled(operation: Operation) -> tuple[tuple[str, ...], tuple[_Step, ...]]:
    """Return the required members of an operation's input, and the steps that read its members."""
    shape = operation.input
    if shape is None:
        return (), ()
    members = shape.members.values()
    steps = [_STEPS[member.location](member) for member in members if member.location in _STEPS]
    if shape.payload:
        steps.append(_payload_step(shape.members[shape.payload]))
    elif any(member.location == "body" for member in members):
        steps.append(_body_step(shape))
    # A streaming body is read after the checks, so its member is never among the parameters.
    return tuple(name for name in shape.required if not shape.members[name].streaming), tuple(steps)


def _step(member: Member, take: _Take, read: Read) -> _Step:
    way = f".{member.name}"

    def step(request: Request, path_parameters: Mapping[str, str], params: Params, problems: list[str]) -> None:
        value = take(request, path_parameters)
        if value is not None:
            params[member.name] = _read_at(way, read, value, problems)

    return step


def _label_step(member: Member) -> _Step:
    return _step(member, lambda _request, labels: labels[member.wire_name], text_scalar(member.shape))


def _query_step(member: Member) -> _Step:
    if member.shape.type == "map":
        return _query_map_step(member)

    def several(request: Request, _labels: Mapping[str, str]) -> list[str] | None:
        return [value for name, value in request.query if name == member.wire_name] or None

    def single(request: Request, labels: Mapping[str, str]) -> str | None:
        texts = several(request, labels) or [None]
        if len(texts) > 1:
            raise BadRequest(f".{member.name}: {member.wire_name} is {len(texts)} times in the query; send it once")
        return texts[0]

    if member.shape.type == "list":
        return _step(member, several, _list(member.shape, text_scalar(member.shape.inner["member"])))
    return _step(member, single, text_scalar(member.shape))


def _query_map_step(member: Member) -> _Step:
    """Read a map: every field of the query, by name, each with one text or a list of them."""
    many = member.shape.inner["value"].type == "list"

    def take(request: Request, _labels: Mapping[str, str]) -> Params | None:
        gathered: dict[str, list[str]] = {}
        for name, value in request.query:
            gathered.setdefault(name, []).append(value)
        return {name: values if many else values[0] for name, values in gathered.items()} or None

    return _step(member, take, _reader(member.shape, {}))


def _header_step(member: Member) -> _Step:
    name = member.wire_name.lower()

    def take(request: Request, _labels: Mapping[str, str]) -> str | None:
        value = request.headers.get(name)
        return None if value is None else value.strip()

    return _step(member, take, text_scalar(member.shape))


def _header_map_step(member: Member) -> _Step:
    prefix = member.wire_name.lower()

    def take(request: Request, _labels: Mapping[str, str]) -> Params | None:
        named = [name for name in request.headers if name.startswith(prefix)]
        return {name.removeprefix(prefix): request.headers[name] for name in named} or None

    return _step(member, take, _reader(member.shape, {}))


_STEPS: dict[str, Callable[[Member], _Step]] = {
    "uri": _label_step,
    "querystring": _query_step,
    "header": _header_step,
    "headers": _header_map_step,
}


def _body_step(shape: Shape) -> _Step:
    """Read the members of a structure that travel in the body, all of them from one JSON object."""
    read = _structure(shape, {}, only_body=True)

    def step(request: Request, _labels: Mapping[str, str], params: Params, problems: list[str]) -> None:
        params.update(read(load_object(request.body), problems))

    return step


def _payload_step(member: Member) -> _Step:
    """Read the member that is the whole body: a structure from JSON, bytes as they are, a stream left out."""
    is_structure = member.shape.type == "structure"

    def take(request: Request, _labels: Mapping[str, str]) -> object:
        if member.streaming or not request.body:
            return None
        return load_object(request.body) if is_structure else request.body

    return _step(member, take, _reader(member.shape, {}) if is_structure else checked(member.shape, bytes))


# JSON values by their shape. `known` holds the readers already made, so that a shape may contain itself.


def _read_at(way: str, read: Read, value: object, problems: list[str]) -> Any:  # `Any`: see Read
    """Read a value, and put the way to it in front of what is wrong with it."""
    count = len(problems)
    try:
        value = read(value, problems)
    except BadRequest as error:
        raise BadRequest(f"{way}{error}") from None
    if len(problems) > count:
        problems[count:] = [way + problem for problem in problems[count:]]
    return value


def _reader(shape: Shape, known: dict[Shape, Read]) -> Read:
    if shape not in known:
        if shape.type == "structure":
            return _structure(shape, known)
        if shape.type == "list":
            return _list(shape, _reader(shape.inner["member"], known))
        known[shape] = _map(shape, known) if shape.type == "map" else json_scalar(shape)
    return known[shape]


def _structure(shape: Shape, known: dict[Shape, Read], *, only_body: bool = False) -> Read:
    """`only_body` leaves out the members that travel elsewhere, and what is missing to the whole."""
    fields: list[tuple[str, str, str, Read]] = []
    required = () if only_body else shape.required

    def read(value: object, problems: list[str]) -> Params:
        entries = _entries(value)
        params: Params = {}
        missing = len(problems)
        for wire_name, name, way, inner in fields:
            item = entries.get(wire_name)
            if item is not None:
                params[name] = _read_at(way, inner, item, problems)
        problems[missing:missing] = [_missing(name) for name in required if name not in params]
        return params

    known[shape] = read
    for member in shape.members.values():
        if member.location == "body" or not only_body:
            fields.append((member.wire_name, member.name, f".{member.name}", _reader(member.shape, known)))
    return read


def _list(shape: Shape, inner: Read) -> Read:
    check = size_check(shape, "entries")

    def read(value: object, problems: list[str]) -> list[object]:
        if type(value) is not list:
            raise wrong_kind(value, "a list")
        items = cast("list[object]", value)
        _note(check(len(items)), problems)
        read_items: list[object] = []
        for index, item in enumerate(items):
            read_items.append(_read_at(f"[{index}]", inner, item, problems))
            if len(problems) > PROBLEMS_SHOWN_MAX:
                break
        return read_items

    return read


def _map(shape: Shape, known: dict[Shape, Read]) -> Read:
    read_key, read_value = _reader(shape.inner["key"], known), _reader(shape.inner["value"], known)
    check = size_check(shape, "entries")

    def read(value: object, problems: list[str]) -> Params:
        entries = _entries(value)
        _note(check(len(entries)), problems)
        params: Params = {}
        for index, (key, item) in enumerate(entries.items()):
            name = _read_at(f"[entry {index}].key", read_key, key, problems)
            params[name] = _read_at(f"[entry {index}].value", read_value, item, problems)
            if len(problems) > PROBLEMS_SHOWN_MAX:
                break
        return params

    return read


def _note(problem: str, problems: list[str]) -> None:
    if problem:
        problems.append(problem)


def _entries(value: object) -> dict[str, object]:
    if type(value) is RepeatingObject:
        raise BadRequest(": holds the same name twice; send each once")
    if type(value) is not dict:
        raise wrong_kind(value, "an object")
    return cast("dict[str, object]", value)
