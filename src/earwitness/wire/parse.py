"""A request as the parameters of its operation: from path, query, headers and body, by the input shape.

Only form is judged here: a value that cannot be read as its type. Whether it is in range is validate's business.
Each operation's steps are compiled on first use and kept. Unknown members are ignored, as AWS does, and null is the
same as absent. A BadRequest names the member by its way from the top (`Elements[0].Type`) and never quotes a value,
since values may be personal; inside the room, a message begins with the part of the way known so far.
"""

from collections.abc import Callable, Mapping
from functools import cache

from earwitness.errors import BadRequest
from earwitness.wire.json_body import load_object
from earwitness.wire.messages import Request
from earwitness.wire.read_values import body_reader, read_at, value_reader
from earwitness.wire.router import Route
from earwitness.wire.scalars import Params, Read, read_string, text_scalar
from earwitness.wire.shapes import Member, Operation, Shape

_Step = Callable[[Request, Mapping[str, str], Params], None]


def parse_request(route: Route, request: Request) -> Params:
    """The parameters of a request, as plain Python values; those that were not sent are missing.

    Structures and maps become dictionaries, timestamps aware datetimes in UTC, blobs bytes. Raises BadRequest.
    """
    params: Params = {}
    try:
        for step in _steps(route.operation):
            step(request, route.path_parameters, params)
    except BadRequest as error:
        raise BadRequest(_from_the_top(str(error))) from None
    return params


def _from_the_top(message: str) -> str:
    return f"the body{message}" if message.startswith(":") else message.removeprefix(".")


@cache
def _steps(operation: Operation) -> tuple[_Step, ...]:
    shape = operation.input
    if shape is None:
        return ()
    members = shape.members.values()
    steps = [_STEPS[member.location](member) for member in members if member.location in _STEPS]
    if shape.payload:
        steps.append(_payload_step(shape.members[shape.payload]))
    elif any(member.location == "body" for member in members):
        steps.append(_body_step(shape))
    return tuple(steps)


def _label_step(member: Member) -> _Step:
    read = text_scalar(member.shape)

    def step(_request: Request, path_parameters: Mapping[str, str], params: Params) -> None:
        params[member.name] = read_at(f".{member.name}", read, path_parameters[member.wire_name])

    return step


def _query_step(member: Member) -> _Step:
    if member.shape.type == "map":
        return _query_map_step(member)
    if member.shape.type == "list":
        return _query_list_step(member)
    read = text_scalar(member.shape)

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        texts = _query_texts(request, member)
        if len(texts) > 1:
            raise BadRequest(f".{member.name}: {member.wire_name} is {len(texts)} times in the query; send it once")
        if texts:
            params[member.name] = read_at(f".{member.name}", read, texts[0])

    return step


def _query_texts(request: Request, member: Member) -> list[str]:
    return [value for name, value in request.query if name == member.wire_name]


def _query_list_step(member: Member) -> _Step:
    read = text_scalar(member.shape.inner["member"])

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        texts = _query_texts(request, member)
        if texts:
            params[member.name] = [read_at(f".{member.name}[{i}]", read, text) for i, text in enumerate(texts)]

    return step


def _query_map_step(member: Member) -> _Step:
    """A map in the query is every field of it, by name, each with one text or a list of them."""
    many = member.shape.inner["value"].type == "list"

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        gathered: dict[str, list[str]] = {}
        for name, value in request.query:
            gathered.setdefault(_map_text(member, name), []).append(_map_text(member, value))
        if gathered:
            params[member.name] = gathered if many else {name: values[0] for name, values in gathered.items()}

    return step


def _map_text(member: Member, text: str) -> str:
    return read_at(f".{member.name}", read_string, text)


def _header_step(member: Member) -> _Step:
    read = text_scalar(member.shape)

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        value = request.headers.get(member.wire_name.lower())
        if value is not None:
            params[member.name] = read_at(f".{member.name}", read, value.strip())

    return step


def _header_map_step(member: Member) -> _Step:
    prefix = member.wire_name.lower()

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        names = [name for name in request.headers if name.startswith(prefix)]
        if names:
            params[member.name] = {
                name.removeprefix(prefix): _map_text(member, request.headers[name]) for name in names
            }

    return step


_STEPS: dict[str, Callable[[Member], _Step]] = {
    "uri": _label_step,
    "querystring": _query_step,
    "header": _header_step,
    "headers": _header_map_step,
}


def _body_step(shape: Shape) -> _Step:
    read = body_reader(shape)

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        params.update(read(load_object(request.body)))

    return step


def _payload_step(member: Member) -> _Step:
    """The member that is the whole body: a structure from JSON, bytes as they are, a stream left out."""
    read: Read = value_reader(member.shape) if member.shape.type == "structure" else bytes

    def step(request: Request, _path_parameters: Mapping[str, str], params: Params) -> None:
        if request.body and not member.streaming:
            body = load_object(request.body) if member.shape.type == "structure" else request.body
            params[member.name] = read_at(f".{member.name}", read, body)

    return step
