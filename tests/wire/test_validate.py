"""The constraints of a model: a good and a bad value for every kind."""

import json
import string
import time
from typing import Any

import pytest
from example_model import example_service

from earwitness.errors import BadRequest
from earwitness.wire.messages import Request
from earwitness.wire.parse import PROBLEMS_SHOWN_MAX, parse_request
from earwitness.wire.router import Route, Router
from earwitness.wire.scalars import Params
from earwitness.wire.service_models import ServiceModel, Shape

ROUTER = Router([example_service()])


def parse(method: str, target: str, body: bytes = b"") -> Params:
    path, _, query = target.partition("?")
    request = Request.received(method=method, raw_path=path.encode(), raw_query=query.encode(), headers=[], body=body)
    return parse_request(ROUTER.match("example", request), request)


def problem(params: dict[str, Any], query: str = "") -> str:
    try:
        parse("POST", f"/trees/1?{query}", json.dumps(params).encode())
    except BadRequest as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "params",
    [
        {"Name": "ab"},
        {"Name": "abcde"},
        {"color": "green"},
        {"Whole": 1},
        {"Whole": 5},
        {"Share": 0},
        {"Share": 1.0},
        {"Dry": False},
        {"At": 1704067200},
        {"Bytes": "MQ=="},
        {"Bytes": "MTIzNA=="},
        {"Names": ["ab"]},
        {"Names": ["ab", "cd", "ef"]},
        {"Texts": {}},
        {"Texts": {"ab": "", "cd": "x"}},
        {"Tree": {"Label": "ab", "Branches": [{"Label": "cd", "Branches": []}]}},
        {"Name": None},
        {"unknown": [{}]},
    ],
)
def test_good_values(params: dict[str, Any]) -> None:
    assert problem(params) == ""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"Tree": {}}, "Tree.Label: is missing, and it is required"),
        ({"Name": "a"}, "Name: has 1 characters and must have 2 to 5"),
        ({"Name": "abcdef"}, "Name: has 6 characters and must have 2 to 5"),
        ({"Name": "ab1"}, "Name: must match ^[a-z]+"),
        ({"Name": "1ab"}, "Name: must match ^[a-z]+"),
        ({"Name": "ab\n"}, "Name: must match ^[a-z]+"),
        ({"Name": 5}, "Name: is a number; give a string"),
        ({"color": "blue"}, "Colour: must be one of red, green"),
        ({"Whole": 0}, "Whole: must be 1 to 5"),
        ({"Whole": 6}, "Whole: must be 1 to 5"),
        ({"Whole": True}, "Whole: is a boolean; give a whole number"),
        ({"Whole": 1.5}, "Whole: is no whole number; give one without a fraction"),
        ({"Share": 1.01}, "Share: must be 0 to 1"),
        ({"Share": "1"}, "Share: is a string; give a number"),
        ({"Dry": 0}, "Dry: is a number; give true or false"),
        ({"Bytes": ""}, "Bytes: has 0 bytes and must have 1 to 4"),
        ({"Bytes": "MTIzNDU="}, "Bytes: has 5 bytes and must have 1 to 4"),
        ({"Bytes": 1}, "Bytes: is a number; give a string"),
        ({"Names": []}, "Names: has 0 entries and must have 1 to 3"),
        ({"Names": ["ab"] * 4}, "Names: has 4 entries and must have 1 to 3"),
        ({"Names": ["ab", "a"]}, "Names[1]: has 1 characters and must have 2 to 5"),
        ({"Names": "ab"}, "Names: is a string; give a list"),
        ({"Texts": {"ab": "", "cd": "", "ef": ""}}, "Texts: has 3 entries and must have at most 2"),
        ({"Texts": {"ab": "", "c": ""}}, "Texts[entry 1].key: has 1 characters and must have 2 to 5"),
        ({"Texts": {"ab": 1}}, "Texts[entry 0].value: is a number; give a string"),
        ({"Texts": []}, "Texts: is a list; give an object"),
        ({"Tree": []}, "Tree: is a list; give an object"),
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


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("ratio=1.5", "Ratio: must be 0 to 1"),
        ("count=3&count=6", "Counts[1]: must be 1 to 5"),
        ("ratio=1.5&count=6", "Counts[0]: must be 1 to 5; Ratio: must be 0 to 1"),
    ],
)
def test_values_in_the_query_are_held_against_the_model_too(query: str, message: str) -> None:
    assert problem({}, query) == message


def test_what_is_missing_comes_first() -> None:
    assert problem({"Tree": {"Branches": [{}, {"Label": "a"}]}}) == (
        "Tree.Label: is missing, and it is required; Tree.Branches[0].Label: is missing, and it is required; "
        "Tree.Branches[1].Label: has 1 characters and must have 2 to 5"
    )


def test_bytes_that_are_the_whole_body_have_a_length() -> None:
    with pytest.raises(BadRequest, match=r"^Body: has 5 bytes and must have 1 to 4$"):
        parse("PUT", "/bytes", b"12345")


def test_a_streamed_body_is_not_asked_for() -> None:
    assert parse("PUT", "/stream") == {}


def test_messages_never_quote_a_value() -> None:
    for params in ({"Name": "zebra1"}, {"color": "zebra"}, {"Texts": {"zebra1": ""}}):
        assert "zebra" not in problem(params)


def test_a_broken_pattern_of_aws_is_read_as_it_was_meant(services: dict[str, ServiceModel]) -> None:
    operation = services["chime-sdk-voice"].operations["CreateVoiceProfileDomain"]
    route = Route(service=services["chime-sdk-voice"], operation=operation, path_parameters={})
    params = {"Name": "n", "ServerSideEncryptionConfiguration": {"KmsKeyArn": "arn:aws:kms:us-east-1:1:key/k"}}

    def create(**more: str) -> Params:
        body = json.dumps(params | more).encode()
        return parse_request(
            route, Request.received(method="POST", raw_path=b"/", raw_query=b"", headers=[], body=body)
        )

    assert create(ClientRequestToken="3f-_Z")["ClientRequestToken"] == "3f-_Z"
    for token in ("a", "a" * 65, "a b"):
        with pytest.raises(BadRequest, match="ClientRequestToken: must match"):
            create(ClientRequestToken=token)
    params.clear()
    with pytest.raises(BadRequest, match=r"^Name: is missing, and it is required; ServerSide"):
        create()


def _strings(shape: Shape | None, found: dict[int, Shape]) -> None:
    if shape is None or id(shape) in found:
        return
    found[id(shape)] = shape
    for inner in (*shape.inner.values(), *(member.shape for member in shape.members.values())):
        _strings(inner, found)


def test_no_pattern_takes_long_on_a_hostile_text(services: dict[str, ServiceModel]) -> None:
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
