"""The constraints of the model on the parameters of an operation: required, type, range, length, pattern, enumeration.

One check is compiled per shape on first use and kept. A check returns what is wrong as texts that begin with the rest
of the way to the value (`.Elements[0].Type: …`), and an empty sequence for a good value, so that a good request costs
no allocation to speak of. Values are never quoted, since they may be personal.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from earwitness.errors import BadRequest
from earwitness.wire.scalars import Params
from earwitness.wire.shapes import Operation, Shape

PROBLEMS_SHOWN_MAX = 5  # enough to mend a request by hand; a list of a thousand bad entries is one mistake
_CHOICES_SHOWN_MAX = 12

# `Any`: whatever was parsed, or what a caller of the operation made; the check finds out.
_Check = Callable[[Any], Sequence[str]]
_FINE: tuple[str, ...] = ()


def validate(operation: Operation, params: Params) -> None:
    """Check parameters against the input shape. Raises one BadRequest that tells up to five problems."""
    problems = _operation_check(operation)(params)
    if problems:
        shown = [problem.removeprefix(".") for problem in problems[:PROBLEMS_SHOWN_MAX]]
        more = "; and more" if len(problems) > PROBLEMS_SHOWN_MAX else ""
        raise BadRequest("; ".join(shown) + more)


@cache
def _operation_check(operation: Operation) -> _Check:
    return _check(operation.input, {}) if operation.input else lambda _params: _FINE


def _check(shape: Shape, known: dict[Shape, _Check]) -> _Check:
    """`known` holds the checks already made, so that a shape may contain itself."""
    if shape not in known:
        if shape.type == "structure":
            return _structure(shape, known)
        known[shape] = _MAKERS[shape.type](shape, known)
    return known[shape]


def _structure(shape: Shape, known: dict[Shape, _Check]) -> _Check:
    # A streaming body is read after the checks, so its member is never among the parameters.
    parts = [member for member in shape.members.values() if not member.streaming]
    required = [member.name for member in parts if member.name in shape.required]
    members: list[tuple[str, _Check]] = []

    def check(value: object) -> Sequence[str]:
        if not isinstance(value, dict):
            return (": must be a structure",)
        params = cast("dict[str, object]", value)
        problems = [f".{name}: is missing, and it is required" for name in required if params.get(name) is None]
        for name, inner in members:
            item = params.get(name)
            if item is not None:
                problems += [f".{name}{problem}" for problem in inner(item)]
        return problems

    known[shape] = check
    members += [(member.name, _check(member.shape, known)) for member in parts]
    return check


def _list(shape: Shape, known: dict[Shape, _Check]) -> _Check:
    inner = _check(shape.inner["member"], known)
    size = _size(shape, "entries")

    def check(value: object) -> Sequence[str]:
        if not isinstance(value, list):
            return (": must be a list",)
        items = cast("list[object]", value)
        problems = list(size(len(items)))
        for index, item in enumerate(items):
            problems += [f"[{index}]{problem}" for problem in inner(item)]
            if len(problems) > PROBLEMS_SHOWN_MAX:
                break
        return problems

    return check


def _map(shape: Shape, known: dict[Shape, _Check]) -> _Check:
    check_key, check_value = _check(shape.inner["key"], known), _check(shape.inner["value"], known)
    size = _size(shape, "entries")

    def check(value: object) -> Sequence[str]:
        if not isinstance(value, dict):
            return (": must be a map",)
        entries = cast("dict[object, object]", value)
        problems = list(size(len(entries)))
        for index, (key, item) in enumerate(entries.items()):
            problems += [f"[entry {index}].key{problem}" for problem in check_key(key)]
            problems += [f"[entry {index}].value{problem}" for problem in check_value(item)]
            if len(problems) > PROBLEMS_SHOWN_MAX:
                break
        return problems

    return check


def _string(shape: Shape, _known: dict[Shape, _Check]) -> _Check:
    size = _size(shape, "characters")
    match = shape.pattern.fullmatch if shape.pattern else None
    mismatch = (f": must match {shape.pattern.pattern}",) if shape.pattern else _FINE
    choices = frozenset(shape.choices)
    no_choice = (f": must be one of {_shown(shape.choices)}",)

    def check(value: object) -> Sequence[str]:
        if not isinstance(value, str):
            return (": must be a string",)
        if choices and value not in choices:
            return no_choice
        problems = size(len(value))
        if problems:
            return problems  # a pattern may take long on a text that is too long
        return mismatch if match and not match(value) else _FINE

    return check


def _blob(shape: Shape, _known: dict[Shape, _Check]) -> _Check:
    size = _size(shape, "bytes")
    return lambda value: size(len(value)) if isinstance(value, bytes) else (": must be bytes",)


def _whole_number(shape: Shape, _known: dict[Shape, _Check]) -> _Check:
    in_range = _range(shape)
    return lambda value: in_range(value) if _is_number(value, int) else (": must be a whole number",)


def _number(shape: Shape, _known: dict[Shape, _Check]) -> _Check:
    in_range = _range(shape)
    return lambda value: in_range(value) if _is_number(value, int | float) else (": must be a number",)


def _is_number(value: object, kind: Any) -> bool:  # `Any`: a class or a union of classes, which has no name of its own
    return isinstance(value, kind) and not isinstance(value, bool)


def _boolean(_shape: Shape, _known: dict[Shape, _Check]) -> _Check:
    return lambda value: _FINE if isinstance(value, bool) else (": must be true or false",)


def _timestamp(_shape: Shape, _known: dict[Shape, _Check]) -> _Check:
    return lambda value: _FINE if isinstance(value, datetime) and value.tzinfo else (": must be a time with its zone",)


_MAKERS: dict[str, Callable[[Shape, dict[Shape, _Check]], _Check]] = {
    "list": _list,
    "map": _map,
    "string": _string,
    "blob": _blob,
    "integer": _whole_number,
    "long": _whole_number,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
}


def _range(shape: Shape) -> Callable[[float], Sequence[str]]:
    low, high = shape.minimum, shape.maximum
    problem = (f": must be {_bounds(low, high)}",)

    def check(value: float) -> Sequence[str]:
        return problem if (low is not None and value < low) or (high is not None and value > high) else _FINE

    return check


def _size(shape: Shape, unit: str) -> Callable[[int], Sequence[str]]:
    low, high = shape.minimum or 0, shape.maximum
    bounds = _bounds(low or None, high)

    def check(size: int) -> Sequence[str]:
        if low <= size and (high is None or size <= high):
            return _FINE
        return (f": has {size} {unit} and must have {bounds}",)

    return check


def _bounds(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"exactly {low}" if low == high else f"{low} to {high}"


def _shown(choices: Sequence[str]) -> str:
    more = " …" if len(choices) > _CHOICES_SHOWN_MAX else ""
    return ", ".join(choices[:_CHOICES_SHOWN_MAX]) + more
