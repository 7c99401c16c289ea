"""What answers say of their own limits is what was measured, in every place the same."""

import json
from pathlib import Path

from earwitness.rest.routes import openapi
from earwitness.voice.limits import measured_limits

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_the_numbers_are_those_of_the_benchmarks() -> None:
    numbers = json.loads((RESULTS / "repeats.json").read_text(encoding="utf-8"))["numbers"]
    limits = measured_limits()
    assert limits.repeats_missed == round(numbers["all.missed"], 3)
    assert (limits.repeats_mistaken, limits.repeats_mistaken_of) == (
        numbers["all.other.count"],
        numbers["all.other.of"],
    )
    numbers = json.loads((RESULTS / "unseen.json").read_text(encoding="utf-8"))["numbers"]
    assert limits.strangers_named == round(numbers["halves.learnt.pooled.10.strangers"], 3)
    assert limits.strangers_named_worst == round(numbers["halves.learnt.pooled.10.strangers.worst_tenth"], 3)


def test_the_document_for_programs_says_them_too() -> None:
    assert measured_limits().of_a_name in openapi()["info"]["description"]
