"""The constraints of a model: a good and a bad value for every kind."""

import string
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from example_model import example_service

from earwitness.errors import BadRequest
from earwitness.wire.shapes import Service, Shape
from earwitness.wire.validate import PROBLEMS_SHOWN_MAX, validate

SERVICE = example_service()
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def problem(params: dict[str, Any], operation: str = "Plant") -> str:
    try:
        validate(SERVICE.operations[operation], {"Id": "1", **params})
    except BadRequest as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "params",
    [
        {"Name": "ab"},
        {"Name": "abcde"},
        {"Colour": "green"},
        {"Whole": 1},
        {"Whole": 5},
        {"Ratio": 0},
        {"Ratio": 1.0},
        {"Dry": False},
        {"At": NOW},
        {"Bytes": b"1"},
        {"Bytes": b"1234"},
        {"Names": ["ab"]},
        {"Names": ["ab", "cd", "ef"]},
        {"Texts": {}},
        {"Texts": {"ab": "", "cd": "x"}},
        {"Tree": {"Label": "ab", "Branches": [{"Label": "cd", "Branches": []}]}},
        {"Name": None},
        {"unknown": object()},
    ],
)
def test_good_values(params: dict[str, Any]) -> None:
    assert problem(params) == ""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"Id": None}, "Id: is missing, and it is required"),
        ({"Tree": {}}, "Tree.Label: is missing, and it is required"),
        ({"Name": "a"}, "Name: has 1 characters and must have 2 to 5"),
        ({"Name": "abcdef"}, "Name: has 6 characters and must have 2 to 5"),
        ({"Name": "ab1"}, "Name: must match ^[a-z]+"),
        ({"Name": "1ab"}, "Name: must match ^[a-z]+"),
        ({"Name": "ab\n"}, "Name: must match ^[a-z]+"),
        ({"Name": 5}, "Name: must be a string"),
        ({"Colour": "blue"}, "Colour: must be one of red, green"),
        ({"Whole": 0}, "Whole: must be 1 to 5"),
        ({"Whole": 6}, "Whole: must be 1 to 5"),
        ({"Whole": True}, "Whole: must be a whole number"),
        ({"Whole": 1.0}, "Whole: must be a whole number"),
        ({"Ratio": 1.01}, "Ratio: must be 0 to 1"),
        ({"Ratio": "1"}, "Ratio: must be a number"),
        ({"Dry": 0}, "Dry: must be true or false"),
        ({"At": 5}, "At: must be a time with its zone"),
        ({"At": NOW.replace(tzinfo=None)}, "At: must be a time with its zone"),
        ({"Bytes": b""}, "Bytes: has 0 bytes and must have 1 to 4"),
        ({"Bytes": b"12345"}, "Bytes: has 5 bytes and must have 1 to 4"),
        ({"Bytes": "1"}, "Bytes: must be bytes"),
        ({"Names": []}, "Names: has 0 entries and must have 1 to 3"),
        ({"Names": ["ab"] * 4}, "Names: has 4 entries and must have 1 to 3"),
        ({"Names": ["ab", "a"]}, "Names[1]: has 1 characters and must have 2 to 5"),
        ({"Names": "ab"}, "Names: must be a list"),
        ({"Texts": {"ab": "", "cd": "", "ef": ""}}, "Texts: has 3 entries and must have at most 2"),
        ({"Texts": {"ab": "", "c": ""}}, "Texts[entry 1].key: has 1 characters and must have 2 to 5"),
        ({"Texts": {"ab": 1}}, "Texts[entry 0].value: must be a string"),
        ({"Texts": []}, "Texts: must be a map"),
        ({"Tree": []}, "Tree: must be a structure"),
        (
            {"Tree": {"Label": "ab", "Branches": [{"Label": "ab"}, {"Label": "a"}]}},
            "Tree.Branches[1].Label: has 1 characters and must have 2 to 5",
        ),
    ],
)
def test_bad_values(params: dict[str, Any], message: str) -> None:
    assert problem(params) == message


def test_several_problems_come_together_and_not_too_many() -> None:
    assert problem({"Whole": 0, "Name": "a"}) == ("Name: has 1 characters and must have 2 to 5; Whole: must be 1 to 5")
    many = problem({"Tree": {"Label": "ab", "Branches": [{}] * 10_000}})
    assert many.count("is missing") == PROBLEMS_SHOWN_MAX
    assert many.endswith("; and more")


def test_a_streamed_body_is_not_asked_for() -> None:
    validate(SERVICE.operations["Stream"], {})


def test_messages_never_quote_a_value() -> None:
    for params in ({"Name": "zebra1"}, {"Colour": "zebra"}, {"Texts": {"zebra1": ""}}):
        assert "zebra" not in problem(params)


def test_a_broken_pattern_of_aws_is_read_as_it_was_meant(services: dict[str, Service]) -> None:
    operation = services["chime-sdk-voice"].operations["CreateVoiceProfileDomain"]
    params = {"Name": "n", "ServerSideEncryptionConfiguration": {"KmsKeyArn": "arn:aws:kms:us-east-1:1:key/k"}}
    validate(operation, params | {"ClientRequestToken": "3f-_Z"})
    for token in ("a", "a" * 65, "a b"):
        with pytest.raises(BadRequest, match="ClientRequestToken: must match"):
            validate(operation, params | {"ClientRequestToken": token})


def _strings(shape: Shape | None, found: dict[int, Shape]) -> None:
    if shape is None or id(shape) in found:
        return
    found[id(shape)] = shape
    for inner in (*shape.inner.values(), *(member.shape for member in shape.members.values())):
        _strings(inner, found)


def test_no_pattern_takes_long_on_a_hostile_text(services: dict[str, Service]) -> None:
    found: dict[int, Shape] = {}
    for service in services.values():
        for operation in service.operations.values():
            _strings(operation.input, found)
    patterns = [shape for shape in found.values() if shape.pattern]
    assert len(patterns) > 50
    for shape in patterns:
        length = int(min(shape.maximum or 20_000, 20_000)) - 1
        for filler in (" ", "a", "1", "a-", "a ", "arn:", "a/", "\u3000", string.ascii_lowercase):
            text = (filler * length)[:length] + "\n"
            start = time.process_time()
            assert shape.pattern
            shape.pattern.fullmatch(text)
            assert time.process_time() - start < 0.1, (shape.name, filler)
