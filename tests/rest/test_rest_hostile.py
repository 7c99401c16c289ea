"""Hostile parameters: refused by name, answered as JSON, and never a failure of ours."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_examples import Rest, require_error

from earwitness.errors import BadRequest
from earwitness.rest.faults import FAILURE_MESSAGE
from earwitness.rest.parameters import Kind, Parameter, Place, Printable, Text, Whole, parse_parameters
from earwitness.rest.routes import ROUTES

KINDS: list[Kind] = [
    Text(pattern="[A-Za-z0-9_-]+", words="letters", length_max=8),
    Printable(length_max=8),
    Whole(low=2, high=20),
    Whole(low=0, high=9, word="latest"),
]


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


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=30), st.sampled_from(KINDS))
def test_parsers_take_what_the_schema_takes(text: str, kind: Kind) -> None:
    parameter = Parameter(name="one", place=Place.QUERY, kind=kind, text="")
    try:
        parsed = parse_parameters([parameter], path={}, query=[("one", text)])["one"]
    except BadRequest as error:
        assert "one" in str(error)
        assert len(text) < 3 or text not in str(error)
        return
    assert str(parsed) == (text if isinstance(parsed, str) else text.lstrip("0") or "0")


def test_defaults_are_values_of_their_kind() -> None:
    for route in ROUTES:
        for parameter in route.parameters:
            if parameter.default is not None:
                assert parameter.kind.parse(str(parameter.default)) == parameter.default
