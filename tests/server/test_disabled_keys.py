"""What a key opened ends with it, though another process disables it: real sockets, real records, the real command."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import media_client
import pytest
from live import ACCOUNT, Live
from media_client import HEADER, Producer, cluster, tone

from patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

KEY = media_client.Key(id="EARWOFTHETEST", secret="a-secret-of-the-test")  # noqa: S106
TOKEN = "ewt_".ljust(47, "x")
OTHER_TOKEN = "ewt_".ljust(47, "y")


@pytest.fixture
def live(start: Callable[..., Live]) -> Live:
    live = start()
    live.store.write(
        lambda unit: unit.access_keys.create(
            key_id=KEY.id, account_id=ACCOUNT, role="admin", name="", secret=KEY.secret
        )
    )
    for token, token_id in ((TOKEN, "tok-1"), (OTHER_TOKEN, "tok-2")):
        live.store.write(
            lambda unit, token=token, token_id=token_id: unit.bearer_tokens.create(
                token=token, token_id=token_id, account_id=ACCOUNT, role="reader", name=""
            )
        )
    return live


def disable(live: Live, key_id: str) -> None:
    """As an operator does, who need not know whose key it is."""
    command = [sys.executable, "-m", "earwitness", "keys", "disable", key_id, "--data", live.settings.data_dir]
    own = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS_")}
    subprocess.run(command, check=True, env=own, capture_output=True, timeout=PATIENCE_SECONDS)


def in_thread(work: Callable[[], Any]) -> list[Any]:
    """What `work` returns, once it has."""
    done: list[Any] = []
    threading.Thread(target=lambda: done.append(work()), daemon=True).start()
    return done


def wait_for_events(live: Live, token: str) -> httpx.Response:
    asked = {"region": "us-east-1", "after": "latest", "wait": "20"}
    headers = {"authorization": f"Bearer {token}"}
    return httpx.get(f"{live.url}/earwitness/v1/events", params=asked, headers=headers, timeout=PATIENCE_SECONDS)


def test_a_producer_and_a_reader_end_with_their_key(live: Live) -> None:
    kinesis = media_client.client(live.url, "kinesisvideo", KEY)
    kinesis.create_stream(StreamName="calls", DataRetentionInHours=1)
    with Producer(live.url, "calls", key=KEY) as producer:
        producer.opened().send(HEADER + cluster(0, tone(0.5)))
        producer.send(cluster(500, tone(0.5)))  # the first is complete with it
        producer.until("PERSISTED")
        media = media_client.client(live.url, "kinesis-video-media", KEY)
        payload = media.get_media(StreamName="calls", StartSelector={"StartSelectorType": "EARLIEST"})["Payload"]
        assert media_client.read_some(payload)
        disable(live, KEY.id)
        # Neither is told anything in the stream; both ends come, though the producer would go on.
        assert not any(ack["EventType"] == "ERROR" for ack in producer.acks())
        while media_client.read_some(payload):
            continue
    streams = live.service._background.streams
    until(lambda: not (streams._producers or streams._readers))
    with Producer(live.url, "calls", key=KEY) as again:
        assert again.status() in (401, 403)


def test_a_request_that_waits_ends_with_its_token_and_another_one_goes_on(live: Live) -> None:
    waiting, other = (in_thread(lambda token=token: wait_for_events(live, token)) for token in (TOKEN, OTHER_TOKEN))
    until(lambda: live.service._background.notices.listener_count == 2)
    disable(live, "tok-1")
    until(lambda: waiting)
    assert waiting[0].status_code == 401
    assert "was disabled" in waiting[0].text
    assert not other
    live.service._background.notices.close()  # as at the end of the service, so that nobody waits 20 s here
    until(lambda: other)
    assert other[0].status_code == 200
