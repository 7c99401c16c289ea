"""Reading requests: every location, every type, and what is wrong with those that cannot be read."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from example_model import example_service

from earwitness.errors import BadRequest
from earwitness.wire.messages import Request
from earwitness.wire.parse import parse_request
from earwitness.wire.router import Router
from earwitness.wire.scalars import Params

ROUTER = Router([example_service()])


def parse(method: str, target: str, *, body: bytes = b"", headers: dict[str, str] | None = None) -> Params:
    path, _, query = target.partition("?")
    request = Request.received(
        method=method,
        raw_path=path.encode(),
        raw_query=query.encode(),
        headers=[(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        body=body,
    )
    return parse_request(ROUTER.match("example", request), request)


def plant(body: Any) -> Params:
    params = parse("POST", "/trees/1", body=body if isinstance(body, bytes) else json.dumps(body).encode())
    assert params.pop("Id") == "1"
    return params


def test_members_come_from_where_the_model_says() -> None:
    params = parse(
        "POST",
        "/trees/a%2Fb?count=1&count=+2&ratio=.5e1&flag=true&ratio_=1".replace("+", "").replace(".5e1", "5e-1"),
        headers={
            "If-Modified-Since": "Sat, 02 Jan 2021 03:04:05 GMT",
            "X-DEPTH": " -7 ",
            "x-note-ab": "one",
            "X-Note-cd": "two",
        },
        body=b'{"color": "red", "unknown": [{}]}',
    )
    assert params == {
        "Id": "a/b",
        "Counts": [1, 2],
        "Ratio": 0.5,
        "Flag": True,
        "Since": datetime(2021, 1, 2, 3, 4, 5, tzinfo=UTC),
        "Depth": -7,
        "Notes": {"ab": "one", "cd": "two"},
        "Colour": "red",
    }


def test_a_map_in_the_query_is_all_of_it() -> None:
    assert parse("GET", "/search?aa=1&bb=&aa=2") == {"All": {"aa": "1", "bb": ""}}
    assert parse("GET", "/search-many?a=1&b=&a=2") == {"All": {"a": ["1", "2"], "b": [""]}}
    assert parse("GET", "/search-many?%C3%A9=%F0%9F%98%80") == {"All": {"é": ["😀"]}}
    assert parse("GET", "/search") == {}


def test_payloads() -> None:
    assert parse("PUT", "/bytes", body=b"\xff\x00") == {"Body": b"\xff\x00"}
    assert parse("PUT", "/stream", body=b"\xff\x00") == {}
    assert parse("PUT", "/tree", body=b'{"Label": "xy"}') == {"Tree": {"Label": "xy"}}
    assert parse("PUT", "/tree") == {}


def test_values_get_their_python_types() -> None:
    tree = {"Label": "ab", "Branches": [{"Label": "bc", "Branches": [{"Label": "cd", "Branches": []}]}]}
    body = {
        "Whole": 5.0,
        "Big": -(2**63),
        "Share": 1,
        "Dry": False,
        "Bytes": "AAE=",
        "Texts": {"ab": "😀"},
        "Tree": tree,
    }
    assert plant(body) == body | {"Bytes": b"\0\1"}
    assert isinstance(plant({"Whole": 5.0})["Whole"], int)
    assert isinstance(plant({"Share": 1})["Share"], float)


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1562589645.061, datetime(2019, 7, 8, 12, 40, 45, 61000, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2019-07-08T12:40:45.061Z", datetime(2019, 7, 8, 12, 40, 45, 61000, tzinfo=UTC)),
        ("2019-07-08T14:40:45+02:00", datetime(2019, 7, 8, 14, 40, 45, tzinfo=timezone(timedelta(hours=2)))),
        ("2019-07-08T12:40:45", datetime(2019, 7, 8, 12, 40, 45, tzinfo=UTC)),
        ("Mon, 08 Jul 2019 12:40:45 GMT", datetime(2019, 7, 8, 12, 40, 45, tzinfo=UTC)),
    ],
)
def test_timestamps_in_all_of_awss_forms(sent: object, moment: datetime) -> None:
    read = plant({"At": sent})["At"]
    assert read == moment
    assert read.tzinfo is UTC


def test_null_and_no_body_are_absent() -> None:
    assert plant({"Name": None, "Tree": {"Label": "ab", "Branches": None}}) == {"Tree": {"Label": "ab"}}
    assert plant(b"") == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON at character 1: "),
        (b"\xef\xbb\xbf{}", "the body is not JSON at character 0: "),
        (b"{}{}", "the body is not JSON at character 2: "),
        (b'{"Name": "\xff"}', "the body is not UTF-8 at byte 10; "),
        (b'{"Name": "a\nb"}', "the body is not JSON at character 11: "),
        (b"[]", "the body is a list; send a JSON object"),
        (b"null", "the body is null; send a JSON object"),
        (b'{"Share": NaN}', "the body holds NaN, which is no JSON; "),
        (b'{"x": -Infinity}', "the body holds -Infinity, which is no JSON; "),
        (b'{"Big": ' + b"9" * 5000 + b"}", "the body holds a number of thousands of digits; "),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is nested too deeply; "),
        (b'{"Name": "ab", "Name": "cd"}', "the body: holds the same name twice; "),
        (b'{"Tree": {"Label": "a", "Label": "b"}}', "Tree: holds the same name twice; "),
        (b'{"Texts": {"a": "1", "a": "2"}}', "Texts: holds the same name twice; "),
    ],
)
def test_bodies_that_are_no_json_of_ours(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        plant(body)
    assert str(caught.value).startswith(message)


def test_repetition_in_what_is_ignored_does_no_harm() -> None:
    assert plant(b'{"unknown": {"a": 1, "a": 2}, "Name": "ab"}') == {"Name": "ab"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Name": 5}, "Name: is a number; give a string"),
        ({"Name": True}, "Name: is a boolean; give a string"),
        ({"Names": ["a", {}]}, "Names[1]: is an object; give a string"),
        ({"Names": ["a", None]}, "Names[1]: is null; give a string"),
        ({"Names": {}}, "Names: is an object; give a list"),
        ({"Tree": []}, "Tree: is a list; give an object"),
        ({"Tree": {"Branches": [{}, {"Label": 1}]}}, "Tree.Branches[1].Label: is a number; give a string"),
        ({"Texts": {"a": "b", "c": 1}}, "Texts[entry 1].value: is a number; give a string"),
        ({"Texts": {"a\0": "b"}}, "Texts[entry 0].key: holds a NUL character; leave it out"),
        ({"Name": "\ud800"}, "Name: holds half of a surrogate pair; send whole characters"),
        ({"Whole": True}, "Whole: is a boolean; give a whole number"),
        ({"Whole": "5"}, "Whole: is a string; give a whole number"),
        ({"Whole": 1.5}, "Whole: is no whole number; give one without a fraction"),
        ({"Whole": 2**31}, "Whole: does not fit 32 bits; give a smaller number"),
        ({"Big": -(2**63) - 1}, "Big: does not fit 64 bits; give a smaller number"),
        ({"Share": 10**400}, "Share: is too large; give a finite number"),
        (b'{"Share": 1e999}', "Share: is too large; give a finite number"),
        (b'{"Whole": 1e999}', "Whole: is no whole number; give one without a fraction"),
        ({"Share": "1"}, "Share: is a string; give a number"),
        ({"Dry": 1}, "Dry: is a number; give true or false"),
        ({"Bytes": "a"}, "Bytes: is not base64; "),
        ({"Bytes": "é==="}, "Bytes: is not base64; "),
        ({"Bytes": 1}, "Bytes: is a number; give a string"),
        ({"At": True}, "At: is no timestamp; "),
        ({"At": "yesterday"}, "At: is no timestamp; "),
        ({"At": "yesterday, or so"}, "At: is no timestamp; "),
        ({"At": 1e300}, "At: is no timestamp; "),
        ({"At": "0001-01-01T00:00:00+23:00"}, "At: is no timestamp; "),
        ({"At": []}, "At: is no timestamp; "),
    ],
)
def test_values_of_another_type_are_named_by_their_way(body: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        plant(body)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("target", "headers", "message"),
    [
        ("/trees/%00", {}, "Id: holds a NUL character"),
        ("/trees/1?count=1&count=two", {}, "Counts[1]: is no whole number; give digits only"),
        ("/trees/1?count=1_0", {}, "Counts[0]: is no whole number; give digits only"),
        ("/trees/1?count=%D9%A1", {}, "Counts[0]: is no whole number; give digits only"),
        ("/trees/1?ratio=nan", {}, "Ratio: is no number; give digits with a point"),
        ("/trees/1?ratio=1e9999", {}, "Ratio: is too large; give a finite number"),
        ("/trees/1?ratio=1&ratio=1", {}, "Ratio: ratio is 2 times in the query; send it once"),
        ("/trees/1?flag=True", {}, "Flag: is neither true nor false; give one of them"),
        ("/trees/1?flag=", {}, "Flag: is neither true nor false; give one of them"),
        ("/trees/1", {"X-Depth": "99999999999999999999"}, "Depth: is no whole number; give digits only"),
        ("/trees/1", {"X-Depth": "9999999999999999999"}, "Depth: does not fit 64 bits; give a smaller number"),
        ("/trees/1", {"If-Modified-Since": "-"}, "Since: is no timestamp; "),
    ],
)
def test_text_that_cannot_be_read(target: str, headers: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse("POST", target, headers=headers)
    assert str(caught.value).startswith(message)


def test_messages_never_quote_a_value() -> None:
    for body in ({"Whole": "zebra"}, {"Texts": {"zebra": 1}}, {"At": "zebra"}, {"Bytes": "zebra"}, b'{"Name": zebra}'):
        with pytest.raises(BadRequest) as caught:
            plant(body)
        assert "zebra" not in str(caught.value)
