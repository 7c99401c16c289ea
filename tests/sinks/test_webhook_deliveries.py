"""The deliverer with a webhook on a real socket: order under retries, and what the log says. Time is passed in."""

import asyncio
import base64
import hashlib
import hmac
import logging
import ssl
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from event_examples import KEY, NOON, SECRET
from recording_server import recording
from store_examples import MINE, Clock, add_pipeline, guid, opened

from earwitness.sinks.webhook import WebhookSettings, WebhookSink
from earwitness.store.store import Unit
from earwitness.tasks.deliver import Deliverer
from patience import PATIENCE_SECONDS

EVENTS = 6


def to_this_machine(_host: str, _port: int) -> Sequence[str]:
    return ("127.0.0.1",)


def deliver(folder: Path, url: str, *, done: Callable[[], bool]) -> list[bytes]:
    """Write the events of two tasks, and deliver them until `done`, a second a look; return what was written."""
    clock = Clock()
    store = opened(f"sqlite:///{folder / 'records.db'}", clock=clock)
    settings = WebhookSettings(secret=SECRET, allow_private_addresses=True)
    sink = WebhookSink(url, settings, now=lambda: NOON, resolver=to_this_machine)
    bodies = [b'"%s%d"' % (name, number) for number in range(EVENTS) for name in (b"a", b"b")]

    def write(unit: Unit) -> None:
        owners = {name: add_pipeline(unit).pipeline_id for name in (b"a", b"b")}
        for body in bodies:
            owner = owners[body[1:2]]
            kind = "speaker search"
            unit.events.append(MINE, event_id=guid(), pipeline_id=owner, kind=kind, body=body, targets=["webhook"])

    async def scene(threads: ThreadPoolExecutor) -> None:
        deliverer = Deliverer(store, sink_of=lambda _: sink, threads=threads, clock=clock, chance=lambda: 0.5)
        running = asyncio.create_task(deliverer.run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done():
                clock.advance(timedelta(seconds=1))
                deliverer.wake()
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.wait({running})

    store.write(write)
    with ThreadPoolExecutor(8) as threads:
        asyncio.run(scene(threads))
    store.close()
    return bodies


def test_events_of_a_task_come_in_order_whatever_the_webhook_answers(tmp_path: Path) -> None:
    statuses = iter([500, 404, 302, 204, 429, 410, 204, 401, 503] * 20)
    with recording(answers=statuses) as hook:

        def taken() -> list[bytes]:
            return [request.body for request in hook.requests if request.status == 204]

        bodies = deliver(tmp_path, f"{hook.url}/", done=lambda: len(taken()) == 2 * EVENTS)
        for name in (b"a", b"b"):
            assert [body for body in taken() if name in body] == [body for body in bodies if name in body]


def test_every_retry_has_the_same_id_and_a_signature_that_is_right(tmp_path: Path) -> None:
    statuses = iter([500, 503, 204, 302, 404] * 40)
    with recording(answers=statuses) as hook:
        bodies = deliver(
            tmp_path, f"{hook.url}/", done=lambda: sum(one.status == 204 for one in hook.requests) == 2 * EVENTS
        )
    ids: dict[bytes, set[str]] = defaultdict(set)
    for request in hook.requests:
        headers = request.headers
        ids[request.body].add(headers["webhook-id"])
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
        right = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{right}"
    assert len(hook.requests) > 2 * EVENTS
    assert all(len(each) == 1 for each in ids.values())  # the same each time
    assert len(set[str]().union(*ids.values())) == len(ids) == len(bodies)


@pytest.mark.parametrize(
    ("days", "is_trusted", "reason"),
    [
        (-1, True, "shows a certificate that has expired; renew it there"),
        (1, False, "shows a certificate that is not trusted here (self-signed certificate)"),
    ],
)
def test_a_certificate_that_is_no_good_is_told_once_and_nothing_is_sent(
    tmp_path: Path,
    tls_until: Callable[..., ssl.SSLContext],
    caplog: pytest.LogCaptureFixture,
    days: int,
    is_trusted: bool,
    reason: str,
) -> None:
    looks = iter(range(20))
    with recording(tls=tls_until(days, is_trusted=is_trusted)) as hook:
        url = f"https://events.example:{hook.port}/"
        deliver(tmp_path, url, done=lambda: bool(caplog.records) and next(looks, None) is None)
        assert hook.requests == []
    (line,) = [record for record in caplog.records if record.name == "earwitness.deliver"]
    assert reason in vars(line)["reason"]


def test_a_certificate_of_another_name_is_told_once_and_as_such(
    tmp_path: Path, authority: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    looks = iter(range(20))
    with recording(tls=authority) as hook:
        url = f"https://another.example:{hook.port}/"
        deliver(tmp_path, url, done=lambda: bool(caplog.records) and next(looks, None) is None)
        assert hook.requests == []
    (line,) = [record for record in caplog.records if record.name == "earwitness.deliver"]
    assert (line.levelno, line.message) == (logging.WARNING, "events are not delivered")
    assert vars(line)["reason"] == (
        "the webhook at another.example shows a certificate of another name; give a certificate of another.example, or "
        "its own name"
    )
