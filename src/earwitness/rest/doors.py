"""What the doors of this process do, as far as the caller's account may know."""

from earwitness.rest.context import RestCall, RestContext
from earwitness.rest.models import DoorAddressAnswer, DoorRefusalAnswer, DoorsAnswer, OpenDoorAnswer
from earwitness.rest.parameters import GetDoors
from earwitness.voice.connector import DoorStatus

REFUSALS_MAX = 100
"""Reasons that are told of one door."""


def get_doors(context: RestContext, call: RestCall[GetDoors]) -> DoorsAnswer:
    """Return where calls come in, how many of the account are in progress, and what was refused and why.

    Refused were calls for the account's connectors, and what was for nobody's. Other accounts do not show.
    """
    return DoorsAnswer(doors=[_answer(door) for door in context.doors(call.scope.account_id)])


def _answer(door: DoorStatus) -> OpenDoorAnswer:
    refused = sorted(door.refused.items(), key=lambda each: -each[1])[:REFUSALS_MAX]
    return OpenDoorAnswer(
        name=door.name,
        addresses=[DoorAddressAnswer(transport=each[0], host=each[1], port=each[2]) for each in door.addresses],
        calls=door.calls,
        refused=[DoorRefusalAnswer(reason=reason, count=count) for reason, count in refused],
    )
