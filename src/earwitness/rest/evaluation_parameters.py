"""What pages of an evaluation are asked: what errors cost, and how calls were recorded."""

from typing import Annotated, Literal

from msgspec import Meta

from earwitness.rest.parameters import Parameters, doc

_Cost = Annotated[int, Meta(ge=1, le=1_000_000)]


class ShowEvaluation(Parameters):
    """The account's evaluation in this process."""

    miss_cost: Annotated[_Cost, doc("What it costs not to name somebody who is enrolled.")] = 1
    false_alarm_cost: Annotated[_Cost, doc("What it costs to name somebody else, in the same unit.")] = 10
    known_of_thousand: Annotated[
        Annotated[int, Meta(ge=1, le=999)], doc("Of 1,000 pairs that are compared, how many are one person.")
    ] = 10
    gallery: Annotated[Annotated[int, Meta(ge=1, le=1_000_000)], doc("Voiceprints that are searched.")] = 100


class StartEvaluation(Parameters):
    """Begin an evaluation of labelled calls."""

    condition: Annotated[Literal["recorded", "clean"], doc("Telephone calls as they are, or microphones.")] = "recorded"
    enrol_seconds: Annotated[Annotated[int, Meta(ge=10, le=20)], doc("Net speech of an enrolment.")] = 20
    test_seconds: Annotated[Annotated[int, Meta(ge=3, le=20)], doc("Net speech of a test.")] = 10


class EndEvaluation(Parameters):
    """End the account's evaluation, or forget its results."""
