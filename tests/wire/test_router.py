"""From a method, a path and a query to an operation."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import BadRequest, UnknownOperation
from earwitness.wire.messages import Request
from earwitness.wire.router import Router

ARN = "arn%3Aaws%3Achime%3Aus-east-1%3A123456789012%3Amedia-pipeline%2Fabc"


def request(method: str, target: str, body: bytes = b"") -> Request:
    path, _, query = target.partition("?")
    return Request.received(method=method, raw_path=path.encode(), raw_query=query.encode(), headers=[], body=body)


@pytest.mark.parametrize(
    ("method", "target", "service", "operation", "parameters"),
    [
        (
            "GET",
            f"/media-insights-pipelines/{ARN}/speaker-search-tasks/t%201",
            "chime-sdk-media-pipelines",
            "GetSpeakerSearchTask",
            {
                "identifier": "arn:aws:chime:us-east-1:123456789012:media-pipeline/abc",
                "speakerSearchTaskId": "t 1",
            },
        ),
        (
            "POST",
            "/media-insights-pipelines/p/speaker-search-tasks?operation=start",
            "chime-sdk-media-pipelines",
            "StartSpeakerSearchTask",
            {"identifier": "p"},
        ),
        (
            "POST",
            "/voice-connectors/vc/speaker-search-tasks",
            "chime-sdk-voice",
            "StartSpeakerSearchTask",
            {"VoiceConnectorId": "vc"},
        ),
        ("POST", "/phone-numbers/1", "chime-sdk-voice", "UpdatePhoneNumber", {"phoneNumberId": "1"}),
        ("POST", "/phone-numbers/1?operation=restore", "chime-sdk-voice", "RestorePhoneNumber", {"phoneNumberId": "1"}),
        ("GET", "/voice-profiles/%252F+%C3%A9", "chime-sdk-voice", "GetVoiceProfile", {"VoiceProfileId": "%2F+é"}),
        ("GET", "/voice-profiles/%2E%2E", "chime-sdk-voice", "GetVoiceProfile", {"VoiceProfileId": ".."}),
        ("GET", "/search?type=phone-numbers&x=1", "chime-sdk-voice", "SearchAvailablePhoneNumbers", {}),
    ],
)
def test_routes(
    router: Router, method: str, target: str, service: str, operation: str, parameters: dict[str, str]
) -> None:
    route = router.match("chime", request(method, target))
    assert (route.service.name, route.operation.name, dict(route.path_parameters)) == (service, operation, parameters)


def test_three_services_share_a_signing_name(router: Router) -> None:
    for path, service in [
        ("/createStream", "kinesisvideo"),
        ("/getMedia", "kinesis-video-media"),
        ("/listFragments", "kinesis-video-archived-media"),
    ]:
        assert router.match("kinesisvideo", request("POST", path)).service.name == service


@pytest.mark.parametrize(
    ("resource", "service"),
    [
        ("voice-profile/vp-1", "chime-sdk-voice"),
        ("voice-profile-domain/d", "chime-sdk-voice"),
        ("vc/abc", "chime-sdk-voice"),
        ("media-pipeline/abc", "chime-sdk-media-pipelines"),
        ("media-insights-pipeline-configuration/vc", "chime-sdk-media-pipelines"),
    ],
)
def test_the_arn_decides_which_service_tags(router: Router, resource: str, service: str) -> None:
    arn = f"arn:aws:chime:us-east-1:123456789012:{resource}"
    body = json.dumps({"ResourceARN": arn}).encode()
    quoted = arn.replace(":", "%3A").replace("/", "%2F")
    assert router.match("chime", request("GET", f"/tags?arn={quoted}")).service.name == service
    route = router.match("chime", request("POST", "/tags?operation=untag-resource&arn=ignored", body))
    assert (route.service.name, route.operation.name) == (service, "UntagResource")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ResourceARN": 5}', b'{"ResourceARN": ""}'])
def test_tags_without_an_arn_go_to_a_service_that_refuses_them(router: Router, body: bytes) -> None:
    route = router.match("chime", request("POST", "/tags?operation=tag-resource", body))
    assert route.service.name == "chime-sdk-media-pipelines"


@pytest.mark.parametrize(
    ("signing_name", "method", "target", "error", "message"),
    [
        ("s3", "GET", "/", UnknownOperation, "sign for chime or kinesisvideo"),
        ("chime", "GET", "/", UnknownOperation, "check the endpoint URL"),
        ("chime", "GET", "", UnknownOperation, "check the endpoint URL"),
        ("chime", "GET", "/voice-profiles/", UnknownOperation, "check the endpoint URL"),
        ("chime", "GET", "/voice-profiles/..", UnknownOperation, "check the endpoint URL"),
        ("chime", "GET", "x/voice-profiles", UnknownOperation, "check the endpoint URL"),
        ("chime", "GET", "/createStream", UnknownOperation, "check the endpoint URL"),
        ("chime", "PATCH", "/voice-profiles/a", UnknownOperation, "use DELETE or GET or PUT"),
        ("chime", "GET", "/search", UnknownOperation, r"add \?type=phone-numbers"),
        (
            "chime",
            "POST",
            "/voice-connectors/a?operation=associate-phone-numbers&operation=disassociate-phone-numbers",
            BadRequest,
            "only one of",
        ),
        ("chime", "POST", "/tags?operation=tag-resource&operation=untag-resource", BadRequest, "more than once"),
        ("chime", "POST", "/tags?operation=tag-resource&operation=tag-resource", BadRequest, "more than once"),
        ("chime", "POST", "/tags?operation=tag-resource&operation=", BadRequest, "more than once"),
        ("chime", "GET", "/voice-profiles/%FF", BadRequest, "not UTF-8"),
        ("chime", "POST", "/tags?operation=%FF", BadRequest, "not UTF-8"),
        ("chime", "POST", "/tags?" + "a=1&" * 1001, BadRequest, "fewer"),
        ("chime", "POST", "/tags?operation=tag-resource", BadRequest, "not JSON"),
    ],
)
def test_what_matches_nothing_is_told_what_would(
    router: Router, signing_name: str, method: str, target: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        router.match(signing_name, request(method, target, b"{"))


def test_a_service_answers_for_requests_that_match_nothing(router: Router) -> None:
    assert router.answering_service("kinesisvideo").name == "kinesisvideo"
    assert router.answering_service("chime").name == "chime-sdk-media-pipelines"
    assert router.answering_service("s3").name == "chime-sdk-media-pipelines"


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text not in (".", "..")))
def test_a_segment_is_decoded_once(text: str, router: Router) -> None:
    route = router.match("chime", request("GET", f"/voice-profiles/{quote(text, safe='')}"))
    assert route.path_parameters == {"VoiceProfileId": text}
