"""Limits of media at a running service: what callers are told, and that an honest producer gets through."""

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from live import KEY_ID, SECRET, Live

from earwitness import put_media
from earwitness.config.limits import AWS_MEDIA_RATES

SECONDS = 12


def session() -> Any:  # `Any`: boto3 has no types
    return boto3.Session(KEY_ID, SECRET, region_name="us-east-1")


def client(live: Live, service: str) -> Any:
    return session().client(service, endpoint_url=live.url, config=Config(retries={"total_max_attempts": 1}))


def send(live: Live, name: str) -> Any:
    client(live, "kinesisvideo").create_stream(StreamName=name, DataRetentionInHours=1)
    audio = io.BytesIO(bytes(2 * 8_000 * SECONDS))
    return put_media(audio, stream_name=name, real_time=False, endpoint_url=live.url, session=session())


@pytest.mark.slow
def test_a_recording_that_is_sent_as_fast_as_it_goes_arrives_though_it_is_over_the_rate(
    start: Callable[..., Live],
) -> None:
    sent = send(start(media_rates=replace(AWS_MEDIA_RATES, put_fragments=3.0)), "calls")
    assert (sent.fragments, sent.reconnects) == (SECONDS, 0)


@pytest.mark.slow
def test_a_producer_that_calls_too_often_comes_again(start: Callable[..., Live]) -> None:
    live = start(media_rates=replace(AWS_MEDIA_RATES, calls=0.25))
    arn = client(live, "kinesisvideo").create_stream(StreamName="calls", DataRetentionInHours=1)["StreamARN"]
    rates = live.service._background.streams.rates
    # Each look at the clock is 2.5 s later: the producer's first call comes too soon, whatever the machine does.
    looks = itertools.count()
    rates._monotonic = lambda: 2.5 * next(looks)
    rates.call("PutMedia", arn)
    audio = io.BytesIO(bytes(2 * 8_000))
    sent = put_media(audio, stream_name="calls", real_time=False, endpoint_url=live.url, session=session())
    assert sent.fragments == 1
    assert sent.reconnects >= 1


def test_calls_too_many_are_refused_as_at_aws_and_other_streams_are_not(start: Callable[..., Live]) -> None:
    live = start(media_rates=replace(AWS_MEDIA_RATES, calls=0.1, listed_fragments=0.1))
    for name in ("a", "b"):
        client(live, "kinesisvideo").create_stream(StreamName=name, DataRetentionInHours=1)
    media, archived = client(live, "kinesis-video-media"), client(live, "kinesis-video-archived-media")
    times = {"StartTimestamp": 0, "EndTimestamp": 1}
    for name in ("a", "b"):
        for ask, more in (
            (media.get_media, {"StartSelector": {"StartSelectorType": "NOW"}}),
            (archived.get_media_for_fragment_list, {"Fragments": ["1"]}),
            (
                archived.list_fragments,
                {"FragmentSelector": {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": times}},
            ),
        ):
            try:
                ask(StreamName=name, **more)
            except ClientError as error:
                assert error.response["Error"]["Code"] != "ClientLimitExceededException"
            with pytest.raises(ClientError) as refused:
                ask(StreamName=name, **more)
            assert refused.value.response["Error"]["Code"] == "ClientLimitExceededException"
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
