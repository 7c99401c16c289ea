"""The service while PostgreSQL stands still: errors that clients know, and `/ready` says why at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from botocore.exceptions import ClientError
from live import Live, domain_input
from postgres_server import frozen, serve_postgres

from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[str]:
    yield from serve_postgres(own=True)


def test_requests_and_ready_are_answered_while_the_database_stands_still(
    start: Callable[..., Live], server: str
) -> None:
    # As many threads as requests that wait: were they held, nothing else would be answered.
    live = start(store_url=server, store_wait_seconds=1.0, threads=8)

    def refused(ask: Callable[[], object]) -> str:
        with pytest.raises(ClientError) as caught:
            ask()
        return str(caught.value.response["Error"]["Code"])

    def ready() -> httpx.Response:
        return httpx.get(f"{live.url}/ready", timeout=PATIENCE_SECONDS)

    assert ready().json() == {"status": "ready"}
    asks = (
        live.client.list_voice_profile_domains,
        lambda: live.client.create_voice_profile_domain(**domain_input()),
    )
    with ThreadPoolExecutor(16) as threads:
        with frozen(server):
            asked = [threads.submit(refused, asks[number % 2]) for number in range(16)]
            first = ready()
            assert (first.status_code, "not answer" in first.json()["reason"]) == (503, True)
            assert {one.result(PATIENCE_SECONDS) for one in asked} == {"ServiceUnavailableException"}
            later = ready()
            assert later.status_code == 503
            assert "not answer" in later.json()["reason"]
            assert httpx.get(f"{live.url}/health").status_code == 200
        until(lambda: ready().status_code == 200)
    assert live.client.list_voice_profile_domains()["VoiceProfileDomains"] == []
