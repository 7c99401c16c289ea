"""A request as it arrived, the JSON in its body, and the response to it, as plain values; no web framework's
types and no sockets.

Signatures cover the bytes that travelled, so a request keeps its path and query exactly as received. Text is the bytes
decoded as Latin-1: every byte survives, and `.encode("latin-1")` gives them back.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import cast
from urllib.parse import parse_qsl

from earwitness.errors import BadRequest

QUERY_FIELDS_MAX = 1000  # botocore sends fewer than ten; a list in a query is at most as long as one in a body


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, its body already read."""

    method: str
    """Upper case, as received."""
    raw_path: str
    """The path as received: still percent-encoded, without the query."""
    raw_query: str
    """The query string as received, without its `?`; empty when there is none."""
    header_list: tuple[tuple[str, str], ...]
    """Every header line in order: the name in lower case, the value as received."""
    body: bytes = b""
    """The whole body; empty for a request whose body is read as a stream."""
    client: str = ""
    """The address of the peer, for logs and audit; empty when unknown."""

    @classmethod
    def received(
        cls,
        *,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes = b"",
        client: str = "",
    ) -> "Request":
        """Build a request from bytes, as an ASGI server hands them over."""
        lines = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
        return cls(
            method=method.upper(),
            raw_path=raw_path.decode("latin-1"),
            raw_query=raw_query.decode("latin-1"),
            header_list=tuple(lines),
            body=body,
            client=client,
        )

    def with_body(self, body: bytes) -> "Request":
        """Return the same request after its body has arrived."""
        return replace(self, body=body)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name; lines of the same name are joined with a comma (RFC 9110, 5.3)."""
        return {name: ",".join(values) for name, values in self.header_values.items()}

    @cached_property
    def header_values(self) -> Mapping[str, list[str]]:
        """The values of every header line, by lower-case name, in the order they arrived."""
        gathered: dict[str, list[str]] = {}
        for name, value in self.header_list:
            if name in gathered:
                gathered[name].append(value)
            else:
                gathered[name] = [value]
        return gathered

    @cached_property
    def query(self) -> tuple[tuple[str, str], ...]:
        """The query's names and values, decoded, in order. Raise BadRequest when it is no percent-encoded UTF-8."""
        if not self.raw_query:
            return ()
        try:
            text = self.raw_query.encode("latin-1").decode("utf-8")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
        except UnicodeError:
            raise BadRequest("the query string is not UTF-8; percent-encode the UTF-8 bytes of each value") from None
        except ValueError:
            raise BadRequest(f"the query string has more than {QUERY_FIELDS_MAX} fields; send fewer") from None
        return tuple(pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP response; `Content-Length` and `Date` are the HTTP server's business."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


# JSON, strictly: what two readers could understand differently is refused. Python's reader accepts NaN, takes the last
# of two members with one name and falls over deep nesting; here each is a BadRequest. Messages say where, never what: a
# body may hold personal data.

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
    """A JSON object in which a name occurs twice; refused only where it is read as a structure or a map."""


def load_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in a body; an empty body is an empty object. Raise BadRequest for anything else."""
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
