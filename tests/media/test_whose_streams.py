"""Whose streams are looked for where."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from earwitness.config import Settings
from earwitness.errors import ConfigurationError, SourceUnavailable
from earwitness.from_settings import origin_settings
from earwitness.media.kvs import KvsSource
from earwitness.media.origins import MediaOrigins
from earwitness.media.own import OwnSource
from earwitness.media.streams import MediaStreams
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.threads import RunInThread

ARN = "arn:aws:kinesisvideo:us-east-1:111122223333:stream/line/1"


pytestmark = pytest.mark.anyio

IN_THREAD = cast(RunInThread, asyncio.to_thread)


def sources(settings: Settings, *kept: str) -> MediaOrigins:
    """With nothing behind them but the ARNs of streams in the records: who is asked is decided before."""
    records = SimpleNamespace(streams=SimpleNamespace(get=lambda _scope, arn: arn if arn in kept else None))
    return MediaOrigins(
        origin_settings(settings),
        cast(Store, records),
        cast(MediaStreams, None),
        run_in_thread=IN_THREAD,
    )


def scope(account: str) -> Scope:
    return Scope(account_id=account, region="us-east-1")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("own", OwnSource),
        ("AWS", KvsSource),
        ("own, 111122223333=aws, 444455556666=own", KvsSource),
        ("aws,111122223333=own", OwnSource),
        ("own,444455556666=aws", OwnSource),
    ],
)
async def test_the_setting_says_whose_a_stream_is(text: str, kind: type) -> None:
    chosen = sources(Settings(kvs_source=text))
    assert isinstance(await chosen.of(scope("111122223333"), ARN), kind)
    assert chosen.is_own(scope("111122223333")) is (kind is OwnSource)


async def test_a_stream_of_a_call_that_came_in_here_is_our_own() -> None:
    chosen = sources(Settings(kvs_source="aws"), ARN)
    assert isinstance(await chosen.of(scope("111122223333"), ARN), OwnSource)
    chosen.close()


@pytest.mark.parametrize(
    "text",
    [
        "amazon",
        "",
        "111122223333=aws",
        "own,1111=aws",
        "own,111122223333=amazon",
        "own,111122223333",
        "aws,11112222333x=own",
    ],
)
def test_a_list_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigurationError, match="setting kvs_source"):
        sources(Settings(kvs_source=text))


def test_half_a_key_is_none() -> None:
    with pytest.raises(ConfigurationError, match="both kvs_access_key_id and kvs_secret_access_key"):
        sources(Settings(kvs_access_key_id="AKIDEXAMPLE"))


def test_an_endpoint_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        sources(Settings(kvs_endpoint_url="localhost:4500"))


def test_the_secret_does_not_show() -> None:
    assert "hidden" not in repr(Settings(kvs_secret_access_key="hidden"))  # noqa: S106


@pytest.mark.slow
def test_while_aws_cannot_be_asked_nobody_says_that_there_is_no_stream() -> None:
    settings = Settings(
        kvs_source="aws",
        kvs_endpoint_url="http://127.0.0.1:1",
        kvs_access_key_id="AKIDEXAMPLE",
        kvs_secret_access_key="an example's secret",  # noqa: S106
    )
    chosen = sources(settings)
    with pytest.raises(SourceUnavailable):
        chosen.exists(scope("111122223333"), ARN)
    chosen.close()
