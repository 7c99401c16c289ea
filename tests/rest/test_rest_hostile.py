"""Hostile parameters: refused by name, answered as JSON, and never a failure of ours."""

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta
from rest_examples import Rest, require_error

from earwitness.errors import BadRequest
from earwitness.rest.parameters import read_parameters
from earwitness.rest.routes import openapi
from earwitness.wire.faults import FAILURE_MESSAGE


class Kinds(msgspec.Struct):
    """A parameter of every kind that the API has."""

    letters: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", min_length=1, max_length=8)] = ""
    printable: Annotated[str, Meta(min_length=1, max_length=8)] = ""
    whole: Annotated[int, Meta(ge=2, le=20)] = 2
    whole_or_word: Annotated[int, Meta(ge=0, le=9)] | Literal["latest"] = 0


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("tasks", {"limit": "0"}),
        ("tasks", {"limit": "101"}),
        ("tasks", {"limit": "NaN"}),
        ("tasks", {"limit": "1e1"}),
        ("tasks", {"limit": "-1"}),
        ("tasks", {"limit": "٣"}),
        ("tasks", {"limit": ""}),
        ("tasks", {"limit": "9" * 5_000}),
        ("tasks", {"nextToken": "AAAA"}),
        ("tasks", {"nextToken": "ü"}),
        ("tasks", {"region": "eu-central-1'; --"}),
        ("tasks", {"region": "EU"}),
        ("tasks", {"pipelineId": "a\0b"}),
        ("tasks", {"pipelineId": "a b"}),
        ("tasks", {"unknown": "1"}),
        ("tasks", {"taskId": "1"}),
        ("tasks", {"limit": ["1", "1"]}),
        ("events", {"after": "Infinity"}),
        ("events", {"after": "newest"}),
        ("events", {"after": str(2**63)}),
        ("events", {"wait": "21"}),
        ("events", {"wait": "0.5"}),
        ("events/%2E%2E%5Ctasks", {}),
        ("tasks/..", {}),
        ("tasks/a%00b", {}),
        ("tasks/" + "a" * 129, {}),
        ("tasks/%F0%9F%92%A9", {}),
        ("tasks/a%0Ab", {}),
    ],
    ids=str,
)
def test_values_outside_what_is_documented(rest: Rest, path: str, params: dict[str, str]) -> None:
    response = rest.ask("GET", f"/earwitness/v1/{path}", params=params)
    # `..` never reaches us: the client takes it out of the path, and what is left is another one
    kind, status = ("BadRequest", 400) if path != "tasks/.." else ("UnknownOperation", 404)
    require_error(response, status, kind)


def test_a_query_that_is_no_text(rest: Rest) -> None:
    for query in (b"limit=%ff", b"limit=\xff", b"&".join([b"a=1"] * 2_000)):
        response = rest.send("GET", "/earwitness/v1/tasks?" + query.decode("latin-1"), headers=bearer())
        require_error(response, 400, "BadRequest")


def bearer() -> dict[str, str]:
    from rest_examples import token

    return {"authorization": f"Bearer {token('admin')}"}


def test_a_mistake_of_ours_tells_nothing(rest: Rest, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("+49 30 1234567")

    rest.store.tasks.get = broken
    message = require_error(rest.ask("GET", "tasks/task-1"), 500, "ServiceFailure")
    assert message == FAILURE_MESSAGE
    assert "1234567" not in caplog.text
    assert "1234567" not in str([vars(record) for record in caplog.records])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(max_size=30) | st.text("0123456789", max_size=20) | st.sampled_from(["1.0", "1e1", "-0", "a\n", "007"]),
    st.sampled_from(["letters", "printable", "whole", "whole_or_word"]),
)
def test_parsers_take_what_the_schema_takes(text: str, name: str) -> None:
    try:
        parsed = getattr(read_parameters(Kinds, path={}, query=[(name, text)]), name)
    except BadRequest as error:
        assert name in str(error)
        assert len(text) < 3 or text not in str(error)
        return
    assert str(parsed) == (text if isinstance(parsed, str) else text.lstrip("0") or "0")
    assert text.isprintable()


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("tasks", {"limit": "101"}, "the parameter limit has to be a whole number from 1 to 100"),
        ("tasks", {"limit": "1.0"}, "the parameter limit has to be a whole number from 1 to 100"),
        ("events", {"wait": "21"}, "the parameter wait has to be a whole number from 0 to 20"),
        (
            "events",
            {"after": "newest"},
            "the parameter after has to be a whole number from 0 to 999999999999999999, or latest",
        ),
        ("tasks", {"pipelineId": "a b"}, "the parameter pipelineId has to be an id or an ARN, 1 to 1024 characters"),
        ("tasks", {"nextToken": "a\n"}, "the parameter nextToken has to be 1 to 2048 printable characters"),
        ("tasks/a%0A", {}, "the parameter taskId has to be letters, digits, - and _, 1 to 128 characters"),
        (
            "tasks",
            {"a": "b"},
            "the query has a parameter that is not known here; /earwitness/v1/openapi.json lists them",
        ),
        ("tasks", {"limit": ["1", "2"]}, "the parameter limit comes twice; give it once"),
    ],
)
def test_messages_say_what_a_value_has_to_be(rest: Rest, path: str, params: dict[str, str], message: str) -> None:
    assert require_error(rest.ask("GET", f"/earwitness/v1/{path}", params=params), 400, "BadRequest") == message


def test_what_is_missing_or_no_band_is_named(rest: Rest) -> None:
    for params, message in (
        ({}, "the parameter name is missing; add it to the query"),
        ({"name": "callers", "band": "narrow"}, "the parameter band has to be telephone or wideband"),
    ):
        assert require_error(rest.ask("POST", "/earwitness/v1/domains", params=params), 400, "BadRequest") == message


def test_defaults_are_values_of_their_kind() -> None:
    schemas = openapi()["components"]
    for methods in openapi()["paths"].values():
        for parameter in (one for operation in methods.values() for one in operation["parameters"]):
            if "default" in parameter["schema"]:
                Draft202012Validator({**parameter["schema"], "components": schemas}).validate(
                    parameter["schema"]["default"]
                )
