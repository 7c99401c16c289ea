"""Whether a stream elsewhere exists, as a pipeline asks before it is made."""

from typing import cast

import pytest
from serving import Served
from source_streams import KvsStream

from earwitness.config import Settings
from earwitness.errors import Forbidden
from earwitness.from_settings import origin_settings
from earwitness.media.origins import MediaOrigins
from earwitness.media.streams import MediaStreams
from earwitness.store.records import Scope
from earwitness.store.store import Store
from earwitness.threads import RunInThread

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SCOPE = Scope(account_id="000000000000", region="us-east-1")


def sources(served: Served, *, key: str) -> MediaOrigins:
    settings = Settings(kvs_source="aws", kvs_endpoint_url=served.url, kvs_access_key_id=key, kvs_secret_access_key=key)
    return MediaOrigins(
        origin_settings(settings), cast(Store, None), cast(MediaStreams, None), run_in_thread=cast(RunInThread, None)
    )


async def test_a_stream_that_is_there_and_one_that_is_not(served: Served) -> None:
    stream = KvsStream(served.url)
    elsewhere = sources(served, key="test")
    assert elsewhere.exists(SCOPE, stream.arn)
    await stream.delete()
    assert not elsewhere.exists(SCOPE, stream.arn)
    elsewhere.close()
    await stream.close()


async def test_who_may_not_look_is_told_so(served: Served) -> None:
    elsewhere = sources(served, key="nobody")
    with pytest.raises(Forbidden, match="kinesisvideo:DescribeStream"):
        elsewhere.exists(SCOPE, "arn:aws:kinesisvideo:us-east-1:000000000000:stream/line/1")
    elsewhere.close()
