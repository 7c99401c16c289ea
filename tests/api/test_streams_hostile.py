"""Operations whose request or answer is a stream, asked anything: no failure of ours, no hang, and the next is served.

They run as in the service, over ASGI; an exception behind the status of an answer reaches the test.
"""

import json
import logging
import random
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest
import stock_client
from api_calls import Resources, make_resources
from api_media import FRAGMENT, UPLOAD_PATH
from api_world import World, key_of, services, signed
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_values import loosely
from tests.fuzz.mutate import Mutator
from tests.fuzz.streams import seeds

from earwitness.access.roles import Role
from earwitness.api import get_media
from earwitness.api.operations import ARCHIVED_MEDIA, MEDIA
from earwitness.audio.matroska.writer import pcm_track, write_block, write_cluster, write_header
from earwitness.wire.messages import Request, Response
from earwitness.wire.wrong_credentials import WrongCredentials

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("new_records", ["sqlite"], indirect=True)]

ONE_WORLD = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GET_MEDIA, FRAGMENT_LIST = (MEDIA, "GetMedia"), (ARCHIVED_MEDIA, "GetMediaForFragmentList")
ODD_NUMBERS = ["", "0", "1", "-1", "9" * 47, "9" * 128, "9" * 5_000, str(2**156), "1e9", "٣" * 47, "a", "..", "\0"]
ODD_TIMES: list[object] = [
    *(0, 1, 1.5, 1_700_000_000, 1_800_000_000, -1, 1e300, -1e300, 253_402_300_800, True),
    *("1970-01-01T00:00:00Z", "nan", "0001-01-01T00:00:00+14:00"),
]


