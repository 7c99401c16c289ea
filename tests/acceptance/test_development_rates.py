"""`serve --dev` limits no rate, except where the user sets one."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from media_client import client, new_stream
from serving import start, stop

pytestmark = pytest.mark.slow

CALLS = 20


def refusals(url: str, stream: str) -> dict[str, int]:
    """How many of many calls are refused, of a media operation and of another."""
    archive, kinesis = client(url, "kinesis-video-archived-media"), client(url)

    def refused(ask: Any, **params: Any) -> int:
        try:
            ask(StreamName=stream, **params)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ClientLimitExceededException"
            return 1
        return 0

    numbers = [str(2**156 + 2**92)]
    media = sum(refused(archive.get_media_for_fragment_list, Fragments=numbers) for _ in range(CALLS))
    return {"media": media, "calls": sum(refused(kinesis.describe_stream) for _ in range(CALLS))}


def test_rates_that_are_set_count_and_others_do_not(tmp_path: Path) -> None:
    served = start(tmp_path / "free")
    assert refusals(served.url, new_stream(served.url)) == {"media": 0, "calls": 0}
    stop(served)
    file = tmp_path / "settings.toml"
    file.write_text('calls_per_second = 1.0\nmedia_rates = "calls=5"\n')
    served = start(tmp_path / "limited", settings_file=file)
    found = refusals(served.url, new_stream(served.url))
    assert found["media"] > 0
    assert found["calls"] > 0
    stop(served)
