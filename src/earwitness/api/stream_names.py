"""Which stream a request means: most operations take a name or an ARN."""

from earwitness.access.caller import Caller
from earwitness.errors import BadRequest, NotFound
from earwitness.store.records import KinesisStream
from earwitness.store.streams import StreamReader
from earwitness.wire.scalars import Params


def named(params: Params, *, name: str = "StreamName", arn: str = "StreamARN") -> str:
    """The name or ARN in a request; BadRequest unless it has exactly one of them."""
    given = [params[member] for member in (name, arn) if params.get(member) is not None]
    if len(given) != 1:
        raise BadRequest(f"the request has {len(given) or 'none'} of {name} and {arn}; give one of them")
    return given[0]


def stream_of(streams: StreamReader, caller: Caller, params: Params) -> KinesisStream:
    """The stream that a request names, or NotFound: it is not there, or belongs to another account or Region."""
    return found(streams.get(caller.scope, named(params)))


def found(stream: KinesisStream | None) -> KinesisStream:
    """The stream, or NotFound."""
    if stream is None:
        raise NotFound("the stream does not exist in this account and Region; create it, or look at its name or ARN")
    return stream