@pytest.fixture
def made(world: World, monkeypatch: pytest.MonkeyPatch) -> Resources:
    """A stream with a fragment among others; reads of it end at once, and bad signatures are answered at once."""
    monkeypatch.setattr(get_media, "END_SECONDS", 0.001)
    monkeypatch.setattr(world.gateway, "_wrong_credentials", WrongCredentials(free_failures=10**9))
    return make_resources(world)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing that clients send is an error of ours, or shows where our code is."""
    yield
    for record in caplog.get_records("call"):
        assert record.levelno < logging.ERROR, record.getMessage()
        assert record.exc_info is None


def require_good(response: Response) -> None:
    assert response.status < 500, response.body
    assert b"Traceback" not in response.body
    assert b".py" not in response.body
    if response.status >= 300:
        assert response.headers["x-amzn-ErrorType"]
        assert json.loads(response.body)


def require_served(world: World, made: Resources) -> None:
    """Whoever came before, a producer gets in and a reader gets something."""
    assert "PERSISTED" not in world.call(MEDIA, "PutMedia", StreamARN=made.stream, FragmentTimecodeType="ABSOLUTE")
    body = json.dumps({"StreamName": "secret", "StartSelector": {"StartSelectorType": "EARLIEST"}}).encode()
    request = signed("POST", "/getMedia", body, signing_name="kinesisvideo")
    answered = b""
    for seconds in (get_media.END_SECONDS, 0.1, 2.0):  # a busy machine may take longer to read the first fragment
        with patch.object(get_media, "END_SECONDS", seconds):
            answered = world.media.answer(request).body
        if answered:
            break
    assert b"AWS_KINESISVIDEO_FRAGMENT_NUMBER" in answered


def asked(operation: tuple[str, str]) -> st.SearchStrategy[Any]:
    shape = services()[operation[0]].operations[operation[1]].input
    assert shape
    return loosely(shape)


ODDLY_ASKED = {operation: asked(operation) for operation in (GET_MEDIA, FRAGMENT_LIST)}
SELECTORS = st.fixed_dictionaries(
    {
        "StartSelectorType": st.sampled_from(
            ["FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP", "NOW", "EARLIEST", "CONTINUATION_TOKEN"]
        )
    },
    optional={
        "AfterFragmentNumber": st.sampled_from([*ODD_NUMBERS, *["kept"] * 6]),
        "ContinuationToken": st.sampled_from([*ODD_NUMBERS, *["kept"] * 6]),
        "StartTimestamp": st.sampled_from(ODD_TIMES) | st.floats(),
    },
)
FRAGMENTS = st.lists(st.sampled_from([*ODD_NUMBERS, *["kept"] * 15, *["next"] * 5]), max_size=3)
QUERIES = st.sampled_from(["", "?", "?StreamName=secret", "?operation=tag-resource", "?a=%ff&a=%00", "?" + "a=b&" * 50])
BODIES = st.binary(max_size=20) | st.sampled_from([b"", b"{}", b"[]", b"null", b'{"a":1,"a":2}', b"NaN", b"[" * 50_000])


def almost(operation: tuple[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    """A request whose stream is there; odd is where it begins, or which fragments it asks for."""
    place = {"StartSelector": SELECTORS} if operation == GET_MEDIA else {"Fragments": FRAGMENTS}
    return st.fixed_dictionaries({"StreamName": st.just("secret"), **place})


ALMOST = {operation: almost(operation) for operation in (GET_MEDIA, FRAGMENT_LIST)}


@settings(ONE_WORLD, max_examples=300)
@given(data=st.data(), query=QUERIES, stays=st.booleans())
def test_reads(world: World, made: Resources, data: st.DataObject, query: str, stays: bool) -> None:
    operation = data.draw(st.sampled_from([GET_MEDIA, FRAGMENT_LIST]))
    value = data.draw(ALMOST[operation] | ODDLY_ASKED[operation])
    body = json.dumps(value).encode() if data.draw(st.integers(0, 9)) else data.draw(BODIES)
    for name, number in (("kept", made.fragment), ("next", str(int(made.fragment) + 2**92))):
        body = body.replace(f'"{name}"'.encode(), f'"{number}"'.encode())
    target = services()[operation[0]].operations[operation[1]].path + query
    require_good(world.media.converse(signed("POST", target, body, signing_name="kinesisvideo"), [body], stays=stays))


HEADER_NAMES = (
    "x-amzn-stream-name",
    "x-amzn-stream-arn",
    "x-amzn-fragment-timecode-type",
    "x-amzn-producer-start-timestamp",
    "x-amzn-fragment-acknowledgment-required",
    "expect",
    "content-type",
    "content-length",
    "x-amz-security-token",
)
HEADER_VALUES = [
    *("", "secret", "ABSOLUTE", "RELATIVE", "absolute", "0", "1", "-1", "1.5", "1e9", "1e300", "-1e300", "1e-300"),
    *("nan", "inf", "-inf", "9" * 400, "0x10", "1_000", "١", "\xff", "a b", "../..", "arn:", "100-continue", "{}"),
]
USUAL = {"x-amzn-stream-name": "secret", "x-amzn-fragment-timecode-type": "ABSOLUTE"}


def upload(headers: Mapping[str, str], *, target: str = UPLOAD_PATH, method: str = "POST") -> Request:
    """A request of PutMedia, signed as its producers do; its body comes apart."""
    url = f"http://localhost:8123{target}"
    sent = AWSRequest(method=method, url=url, headers={"Host": "localhost:8123", **headers})
    sent.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    SigV4Auth(Credentials(key_of(Role.ADMIN), stock_client.SECRET), "kinesisvideo", "us-east-1").add_auth(sent)
    path, _, query = target.partition("?")
    return Request.received(
        method=method,
        raw_path=path.encode(),
        raw_query=query.encode(),
        headers=[(name.encode(), str(value).encode("latin-1", "replace")) for name, value in sent.headers.items()],
        client="127.0.0.1",
    )


def cut(media: bytes, chosen: random.Random) -> list[bytes]:
    """In pieces, some of them empty."""
    edges = sorted(chosen.randint(0, len(media)) for _ in range(chosen.choice((0, 1, 3, 20))))
    return [media[first:last] for first, last in zip([0, *edges], [*edges, len(media)], strict=True)]


@settings(ONE_WORLD, max_examples=250)
@given(
    odd=st.dictionaries(st.sampled_from(HEADER_NAMES), st.sampled_from(HEADER_VALUES), max_size=3),
    without=st.sets(st.sampled_from(sorted(USUAL)), max_size=1),
    query=QUERIES,
    ends=st.booleans(),
    chosen=st.randoms(use_true_random=False),
)
def test_headers_of_uploads(
    world: World, made: Resources, odd: dict[str, str], without: set[str], query: str, ends: bool, chosen: Any
) -> None:
    headers = {name: value for name, value in (USUAL | odd).items() if name not in without}
    request = upload(headers, target=UPLOAD_PATH + query)
    require_good(world.media.converse(request, cut(FRAGMENT, chosen), ends=ends))


def clusters(*timecodes_ms: int) -> bytes:
    header = write_header([pcm_track(rate=8_000)])
    return header + b"".join(write_cluster(timecode, [write_block(1, 0, bytes(160))]) for timecode in timecodes_ms)


MUTATED = Mutator(seeds() | {"fragment": FRAGMENT})
FAR_AWAY = [clusters(time, time + 1) for time in (0, 2**31, 2**41, 253_402_300_799_998, 2**53, 2**62, 2**63 - 2)]


@settings(ONE_WORLD, max_examples=250)
@given(
    start=st.sampled_from(["", "", "0", "1700000000.5", "253402300798.9", "253402300800", "9" * 12]),
    seed=st.integers(0, 2**32),
    ends=st.booleans(),
)
def test_bodies_of_uploads(world: World, made: Resources, start: str, seed: int, ends: bool) -> None:
    chosen = random.Random(seed)
    media = chosen.choice(FAR_AWAY) if chosen.random() < 0.3 else MUTATED.case(chosen)
    relative = {"x-amzn-fragment-timecode-type": "RELATIVE", "x-amzn-producer-start-timestamp": start} if start else {}
    response = world.media.converse(upload(USUAL | relative), cut(media, chosen), ends=ends)
    require_good(response)
    require_acknowledgements(response)


@pytest.mark.parametrize("start", ["253402300799.9", "253402300800", "9" * 12])
def test_a_start_that_leads_beyond_all_dates(world: World, made: Resources, start: str) -> None:
    relative = {"x-amzn-fragment-timecode-type": "RELATIVE", "x-amzn-producer-start-timestamp": start}
    response = world.media.converse(upload(USUAL | relative), [clusters(100, 200)])
    (ack,) = map(json.loads, response.body.splitlines())
    assert (ack["ErrorId"], ack["ErrorCode"], ack["FragmentTimecode"]) == (4007, "INVALID_PRODUCER_TIMESTAMP", 100)
    require_served(world, made)


def require_acknowledgements(response: Response) -> None:
    if response.status == 200:
        for line in filter(None, response.body.split(b"\n")):
            assert json.loads(line)["EventType"] in ("BUFFERING", "RECEIVED", "PERSISTED", "ERROR", "IDLE")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
@pytest.mark.parametrize("path", [UPLOAD_PATH, "/getMedia", "/getMediaForFragmentList"])
def test_other_methods(world: World, made: Resources, path: str, method: str) -> None:
    response = world.media.converse(upload(USUAL, target=path, method=method), [FRAGMENT])
    assert 400 <= response.status < 500
    require_served(world, made)


def test_the_next_one_is_served(world: World, made: Resources) -> None:
    for pieces, ends in (([b"\xff" * 100], True), ([FRAGMENT[:-9]], False), ([b""], True), ([FRAGMENT] * 2, True)):
        require_good(world.media.converse(upload(USUAL), pieces, ends=ends))
        require_served(world, made)
