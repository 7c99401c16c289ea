"""Forms that bring files: those of our own pages only, proved before a file is taken, bounded in size and in time.

What belongs here: receiving. What must never: what is done with a recording.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from earwitness.console.forms import FIELDS_MAX
from earwitness.console.guard import Hosts
from earwitness.console.multipart import BOUNDARY_BYTES_MAX, FIELD_BYTES_MAX, FormReader, KeepPiece, boundary_of
from earwitness.errors import BadRequest, Forbidden
from earwitness.evaluation.incoming import FILES_MAX, SENT_BYTES_MAX, SENT_SECONDS_MAX, IncomingCalls
from earwitness.rest.context import NO_RECORDING
from earwitness.server.body import BodyLimit, receive_body
from earwitness.tasks.recordings import recording_file

RECORDING = "recording"
"""The field of a recording."""

STALE_FORM = "this form is of another sign-in; reload the page and send it again"

_HEADS_BYTES = FIELD_BYTES_MAX + (FIELDS_MAX + 1) * (BOUNDARY_BYTES_MAX + 1_024)
"""What a form may have beside its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedForm:
    """What a form brought."""

    #: Without the form's token.
    fields: Mapping[str, str]
    #: Where its recording is, while what holds it is held.
    recording: Path = NO_RECORDING
    calls: IncomingCalls | None = None


async def receive_form(
    request: Request,
    hosts: Hosts,
    *,
    fits: Callable[[str], bool],
    begin_file: Callable[[str, str], KeepPiece],
    limit: BodyLimit,
    parts_max: int = FIELDS_MAX,
) -> dict[str, str]:
    """Return the fields of a form with files of one of our pages; its files go to what `begin_file` returns.

    `fits` says whether a form token is of the session that sends it. The token comes first: a file before it is
    Forbidden, and so is a form without one. Raise BadRequest for what is no form, BodyTooLarge and ClientDisconnect.
    """
    hosts.require_own_page(request)
    fields: dict[str, str] = {}
    proved = False

    def take_field(name: str, value: str) -> None:
        nonlocal proved
        if name == "formToken":
            proved = fits(value)
        elif name in fields:
            raise BadRequest(f"the form has {name} twice; open the page again and send it again")
        else:
            fields[name] = value

    def begin(name: str, file_name: str) -> KeepPiece:
        if not proved:
            raise Forbidden(STALE_FORM)
        return begin_file(name, file_name)

    reader = FormReader(
        boundary_of(request.headers.get("content-type", "")),
        take_field=take_field,
        begin_file=begin,
        parts_max=parts_max,
    )
    await receive_body(request.scope, request.receive, reader.feed, limit)
    reader.end()
    if not proved:
        raise Forbidden(STALE_FORM)
    return fields


async def receive_calls(
    request: Request, hosts: Hosts, *, fits: Callable[[str], bool], held: ExitStack
) -> ReceivedForm:
    """Return a form with its labelled calls; what was sent of a form that fails is deleted.

    Raise as `receive_form` and `IncomingCalls.begin_file` do.
    """
    calls = IncomingCalls()
    held.callback(calls.remove_unless_kept)
    limit = BodyLimit(bytes_max=SENT_BYTES_MAX, seconds_max=SENT_SECONDS_MAX)
    parts_max = FILES_MAX + FIELDS_MAX
    fields = await receive_form(
        request, hosts, fits=fits, begin_file=calls.begin_file, limit=limit, parts_max=parts_max
    )
    return ReceivedForm(fields=fields, calls=calls)


async def receive_recording(
    request: Request, hosts: Hosts, *, fits: Callable[[str], bool], limit: BodyLimit, held: ExitStack
) -> ReceivedForm:
    """Return a form with its one recording, which is there until what is held is let go.

    Raise as `receive_form` does, and BadRequest without a recording, or with another file.
    """
    file, path = held.enter_context(recording_file())
    size = files = 0

    def keep(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        file.write(piece)

    def begin_file(name: str, _file_name: str) -> KeepPiece:
        nonlocal files
        files += 1
        if name != RECORDING or files > 1:
            raise BadRequest("the form takes one recording; choose one file and send it again")
        return keep

    whole = BodyLimit(bytes_max=limit.bytes_max + _HEADS_BYTES, seconds_max=limit.seconds_max)
    fields = await receive_form(request, hosts, fits=fits, begin_file=begin_file, limit=whole)
    if not size:
        raise BadRequest("no recording was sent; choose a file, or record something, and send the form again")
    file.flush()
    return ReceivedForm(fields=fields, recording=path)
