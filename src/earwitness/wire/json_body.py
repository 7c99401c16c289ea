"""A request's body as JSON, strictly: what two readers could understand differently is refused.

Python's reader accepts NaN, takes the last of two members with one name and falls over deep nesting; here each is a
BadRequest. Messages say where, never what: a body may hold personal data.
"""

import json
from typing import cast

from earwitness.errors import BadRequest

KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
"""What to call a JSON value of a Python type."""


class RepeatingObject(dict[str, object]):
    """A JSON object in which a name occurs twice. It matters only where the object is read as a structure or map."""


def load_object(body: bytes) -> dict[str, object]:
    """The JSON object in a body; an empty body is an empty object. Raises BadRequest for anything else."""
    if not body:
        return {}
    try:
        value: object = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as cause:
        raise BadRequest(f"the body is not UTF-8 at byte {cause.start}; encode the JSON as UTF-8") from None
    except json.JSONDecodeError as cause:
        raise BadRequest(f"the body is not JSON at character {cause.pos}: {cause.msg}; send a JSON object") from None
    except ValueError:
        raise BadRequest("the body holds a number of thousands of digits; send a number in its range") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply; send the members that the operation documents") from None
    if not isinstance(value, dict):
        raise BadRequest(f"the body is {KINDS[type(value)]}; send a JSON object")
    return cast("dict[str, object]", value)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatingObject(value)


def _refuse_constant(name: str) -> object:
    raise BadRequest(f"the body holds {name}, which is no JSON; send a finite number or leave the member out")
