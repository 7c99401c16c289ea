"""JSON values as parameters, by their shape: structures, lists and maps. One reader is compiled per shape."""

from typing import Any, cast

from earwitness.errors import BadRequest
from earwitness.wire.json_body import RepeatingObject
from earwitness.wire.scalars import Params, Read, json_scalar, read_string, wrong_kind
from earwitness.wire.shapes import Shape


def body_reader(shape: Shape) -> Read:
    """The reader of a structure whose other members travel outside the body."""
    return _structure(shape, {}, only_body=True)


def value_reader(shape: Shape) -> Read:
    """The reader of a JSON value of any shape."""
    return _reader(shape, {})


def read_at(way: str, read: Read, value: object) -> Any:  # `Any`: see Read
    """Read a value; in the message of a BadRequest, put the way to it in front."""
    try:
        return read(value)
    except BadRequest as error:
        raise BadRequest(f"{way}{error}") from None


def _reader(shape: Shape, known: dict[Shape, Read]) -> Read:
    """`known` holds the readers already made, so that a shape may contain itself."""
    if shape in known:
        return known[shape]
    if shape.type == "structure":
        return _structure(shape, known)
    if shape.type == "list":
        return _list(shape, known)
    return _map(shape, known) if shape.type == "map" else json_scalar(shape)


def _structure(shape: Shape, known: dict[Shape, Read], *, only_body: bool = False) -> Read:
    fields: list[tuple[str, str, Read]] = []

    def read(value: object) -> Params:
        entries = _entries(value)
        params: Params = {}
        for wire_name, name, inner in fields:
            item = entries.get(wire_name)
            if item is not None:
                params[name] = read_at(f".{name}", inner, item)
        return params

    known[shape] = read
    for member in shape.members.values():
        if member.location == "body" or not only_body:
            fields.append((member.wire_name, member.name, _reader(member.shape, known)))
    return read


def _list(shape: Shape, known: dict[Shape, Read]) -> Read:
    inner = _reader(shape.inner["member"], known)

    def read(value: object) -> list[object]:
        if type(value) is not list:
            raise wrong_kind(value, "a list")
        return [read_at(f"[{index}]", inner, item) for index, item in enumerate(cast("list[object]", value))]

    return read


def _map(shape: Shape, known: dict[Shape, Read]) -> Read:
    inner = _reader(shape.inner["value"], known)

    def read(value: object) -> Params:
        params: Params = {}
        for index, (key, item) in enumerate(_entries(value).items()):
            name = read_at(f"[entry {index}].key", read_string, key)
            params[name] = read_at(f"[entry {index}].value", inner, item)
        return params

    return read


def _entries(value: object) -> dict[str, object]:
    if type(value) is RepeatingObject:
        raise BadRequest(": holds the same name twice; send each once")
    if type(value) is not dict:
        raise wrong_kind(value, "an object")
    return cast("dict[str, object]", value)
