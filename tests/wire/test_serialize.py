"""Writing results; what botocore reads of them is in test_round_trip.py."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from example_model import example_service

from earwitness.wire.messages import Response
from earwitness.wire.serialize import serialize
from earwitness.wire.service_models import ServiceModel

SERVICE = example_service()
NOW = datetime(2024, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC)


def write(result: dict[str, Any], operation: str = "Plant") -> Response:
    return serialize(SERVICE, SERVICE.operations[operation], result, request_id="r-1")


def test_members_go_where_the_model_says() -> None:
    response = write(
        {
            "Status": 3,
            "Modified": NOW,
            "Dry": True,
            "Notes": {"ab": "one"},
            "Colour": "red",
            "Bytes": b"\0\1",
            "At": NOW,
            "IsoAt": NOW.astimezone(timezone(timedelta(hours=2))),
            "Moments": [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)],
            "Texts": {"é": "😀", "gone": None},
            "Tree": {"Label": "a", "Branches": [{"Label": "b", "Branches": []}]},
            "Whole": None,
        }
    )
    assert response.status == 3
    assert response.headers == {
        "x-amzn-RequestId": "r-1",
        "Last-Modified": "Tue, 02 Jan 2024 03:04:05 GMT",
        "X-Dry": "true",
        "X-Note-ab": "one",
        "Content-Type": "application/json",
    }
    assert json.loads(response.body) == {
        "color": "red",
        "Bytes": "AAE=",
        "At": 1704164645.678,
        "IsoAt": "2024-01-02T03:04:05.678Z",
        "Moments": [-1],
        "Texts": {"é": "😀"},
        "Tree": {"Label": "a", "Branches": [{"Label": "b", "Branches": []}]},
    }
    assert '{"é":"😀"}'.encode() in response.body


def test_bodies_that_are_empty() -> None:
    assert write({}).body == b"{}"
    bare = write({}, "Search")
    assert (bare.status, bare.body, bare.headers) == (200, b"", {"x-amzn-RequestId": "r-1"})


def test_nothing_follows_204(services: dict[str, ServiceModel]) -> None:
    service = services["chime-sdk-media-pipelines"]
    response = serialize(service, service.operations["TagResource"], {}, request_id="r-1")
    assert (response.status, response.body, response.headers) == (204, b"", {"x-amzn-RequestId": "r-1"})


def test_a_payload_is_the_body() -> None:
    assert write({"Tree": {"Label": "a"}}, "Graft").body == b'{"Label":"a"}'
    assert write({}, "Graft").body == b"{}"


def test_a_payload_that_is_no_bytes_is_refused(services: dict[str, ServiceModel]) -> None:
    service = services["kinesis-video-media"]
    with pytest.raises(TypeError):
        serialize(service, service.operations["GetMedia"], {"Payload": "text"}, request_id="r-1")


@pytest.mark.parametrize(
    "result",
    [
        {"Ratio": float("nan")},
        {"Ratio": float("inf")},
        {"Ratio": True},
        {"Whole": 1.5},
        {"Whole": "1"},
        {"Colour": 5},
        {"Colour": b"red"},
        {"Bytes": "text"},
        {"At": "2024-01-01"},
        {"At": NOW.replace(tzinfo=None)},
        {"Texts": {1: "a"}},
        {"Texts": []},
        {"Tree": "x"},
        {"Tree": {"Lable": "x"}},
        {"Tree": {"Label": "a", "Branches": [None]}},
        {"Color": "red"},
        {"Notes": {"ab": "one\r\nSet-Cookie: two"}},
    ],
)
def test_what_a_client_would_lose_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        write(result)
