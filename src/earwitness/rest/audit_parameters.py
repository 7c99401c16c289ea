"""What is asked of the audit trail."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from earwitness.rest.parameters import Limit, PageToken, Parameters, doc

_Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_024)]


class ListAudit(Parameters):
    """Who did, read or was refused what in a Region, newest first."""

    since: Annotated[
        _Text | None, doc("From this time on: a day, or a time in UTC, as in 2026-01-31 or 2026-01-31T08:00:00Z.")
    ] = None
    until: Annotated[_Text | None, doc("Before this time, written the same way.")] = None
    key_id: Annotated[_Text | None, doc("Who asked: the id of a key or token, a command, or `service`.")] = None
    operation: Annotated[_Text | None, doc("What was asked, as `SearchRecording`.")] = None
    resource_arn: Annotated[_Text | None, doc("Of which resource.")] = None
    outcome: Annotated[_Text | None, doc("`done`, or the fault that it was refused with.")] = None
    limit: Limit = 50
    next_token: PageToken = None


class GetCheckpoints(Parameters):
    """How far the audit trail has come now, signed: to be kept elsewhere, for `earwitness audit verify`."""
