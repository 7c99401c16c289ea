"""Forms that browsers send: only those of our own pages, small and plain."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from earwitness.console.guard import Hosts
from earwitness.errors import BadRequest
from earwitness.server.body import BodyLimit, receive_body

FORM_LIMIT = BodyLimit(bytes_max=65_536, seconds_max=30.0)
ENCODED_BYTES = 3
"""Of one byte of a field, at most: `{` is sent as `%7B`."""
FIELDS_MAX = 50


async def own_form(request: Request, hosts: Hosts, limit: BodyLimit = FORM_LIMIT) -> dict[str, str]:
    """Return the filled fields of a form of one of our pages. Raise Forbidden for others, BadRequest for no form."""
    hosts.require_own_page(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise BadRequest("this is not a form of the console; open the console and send it there")
    body = bytearray()
    await receive_body(request.scope, request.receive, body.extend, limit)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=False, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:  # UnicodeDecodeError is one
        raise BadRequest("the form cannot be read; open the console and send it again") from None
    return dict(fields)
