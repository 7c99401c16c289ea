"""Tags as they come with a request."""

from collections.abc import Mapping

from earwitness.errors import BadRequest
from earwitness.wire.scalars import Params


def named_tags(params: Params) -> dict[str, str]:
    """The tags of a request by key: a list of Key and Value in both Chime services, a map in Kinesis Video Streams.

    Raises BadRequest when a key comes twice.
    """
    given: Mapping[str, str] | list[dict[str, str]] = params.get("Tags") or {}
    if isinstance(given, Mapping):
        return dict(given)
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) != len(given):
        raise BadRequest("a tag key is given twice; send each key once")
    return tags
